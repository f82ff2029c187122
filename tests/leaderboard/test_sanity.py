"""Rows of backbones that see nobody must come last."""

from __future__ import annotations

import json
from collections.abc import Callable

import attrs
import pytest

from crbench.report import FORMATS, render
from crbench.results import Method, Result

Make = Callable[..., Result]


def test_a_row_that_is_not_above_a_sanity_row_is_named(make: Make) -> None:
    sane, blind = make("ridge", (0.3,), cell=1), make("none", (0.3,), cell=2, backbone="random")
    other = make("none", (0.2,), cell=3)
    text = render([sane, blind, other])
    expected = (
        "warning: random looks at nobody, and these rows are not above it, so look at their features and rates: "
        "resnet-tiny + none; resnet-tiny + ridge"
    )
    assert expected in text.splitlines()
    assert "random (sanity)" in text
    assert "sanity: a backbone that looks at nobody" in text
    for form in (form for form in FORMATS if form != "csv"):
        assert "looks at nobody, and" in render([sane, blind, other], format=form).replace("-{}-", "--")


def test_sanity_rows_that_come_last_are_marked_only(make: Make) -> None:
    rows = [make("ridge", (0.3,), cell=1), make("none", (0.1,), cell=2, backbone="constant")]
    rows.append(make("none", (0.11,), cell=3, backbone="random"))
    text = render(rows)
    assert "looks at nobody, and" not in text
    assert text.count("(sanity)") == 2
    (block,) = json.loads(render(rows, format="json"))["blocks"]
    assert [row["backbone"] for row in block["rows"]] == ["resnet-tiny", "random", "constant"]


@pytest.mark.parametrize("change", [{"name": "randomised"}, {"distribution": "stranger"}])
def test_backbones_of_strangers_are_none(make: Make, change: dict[str, str]) -> None:
    result = make("none", (0.3,), cell=1, backbone="random")
    backbone = attrs.evolve(result.method.backbone, **change)
    result = attrs.evolve(result, method=Method(backbone, result.method.aligner))
    text = render([result, make("ridge", (0.2,), cell=2)])
    assert "looks at nobody" not in text

"""Columns, order, rows and methods that a reader asks for, in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import pytest
from click import Command

from crbench.cli.leaderboard import leaderboard
from crbench.cli.report import report
from crbench.errors import ConfigError
from crbench.report import FORMATS, render
from crbench.results import Result

Make = Callable[..., Result]


@pytest.fixture
def results(make: Make) -> list[Result]:
    """Three aligners with two backbones; fits take longer the better they are."""
    return [
        make(aligner, (rank1, rank1 + 0.02), cell=10 * place + cell, backbone=backbone, fit_s=rank1, count=cell)
        for place, backbone in enumerate(("resnet-tiny", "timm:vit_tiny"))
        for cell, (aligner, rank1) in enumerate((("none", 0.4), ("ridge", 0.5), ("vpfa/light", 0.3)), start=1)
    ]


def _lines(text: str) -> list[list[str]]:
    """Heading and rows of the first table, by cell."""
    block = text.split("\n\n")[0].splitlines()[2:]
    return [re.split(r" {2,}", line.strip()) for line in block if not line.startswith("-")]


def _csv(results: list[Result], **options: object) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(results, format="csv", **options))))


def test_columns_are_those_asked_for_in_that_order_in_every_format(results: list[Result]) -> None:
    """Rates, ranks, timings and facts for programs need no option of their own."""
    names = ("aligner", "R1@4", "R3", "trials", "unchecked_fit_s", "command")
    heading, first, *_ = _lines(render(results[:3], columns=names))
    assert heading == ["aligner", "R1 x4 ↑", "R3 ↑", "trials", "fit s (unchecked) ↓", "command"]
    assert first[:5] == ["ridge", "41.0 ± 1.4", "61.9 ± 1.1", "2", "0.5"]

    def spread(key: str) -> list[str]:
        return [key, *(f"{key}_{part}" for part in ("std", "low", "high", "between"))]

    keys = ["aligner", *spread("R1@4"), *spread("R3"), "trials", "unchecked_fit_s", "command"]
    assert list(_csv(results[:3], columns=names)[0]) == ["part", *keys]
    (block,) = json.loads(render(results[:3], format="json", columns=names))["blocks"]
    assert [list(row) for row in block["rows"]] == [keys] * 3
    assert "R5" not in render(results[:3], format="latex", columns=names)
    assert "R5" not in render(results[:3], format="github", columns=names)


def test_columns_go_by_printed_headings_and_by_each_name_in_csv_once(results: list[Result]) -> None:
    names = ("rank", "rank", "R1 ↑", "fit s (unchecked) ↓", "gain_low", "R3_std", "R1@4_low", "R1 x4 ↑", "R1_high")
    heading, *_ = _lines(render(results[:3], columns=names, sort="R1 ↑"))
    assert heading == ["rank", "R1 ↑", "fit s (unchecked) ↓", "gain ↑", "R3 ↑", "R1 x4 ↑"]
    assert {"gain_low", "R3_std", "R1@4_low"} <= _csv(results[:3], columns=names)[0].keys()


def test_a_folder_whose_name_is_not_known_is_asked_for_by_its_content(make: Make) -> None:
    folder = [make("none", (0.4, 0.42), cell=1, dataset="folder:51938184fc88")]
    assert "51938184fc88" in render(folder, datasets=("folder:51938184fc88",))
    with pytest.raises(ConfigError, match=r"folder:shop: no result has it; .* by 12 digits .*: folder:51938184fc88$"):
        render(folder, datasets=("folder:shop",))


@pytest.mark.parametrize("command", [leaderboard, report])
def test_the_columns_of_the_help_are_there_in_a_single_shot_gallery(results: list[Result], command: Command) -> None:
    (option,) = (one for one in command.params if one.name == "columns")
    example = re.search(r"e\.g\. (\S+)\.", getattr(option, "help", ""))
    assert example is not None
    assert "R1 x4 ↑" in render(results, columns=example[1].split(","))


def test_rows_are_ordered_best_first(results: list[Result]) -> None:
    def order(key: str) -> list[str]:
        return [line["aligner"] for line in _csv(results[:3], sort=key)]

    assert order("R1") == order("") == ["ridge", "none", "vpfa/light"]
    assert order("unchecked_fit_s") == ["vpfa/light", "none", "ridge"], "seconds: less is better"
    assert order("aligner") == ["none", "ridge", "vpfa/light"]
    assert order("parameters") == ["none", "ridge", "vpfa/light"]
    assert order("gain") == ["ridge", "vpfa/light", "none"], "a row without a value comes last"


@pytest.mark.parametrize("form", FORMATS)
def test_the_first_rows_of_each_table_are_shown(results: list[Result], form: str) -> None:
    text = render(results, format=form, top=2)
    assert ("vpfa" in re.sub(r"--aligner vpfa/light", "", text)) is (form == "html"), "details of the page have all"
    assert "ridge" in text
    if form in ("table", "github", "latex"):
        assert "2 of 6 rows" in text


def test_methods_have_their_places_among_those_chosen_and_keep_their_gain(results: list[Result]) -> None:
    rows = _csv(results, aligners=("vpfa", "none"), backbones=("timm",))
    assert [(row["rank"], row["backbone"], row["aligner"]) for row in rows] == [
        ("1", "timm:vit_tiny", "none"),
        ("2", "timm:vit_tiny", "vpfa/light"),
    ]
    (row,) = _csv(results, aligners=("vpfa/light",), backbones=("resnet-tiny",))
    assert (row["rank"], round(float(row["gain"]), 3)) == ("1", -0.1)
    assert "only backbone timm, only aligner vpfa or none" in render(
        results, backbones=["timm"], aligners=["vpfa", "none"]
    )


def test_a_data_set_is_chosen_with_its_published_numbers(make: Make) -> None:
    results = [make("none", (0.4,), cell=1), make("none", (0.5,), cell=2, dataset="mlr-viper")]
    text = render(results, datasets=["mlr-viper"], published=True)
    assert "mlr-synthetic" not in text
    assert "VPFA†" in text
    assert "published numbers" not in render(results, datasets=["mlr-synthetic"], published=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["R1", "MACS"]}, "--columns MACS: no such column; did you mean 'macs'"),
        ({"columns": ["R51"]}, "rank 51: curves have ranks from 1 to 50"),
        ({"columns": ["mAP"]}, "--columns mAP: no such column, as mAP is undefined: a single-shot gallery.* known: "),
        ({"sort": "mAP"}, "--sort mAP: no such column, as mAP is undefined: a single-shot gallery"),
        ({"sort": "R1_low"}, "--sort R1_low: no such column; "),
        ({"pairwise": True, "compare": False}, "--no-compare --pairwise: "),
        ({"sort": "speed"}, "--sort speed: no such column.* known: rank, rank_low"),
        ({"datasets": ["mlr-vipr"]}, "--dataset mlr-vipr: no result has it;.* known: mlr-synthetic"),
        ({"backbones": ["resnet"]}, "--backbone resnet: no result has it; did you mean 'resnet-tiny'.*timm, timm:vit"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    results: list[Result], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        render(results, **options)

"""The task in words, from rules that anybody may have written."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from leaderboard.conftest import Make

from crbench.leaderboard import arrange
from crbench.protocol import EvalProtocol
from crbench.report.words import alternatives, markdown, measured
from crbench.results import ProtocolFacts


def words(make: Make, **rules: Any) -> str:
    """What the page says of a result by these rules."""
    result = make("ridge", (0.5, 0.6))
    facts = attrs.evolve(ProtocolFacts.of(EvalProtocol()), rules=EvalProtocol().flat() | rules)
    object.__setattr__(result, "protocol", facts)
    return measured(arrange([result])[0].blocks[0])


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({}, "Each query is an image shrunk by 2, 3 or 4; the gallery is not shrunk."),
        ({"query_rates": [3.0]}, "Each query is an image shrunk by 3; the gallery is not shrunk."),
        ({"query_rates": [], "lr_camera": "smaller"}, "Queries come from the camera with the smaller images"),
        ({"query_rates": [], "lr_camera": "none"}, "Queries and gallery are used as they are."),
        ({}, "The gallery holds one image of each person (in expectation over all draws)."),
        ({"shot": "single:mc:10"}, "The gallery holds one image of each person (mean over random draws)."),
        ({"shot": "multi"}, "The gallery holds all images of each person."),
        ({"rate_source": "size:128"}, "Rates are estimated from the height of each image."),
        ({"rerank": "k1=20,k2=6,lambda=0.3"}, "Distances are re-ranked."),
        ({}, "40 queries of 12 persons in each of 2 trials."),
    ],
)
def test_the_task_is_told_by_its_rules(make: Make, rules: dict[str, Any], sentence: str) -> None:
    assert sentence in words(make, **rules)


@pytest.mark.parametrize("rates", ["abc", 5, None, True, ["x"], {"2": 3}])
def test_rules_of_strangers_do_no_harm(make: Make, rates: object) -> None:
    assert "shrunk by" not in words(make, query_rates=rates)


def test_code_in_markdown_is_code_and_everything_else_is_text() -> None:
    assert markdown("is `size:H` <b>") == "is <code>size:H</code> &lt;b&gt;"


def test_alternatives() -> None:
    assert [alternatives(["2"]), alternatives(["2", "3"])] == ["2", "2 or 3"]

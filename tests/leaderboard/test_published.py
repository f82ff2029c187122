"""Measured minus printed, and why the two may differ."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from crbench.leaderboard import TEXT_FORMATS
from crbench.published import printed_in
from crbench.report import render
from crbench.results import DataFacts, FittedOn, Result, WeightsFacts

Make = Callable[..., Result]


def _difference(results: list[Result]) -> list[str]:
    lines = render(results, published=True).splitlines()
    return [line for line in lines if line.startswith("measured here minus printed")]


def _vpfa(make: Make, preset: str = "paper", **fields: object) -> Result:
    return make(f"vpfa/{preset}", (0.5, 0.6), dataset="mlr-viper", backbone="transreid", **fields)


def test_the_difference_of_a_method_that_a_paper_prints(make: Make) -> None:
    (line,) = _difference([_vpfa(make)])
    assert "transreid + vpfa/paper minus VPFA (liu2025vpfa, Table 3): R1 +4.5, R5 " in line
    assert "points; they may differ by: rules that liu2025vpfa leaves open (here oracle rates, " in line


def test_no_difference_where_no_paper_prints_the_method(make: Make) -> None:
    others = [make("ridge", (0.5,), dataset="mlr-viper", backbone="transreid"), _vpfa(make, cell=2).read_from(None)]
    assert len(_difference(others)) == 1
    assert _difference([make("vpfa/paper", (0.5,), dataset="mlr-viper")]) == [], "another backbone"
    assert _difference([make("vpfa/paper", (0.5,), backbone="transreid")]) == [], "another data set"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"preset": "light"}, "preset light of vpfa in place of paper"),
        (
            {"data": DataFacts(deviations=("94 of 316 test persons",))},
            "another copy of the data (94 of 316 test persons)",
        ),
        ({"limit": 3}, "a part of the data (limit 3)"),
        ({"of_aligner": {"changed": {"epochs": 1}}}, "changed parameters of vpfa: epochs"),
        ({"weights": (WeightsFacts(sha256="ab" * 32, origin="trained", known=True),)}, "the backbone, trained here"),
        ({"weights": (WeightsFacts(sha256="ab" * 32, origin="file", known=False),)}, "as a file, of unknown training"),
    ],
)
def test_why_a_measured_number_may_differ(make: Make, fields: dict[str, object], reason: str) -> None:
    (line,) = _difference([_vpfa(make, **fields)])
    assert reason in line


def test_trials_that_are_left_out_are_named(make: Make, part_of: Callable[..., Result]) -> None:
    (line,) = _difference([part_of(_vpfa(make), 1, cell=7)])
    assert "trials 1 only" in line


def test_remarks_stand_in_every_format_for_people(make: Make) -> None:
    result = attrs.evolve(make("none", (0.5,), dataset="mlr-caviar"))
    for form in (*TEXT_FORMATS, "html"):
        text = render([result], format=form, published=True)
        assert "R10 is 96.5 in liu2025vpfa, Table 3; 86.5 in wu2023lrar, Table I" in text, form


def test_no_difference_from_what_was_fitted_on_the_same_data(make: Make) -> None:
    fitted = FittedOn(dataset="mlr-market1501", protocol="mlr")
    assert _difference([_vpfa(make, of_aligner={"fitted_on": fitted})]) == []


def test_printed_rows_may_be_given(make: Make) -> None:
    rows = printed_in("liu2025vpfa, Table 11")
    text = render([make("ridge", (0.5,))], published=rows)
    assert text.count("liu2025vpfa, Table 11") == len(rows) == 4

"""What stands beside a mean: the interval over people, the deviation over trials, or nothing."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

import attrs
import pytest

from crbench.report import render
from crbench.results import Interval, Intervals, Result

Make = Callable[..., Result]


@pytest.fixture
def with_intervals(make: Make) -> Callable[..., Result]:
    """What makes results with an interval of R1, R5 and R1 at rate 2, each 5 points to both sides."""

    def made(aligner: str, rank1: tuple[float, ...], level: float = 0.95, **fields: object) -> Result:
        result = make(aligner, rank1, **fields)

        def around(mean: float) -> Interval:
            return Interval(round(mean - 0.05, 6), round(mean + 0.05, 6))

        own = Intervals(
            method="bootstrap",
            level=level,
            replicates=2000,
            seed=0,
            identities=12,
            metrics={name: around(result.metrics[name].mean) for name in ("R1", "R5")},
            by_rate={"2": {"R1": around(result.by_rate["2"]["R1"].mean)}},
        )
        return attrs.evolve(result, intervals=own)

    return made


def _cells(text: str, aligner: str) -> list[str]:
    """The scores in the row of an aligner."""
    line = next(line for line in text.splitlines() if aligner in line and "resnet-tiny" in line)
    return re.split(r" {2,}", line.strip())[3:]


def test_by_default_the_score_that_ranks_has_its_interval_and_the_others_none(
    with_intervals: Callable[..., Result],
) -> None:
    results = [with_intervals("none", (0.4, 0.44), cell=1), with_intervals("ridge", (0.5, 0.52), cell=2)]
    text = render(results, per_rate=True)
    assert _cells(text, "ridge")[:5] == ["51.0 [46.0, 56.0]", "72.8", "100.0", "61.0", "41.0"]
    assert "[low, high]: 95 % interval for other people" in text
    assert "±" not in text


@pytest.mark.parametrize(
    ("spread", "cells", "footnotes"),
    [
        ("interval", ["51.0 [46.0, 56.0]", "72.8 [67.8, 77.8]", "100.0"], ["[low, high]"]),
        ("std", ["51.0 ± 1.4", "72.8 ± 0.8", "100.0 ± 0.0"], ["±: standard deviation over trials"]),
        ("none", ["51.0", "72.8", "100.0"], []),
    ],
)
def test_the_reader_chooses_what_stands_beside_a_score(
    with_intervals: Callable[..., Result], spread: str, cells: list[str], footnotes: list[str]
) -> None:
    text = render([with_intervals("ridge", (0.5, 0.52))], spread=spread)
    assert _cells(text, "ridge")[:3] == cells
    assert [note for note in ("[low, high]", "±: standard deviation over trials") if note in text] == footnotes


def test_results_without_intervals_show_the_deviation_over_trials(make: Make) -> None:
    text = render([make("ridge", (0.5, 0.52))])
    assert _cells(text, "ridge")[0] == "51.0 ± 1.4"
    assert "[low, high]" not in text


def test_a_single_trial_has_neither(make: Make) -> None:
    text = render([make("ridge", (0.5,))])
    assert "±" not in text
    assert _cells(text, "ridge")[0] == "50.0"


def test_beside_rows_with_intervals_one_without_shows_its_score_alone(
    make: Make, with_intervals: Callable[..., Result]
) -> None:
    text = render([make("none", (0.4, 0.42), cell=1), with_intervals("ridge", (0.5, 0.52), cell=2)])
    assert _cells(text, "none")[0] == "41.0", "two kinds of spread in one column would be read as one"


def test_an_interval_of_another_level_is_not_shown_as_one_of_95_percent(with_intervals: Callable[..., Result]) -> None:
    text = render([with_intervals("ridge", (0.5, 0.52), level=0.9)])
    assert _cells(text, "ridge")[0] == "51.0 ± 1.4"


def test_csv_has_mean_deviation_and_interval(with_intervals: Callable[..., Result]) -> None:
    (line,) = csv.DictReader(io.StringIO(render([with_intervals("ridge", (0.5, 0.52))], format="csv", per_rate=True)))
    assert [line[f"R1{part}"] for part in ("", "_low", "_high")] == ["0.51", "0.46", "0.56"]
    assert (line["R1@2_low"], line["R10_low"]) == ("0.56", "")
    assert float(line["R1_std"]) == pytest.approx(0.02 / 2**0.5)

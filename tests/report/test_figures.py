"""Figures: what they show, in words too, and that they fit the page's policy and the reader's colours."""

from __future__ import annotations

import re

import attrs
import pytest
from html_page import faults
from leaderboard.conftest import Make

from crbench.leaderboard import arrange
from crbench.leaderboard.board import Block
from crbench.leaderboard.scores import Spread
from crbench.leaderboard.speeds import Speed
from crbench.report.figures import by_rate, cmc, costs, swatch
from crbench.report.series import chosen
from crbench.report.svg import COLOURS, STYLES
from crbench.results import Result

RATES = {"2": 0.1, "4": -0.1}


def block_of(results: list[Result]) -> Block:
    return arrange(results)[0].blocks[0]


@pytest.fixture
def block(make: Make) -> Block:
    """A table of three methods that cost differently."""
    return block_of(
        [make("ridge", (0.6,), count=500), make("vpfa", (0.5,), cell=2, count=10**7), make("none", (0.3,), cell=3)]
    )


def test_figures_fit_the_page(block: Block) -> None:
    series = chosen(block)
    drawn = [by_rate(series, "a"), cmc(series, "b"), *costs(block, series, "c")]
    assert [one.title for one in drawn if one] == ["Rank-1 by rate", "CMC curves", "Rank-1 against size"]
    svgs = [one.svg for one in drawn if one]
    assert faults("".join(svgs)) == []
    for svg in svgs:
        assert not re.search(r"style|<!--|xlink|xmlns|DejaVu", svg)
        assert set(re.findall(r'(?:fill|stroke)="(.*?)"', svg)) <= {"none", *COLOURS.values()}
        assert not set(COLOURS) & set(re.findall(r"#\w+", svg)), "no placeholder is left"
        assert len(svg) < 20_000


def test_figures_say_in_words_what_they_show(block: Block) -> None:
    series = chosen(block)
    rate, curve = by_rate(series, "a"), cmc(series, "b")
    assert rate is not None
    assert curve is not None
    assert "resnet-tiny + ridge: 70.0 at 2, 50.0 at 4." in rate.svg
    assert "resnet-tiny + ridge: 60.0 at rank 1, 100.0 at rank 20." in curve.svg
    assert "resnet-tiny + vpfa: 50.0 at 11.2M." in costs(block, series, "c")[0].svg


def test_equal_figures_are_equal_text(block: Block) -> None:
    series = chosen(block)
    assert by_rate(series, "a") == by_rate(series, "a")
    assert cmc(series, "a") == cmc(series, "a")


def test_bands_are_the_intervals_and_nothing_else(block: Block) -> None:
    plain = by_rate(chosen(block), "a")
    rows = tuple(
        attrs.evolve(row, scores={key: Spread(one.mean, one.std, 0.2, 0.9) for key, one in row.scores.items()})
        for row in block.rows
    )
    banded = by_rate(chosen(attrs.evolve(block, rows=rows)), "a")
    assert plain is not None
    assert banded is not None
    assert "fill-opacity" not in plain.svg
    assert banded.svg.count("fill-opacity") == 3
    assert (plain.note, banded.note[:29]) == ("", "Bands: 95 % intervals over pe")


@pytest.mark.parametrize("rates", [{"2": 0.0}, {"3": 0.1}])
def test_one_rate_makes_no_figure(make: Make, rates: dict[str, float]) -> None:
    assert by_rate(chosen(block_of([make("ridge", (0.5,), rates=rates)])), "a") is None


@pytest.mark.parametrize("most", [500, 3_000, 2 * 10**5, 10**6, 10**7, 10**10])
def test_labels_of_costs_stand_apart(make: Make, most: int) -> None:
    block = block_of([make("ridge", (0.6,), count=10), make("vpfa", (0.5,), cell=2, count=most)])
    labels = re.findall(r">([\d.]+[kMG]?)</text>", costs(block, chosen(block), "c")[0].svg.partition("learned")[0])
    costs_shown = [label for label in labels if label.endswith(("k", "M", "G"))]
    assert 2 <= len(costs_shown) <= 6
    assert len(set(costs_shown)) == len(costs_shown)


def test_equal_or_unknown_costs_make_no_figure(make: Make) -> None:
    equal = [make("ridge", (0.5,)), make("coral", (0.4,), cell=2)]
    unknown = [make("ridge", (0.5,), count=None), make("coral", (0.4,), cell=2, count=None)]
    for results in (equal, unknown):
        block = block_of(results)
        assert costs(block, chosen(block), "a") == []


def test_a_measured_speed_makes_a_figure(block: Block) -> None:
    def at(per_second: float) -> tuple[Speed, ...]:
        about = {"machine": "EPYC x2", "unit": "images", "batch": 8, "created": "", "command": ""}
        return (Speed(stage="forward", per_second=per_second, **about),)

    rows = tuple(attrs.evolve(row, speeds=at(10.0**place)) for place, row in enumerate(block.rows, start=1))
    block = attrs.evolve(block, rows=(*rows[:2], attrs.evolve(rows[2], speeds=())))
    drawn = costs(block, chosen(block), "a")[-1]
    assert drawn.title == "Rank-1 against speed on EPYC x2"
    assert drawn.note == "Not known of 1 of 3 rows."
    assert "resnet-tiny + ridge: 60.0 at 10." in drawn.svg


def test_the_first_rows_and_the_best_baseline_are_told_apart(make: Make) -> None:
    names = [f"a{place}" for place in range(STYLES + 2)]
    results = [make(name, (0.9 - cell / 100,), cell=cell) for cell, name in enumerate(names)]
    baseline = make("none", (0.1,), cell=99)
    series = chosen(block_of([*results, baseline]))
    assert [one.row.aligner for one in series] == [*names[: STYLES - 1], "none"]
    assert [one.place for one in series] == list(range(STYLES))
    assert [one.row.aligner for one in chosen(block_of(results))] == names[:STYLES]
    first = chosen(block_of([make("none", (0.95,), cell=99), *results]))
    assert (first[0].row.aligner, first[0].place) == ("none", STYLES - 1), "its style does not depend on its place"


def test_swatches_differ_without_colour() -> None:
    shapes = [re.sub(r"swatch-\d|series-\d", "", swatch(place)) for place in range(STYLES)]
    assert len(set(shapes)) == STYLES

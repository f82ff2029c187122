"""The printed numbers: whole, consistent where the papers are, and with a remark where they are not."""

from __future__ import annotations

import statistics
from collections import Counter

import pytest

from crbench.errors import ConfigError
from crbench.published import (
    SCORES,
    SOURCES,
    Published,
    efficiency,
    printed_directions,
    printed_in,
    printed_rows,
    published,
)
from crbench.registry.load import list_plugins
from crbench.registry.resolve import resolve

EVERYTHING = published(kinds=("main", "ablation", "trial"))

TABLES = {
    "liu2025vpfa": {"3": 65, "4a": 4, "4b": 8, "5": 8, "6": 6, "8": 11, "9": 11, "10": 11, "11": 4},
    "wu2023lrar": {"I": 71, "II": 8, "III": 12, "IV": 20, "V": 3, "VI": 12, "VII": 2},
}
"""Rows of each table with a number, by data set; a reference row of LRAR's Table VI counts once."""

DIFFERING = {
    ("mlr-caviar", "FD-GAN"): "R10 is 96.5 in liu2025vpfa, Table 3; 86.5 in wu2023lrar, Table I",
    ("mlr-market1501", "PyrNet"): "R1 is 83.8 in liu2025vpfa, Table 3; 84.1 in wu2023lrar, Table I",
    ("mlr-market1501", "INTACT"): "R10 is 96.9 in liu2025vpfa, Table 3; 96.4 in wu2023lrar, Table I",
    ("mlr-cuhk03", "INTACT"): "R10 is 98.5 in liu2025vpfa, Table 3; 98.1 in wu2023lrar, Table I",
    ("mlr-market1501", "VPFA"): "R5 is 97.6 in liu2025vpfa, Table 3; 97.8 in liu2025vpfa, Table 11",
}


def _values(row: Published) -> list[float]:
    return [row.scores[name] for name in SCORES[:4] if name in row.scores]


def _one(source: str, **fields: str) -> Published:
    (row,) = (
        row for row in printed_rows() if row.source == source and all(getattr(row, n) == v for n, v in fields.items())
    )
    return row


def test_every_table_is_whole() -> None:
    found = Counter(row.source for row in printed_rows())
    assert found == {f"{paper}, Table {name}": n for paper, own in TABLES.items() for name, n in own.items()}
    assert sum(found.values()) == 256


def test_rows_are_sound() -> None:
    for row in printed_rows():
        assert row.source.partition(",")[0] in SOURCES
        assert row.scores
        assert all(0 < value <= 1 for value in row.scores.values())
        assert 2015 <= row.year <= 2025


def test_the_only_curve_that_falls_is_named() -> None:
    falling = [row for row in printed_rows() if sorted(_values(row)) != _values(row)]
    assert [(row.method, row.backbone, row.dataset) for row in falling] == [("LRAR", "Swin-B", "mlr-market1501")]
    assert falling[0].note == "Rank-5 above Rank-10 in the source"


def test_cells_that_are_printed_unlike_have_a_remark_and_no_others() -> None:
    remarks = {(line.dataset, line.method): line.remark for line in EVERYTHING if line.remark}
    assert remarks.keys() == DIFFERING.keys()
    assert all(text.startswith(DIFFERING[cell]) for cell, text in remarks.items())


def test_every_printed_number_is_in_a_line_that_names_its_table() -> None:
    for row in printed_rows():
        paper, _, table = row.source.partition(", Table ")
        lines = [line for line in EVERYTHING if line.cell == row.cell and line.scores.items() >= row.scores.items()]
        assert lines, row
        places = "; ".join(filter(None, (lines[0].source, lines[0].also)))
        assert any(
            place.startswith(paper) and table in place.partition(", Table ")[2].split(", ")
            for place in places.split("; ")
        )


@pytest.mark.parametrize(("table", "dataset", "off"), [("8", "mlr-cuhk03", ""), ("9", "mlr-viper", "")])
def test_printed_means_are_those_of_the_trials(table: str, dataset: str, off: str) -> None:
    _check_means(table, dataset, set())


def test_the_means_of_caviar_are_not_those_of_its_trials_and_the_note_says_so() -> None:
    _check_means("10", "mlr-caviar", {"R1", "R5"})
    assert "66.68/86.96/93.60" in _one("liu2025vpfa, Table 10", setting="").note


def _check_means(table: str, dataset: str, wrong: set[str]) -> None:
    source = f"liu2025vpfa, Table {table}"
    trials = [row for row in printed_rows() if row.source == source and row.kind == "trial"]
    assert [row.setting for row in trials] == [f"trial {index}" for index in range(10)]
    mean = _one(source, setting="", dataset=dataset)
    for name in ("R1", "R5", "R10"):
        own = statistics.fmean(row.scores[name] for row in trials)
        assert (round(own, 3) != mean.scores[name]) == (name in wrong), name


def test_the_gains_that_vpfa_states_for_text_to_image() -> None:
    before, after = (_one("liu2025vpfa, Table 6", method=name, dataset="rstpreid") for name in ("IRRA", "VPFA"))
    gains = {name: round(100 * (after.scores[name] - before.scores[name]), 2) for name in after.scores}
    assert gains == {"R1": 1.0, "R5": 0.75, "mAP": 0.68}


def test_data_sets_and_methods_are_known_here() -> None:
    names = {record.name for record in list_plugins() if record.kind == "dataset"}
    assert {row.dataset for row in printed_rows()} - names == {"regdb", "rstpreid"}
    for text in {row.measured_as for row in printed_rows() if row.measured_as}:
        backbone, aligner = text.split("+")
        assert resolve("backbone", backbone)
        assert resolve("aligner", aligner)


def test_a_leaderboard_gets_main_numbers_only() -> None:
    assert {line.kind for line in published()} == {"main"}
    assert {line.dataset for line in published(["mlr-viper"])} == {"mlr-viper"}
    assert published(["mlr-synthetic"]) == ()


def test_what_vpfa_prints_of_speed_and_size() -> None:
    speed, size = efficiency()
    assert (speed.value, speed.unit, speed.stage) == (4_424_371.31, "samples/s", "transform")
    assert size.value == 24.14e6
    operations = 2 * 24_117_248 * speed.value
    assert f"{operations / 1e12:.0f} TFLOP/s" in speed.note


def test_what_vpfa_prints_of_directions_is_whole() -> None:
    found = Counter(row.table for row in printed_directions())
    assert found == {"2a": 18, "2b": 9, "7": 10}
    script = [row for row in printed_directions() if row.table == "2a"]
    assert all(0 < row.value <= 0.5 for row in script), "|cov| / (var + var) is at most a half"
    assert {row.rate for row in printed_directions() if row.table != "7"} == {2, 3, 4}
    assert all((row.person is None) == (row.table != "7") for row in printed_directions())
    shares = [row.value for row in printed_directions() if row.quantity == "share"]
    assert [int(10_000 * share) for share in shares] == [int(10_000 * count / 751) for count in (710, 728, 740)]


def test_the_rows_of_one_table_are_those_of_the_file() -> None:
    assert [row.setting for row in printed_in("liu2025vpfa, Table 11")][:2] == [
        "fitted on mlr-market1501",
        "fitted on mlr-cuhk03",
    ]
    with pytest.raises(
        ConfigError, match=r"no rows of 'liu2025vpfa, Table 12' are known; known: liu2025vpfa, Table 3; "
    ):
        printed_in("liu2025vpfa, Table 12")

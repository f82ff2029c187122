"""Numbers that papers print, beside ours: facts with their source, never ranked with what was measured here."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable
from importlib import resources

import attrs

from crbench.leaderboard.scores import Score, in_order

SOURCES = {
    "liu2025vpfa": "Liu et al., arXiv:2510.00936v1, 2025",
    "wu2023lrar": "Wu et al., IEEE TIP 32:4800-4811, 2023, doi:10.1109/TIP.2023.3305817",
}
"""Citation keys of `Published.source` spelled out."""


@attrs.frozen(kw_only=True)
class Published:
    """One method on one data set as printed in a paper.

    Attributes:
        method, year: of the method's own paper.
        backbone: as the source states it; empty = not stated.
        dataset, protocol: by our names. Papers leave much of a protocol open: theirs is like ours, not equal to it.
        rates: down-sampling rates as stated.
        scores: fractions of the columns that the source has: R1, R5, R10, R20, mAP.
        source: citation key and table; `also`: further places that print the same numbers.
        note: what is doubtful about the printed numbers.
    """

    method: str
    year: int
    backbone: str
    dataset: str
    protocol: str
    rates: str
    scores: dict[str, float]
    source: str
    also: str
    note: str


def published(datasets: Iterable[str]) -> tuple[Published, ...]:
    """Published numbers for data sets, by data set, protocol, year and method.

    Example:
        >>> [row.scores["R1"] for row in published(["mlr-viper"]) if row.method == "VPFA"]
        [0.505]
    """
    wanted = set(datasets)
    return tuple(row for row in _all() if row.dataset in wanted)


def published_scores(rows: Iterable[Published]) -> tuple[Score, ...]:
    """The scores that any of `rows` has, in order."""
    return in_order(Score(name) for row in rows for name in row.scores)


@functools.cache
def _all() -> tuple[Published, ...]:
    names = ("R1", "R5", "R10", "R20", "mAP")
    text = resources.files(__package__).joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(
        Published(
            method=row["method"],
            year=int(row["year"]),
            backbone=row["backbone"],
            dataset=row["dataset"],
            protocol=row["protocol"],
            rates=row["rates"],
            scores={name: round(float(row[name]) / 100, 6) for name in names if row[name]},
            source=f"{row['source_paper']}, {row['source_table']}",
            also=row["also"],
            note=row["note"],
        )
        for row in csv.DictReader(text.splitlines())
    )

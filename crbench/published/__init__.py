"""Numbers that papers print: facts with their source, transcribed, never measured here.

``scores.csv`` holds one line for each row of VPFA's Tables 3, 4a, 4b, 5, 6, 8 to 11 and of LRAR's Tables I to VII, as
printed; ``efficiency.csv`` holds what VPFA prints of its speed and size, ``directions.csv`` its Tables 2a, 2b and 7
(Table 1 has no numbers in the text at hand). `published` gives the scores as people read them: what several tables
print alike is one line, and what they print unlike is several, each with a remark.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Literal, cast

import attrs

from crbench.errors import ConfigError

SOURCES = {
    "liu2025vpfa": "Liu et al., arXiv:2510.00936v1, 2025",
    "wu2023lrar": "Wu et al., IEEE TIP 32:4800-4811, 2023, doi:10.1109/TIP.2023.3305817",
}
"""Citation keys of `Published.source` spelled out."""

SCORES = ("R1", "R5", "R10", "R20", "mAP")
"""The scores that papers print."""

Kind = Literal["main", "ablation", "trial"]
Quantity = Literal["throughput", "parameters"]


@attrs.frozen(kw_only=True)
class Published:
    """One method on one data set as printed.

    Attributes:
        method, year: of the method's own paper; a variant stands in brackets.
        backbone: as the source states it; empty = not stated.
        dataset, protocol: by our names. Papers leave much of a protocol open: theirs is like ours, not equal to it.
        rates: down-sampling rates as stated.
        setting: what else the table varies, such as a trial or the length of the query's feature.
        kind: ``main``; ``ablation`` of a method; one ``trial`` of several.
        scores: fractions of the columns that the source has, by `SCORES`.
        source: citation key and table; `also`: further places that print the same numbers.
        measured_as: backbone and aligner that are this method here, ``NAME[/PRESET]+NAME[/PRESET]``; empty = none is.
        note: what is doubtful about the printed numbers.
        remark: where the sources print different values for this cell, which.
    """

    method: str
    year: int
    backbone: str
    dataset: str
    protocol: str
    rates: str
    setting: str
    kind: Kind
    scores: dict[str, float]
    source: str
    also: str = ""
    measured_as: str = ""
    note: str = ""
    remark: str = ""

    @property
    def cell(self) -> tuple[str, ...]:
        """What was evaluated on what: lines of one cell should print the same."""
        return self.dataset, self.protocol, self.rates, self.setting, self.method, self.backbone


@attrs.frozen(kw_only=True)
class Efficiency:
    """What a paper prints of speed or size.

    Attributes:
        aligner, stage: what it is here, see `crbench.bench.plan.STAGES`.
        quantity: ``throughput`` or ``parameters``.
        note: on what it was measured, and what is not stated.
    """

    method: str
    aligner: str
    stage: str
    quantity: Quantity
    value: float
    unit: str
    source: str
    note: str


@attrs.frozen(kw_only=True)
class PrintedDirection:
    """What a paper prints of the directions from LR to HR features.

    Attributes:
        table: of the paper, ``2a``, ``2b`` or ``7``.
        quantity: ``R1`` to ``R3``, also ``broken``, by the public script (2a); ``mean``, ``deviation`` and ``share``
            (2b); ``before`` and ``after`` (7).
        rate, person: which row; None = it has none.
        value: as printed; shares as fractions.
    """

    table: str
    quantity: str
    dataset: str
    rate: float | None
    person: int | None
    value: float
    source: str
    note: str


def as_printed(fraction: float) -> str:
    """A fraction in per cent, with one decimal or two as the source has.

    Example:
        >>> as_printed(0.9107), as_printed(0.57)
        ('91.07', '57.0')
    """
    value = round(100 * fraction, 2)
    return f"{value:.1f}" if value == round(value, 1) else f"{value:.2f}"


def published(datasets: Iterable[str] | None = None, *, kinds: Iterable[Kind] = ("main",)) -> tuple[Published, ...]:
    """Printed scores, by data set, protocol, year and method.

    Args:
        datasets: None = all.
        kinds: which of the lines.

    Example:
        >>> [line.scores["R1"] for line in published(["mlr-viper"]) if line.method == "VPFA"]
        [0.505]
        >>> [line.remark for line in published(["mlr-caviar"]) if line.method == "FD-GAN"][0]
        'R10 is 96.5 in liu2025vpfa, Table 3; 86.5 in wu2023lrar, Table I'
    """
    wanted, chosen = None if datasets is None else set(datasets), set(kinds)
    return tuple(line for line in _lines() if line.kind in chosen and (wanted is None or line.dataset in wanted))


@functools.cache
def printed_rows() -> tuple[Published, ...]:
    """Each row of each table, as printed, in the order of the papers."""
    return tuple(
        Published(
            **{name: row[name] for name in ("method", "backbone", "dataset", "protocol", "rates", "setting", "note")},
            year=int(row["year"]),
            kind=cast(Kind, row["kind"]),
            scores={name: round(float(row[name]) / 100, 6) for name in SCORES if row[name]},
            source=f"{row['paper']}, {row['table']}",
            measured_as=row["measured_as"],
        )
        for row in _table("scores.csv")
    )


def printed_in(source: str) -> tuple[Published, ...]:
    """The rows of one table, as printed.

    Args:
        source: citation key and table.

    Raises:
        ConfigError: nothing was transcribed of it.

    Example:
        >>> [row.scores["R1"] for row in printed_in("liu2025vpfa, Table 11")]
        [0.94, 0.905, 0.941, 0.947]
    """
    found = tuple(row for row in printed_rows() if row.source == source)
    if not found:
        known = dict.fromkeys(row.source for row in printed_rows())
        raise ConfigError(f"published: no rows of {source!r} are known; known: {'; '.join(known)}")
    return found


@functools.cache
def efficiency() -> tuple[Efficiency, ...]:
    """What papers print of speed and size."""
    return tuple(
        Efficiency(
            **{name: row[name] for name in ("method", "aligner", "stage", "unit", "note")},
            quantity=cast(Quantity, row["quantity"]),
            value=float(row["value"]),
            source=f"{row['paper']}, {row['place']}",
        )
        for row in _table("efficiency.csv")
    )


@functools.cache
def printed_directions() -> tuple[PrintedDirection, ...]:
    """What papers print of directions, in the order of their tables.

    Example:
        >>> [row.value for row in printed_directions() if row.quantity == "mean"]
        [0.5373, 0.5533, 0.5721]
    """
    return tuple(
        PrintedDirection(
            **{name: row[name] for name in ("table", "quantity", "dataset", "note")},
            rate=float(row["rate"]) if row["rate"] else None,
            person=int(row["person"]) if row["person"] else None,
            value=float(row["value"]),
            source=f"{row['paper']}, Table {row['table']}",
        )
        for row in _table("directions.csv")
    )


def _table(name: str) -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@functools.cache
def _lines() -> tuple[Published, ...]:
    cells: dict[tuple[str, ...], list[Published]] = {}
    for row in printed_rows():
        cells.setdefault(row.cell, []).append(row)
    found = [line for rows in cells.values() for line in _of_cell(rows)]
    return tuple(sorted(found, key=_place))


def _place(line: Published) -> tuple[object, ...]:
    return line.dataset, line.protocol, line.kind != "main", line.year, line.method.casefold()


def _of_cell(rows: Sequence[Published]) -> Iterator[Published]:
    """The rows of one cell; those that do not contradict each other as one line."""
    alike: list[list[Published]] = []
    for row in rows:
        fitting = (group for group in alike if not any(_contradict(row, other) for other in group))
        group = next(fitting, None)
        if group is None:
            alike.append([row])
        else:
            group.append(row)
    remark = "; ".join(_disagreements(alike))
    for group in alike:
        also: dict[str, dict[str, None]] = {}
        for paper, _, table in (row.source.partition(", Table ") for row in group if row.source != group[0].source):
            also.setdefault(paper, {})[table] = None
        yield attrs.evolve(
            group[0],
            scores={name: value for row in reversed(group) for name, value in row.scores.items()},
            also="; ".join(f"{paper}, Table {', '.join(tables)}" for paper, tables in also.items()),
            note="; ".join(dict.fromkeys(row.note for row in group if row.note)),
            remark=remark,
        )


def _contradict(one: Published, other: Published) -> bool:
    return any(one.scores[name] != other.scores[name] for name in one.scores.keys() & other.scores.keys())


def _disagreements(alike: Sequence[Sequence[Published]]) -> Iterator[str]:
    """For each score, its values and where they are printed, if there are several."""
    for name in SCORES:
        places: dict[float, str] = {}
        for row in (row for group in alike for row in group if name in row.scores):
            places.setdefault(row.scores[name], row.source)
        if len(places) > 1:
            yield f"{name} is {'; '.join(f'{as_printed(value)} in {place}' for value, place in places.items())}"

"""Directions as tables: VPFA's Tables 1, 2a, 2b and 7 with what the paper prints, and what holds in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from crbench.analysis.directions import GROUP, THRESHOLD, Directions
from crbench.analysis.findings import findings
from crbench.analysis.subject import Subject
from crbench.analysis.tables import Table, as_json, as_text, interval, number, per_cent
from crbench.published import PrintedDirection, printed_directions

_PRINTED = "printed"
_SOURCE = "Printed rows: VPFA with TransReID on the 751 training people of Market-1501."


@attrs.frozen
class DirectionsReport:
    """The directions of a trial, and what they are of."""

    subject: Subject
    directions: Directions

    def render(self, form: str = "table", width: int | None = None) -> str:
        """As text or JSON, see `FORMATS` and `as_text` of `crbench.analysis.tables`."""
        found = self.directions
        words = findings(found, self.subject.people or "test")
        if form == "json":
            printed = [attrs.asdict(row) for row in printed_directions()]
            content = {"subject": self.subject, "findings": words, "directions": found, "printed": printed}
            return as_json(content)
        return as_text(str(self.subject), list(_tables(found)), words, form, width)


def _tables(found: Directions) -> Iterator[Table]:
    yield _cosines(found)
    yield _canonical(found)
    yield _correlations(found)
    yield _explained(found)
    if any(one.centres for one in found.rates.values()):
        yield _centres(found)
        yield _shown(found)
    if found.angles:
        yield _angles(found)


def _cosines(found: Directions) -> Table:
    rows = tuple(
        (
            _rate(rate),
            number(one.cosine.value),
            f"{number(one.cosine.low)} to {number(one.cosine.high)}",
            number(one.cosine.chance),
            number(one.cosine.p),
            interval(one.cosine.consistency),
            interval(one.cosine.length, 2),
        )
        for rate, one in found.rates.items()
    )
    one = next(iter(found.rates.values()))
    return Table(
        f"Table 1: cosine between the mean offsets (HR - LR) of two halves of {one.people} people, {one.images} images",
        ("rate", "cosine", "other halves", "chance", "p", "two people", "length"),
        rows,
        "chance: 95 % of cosines are below it where offsets like these have no common direction. two people: mean "
        "cosine between the offsets of two different people, which does not depend on how many there are. [low, high]: "
        "95 % interval over people. The paper's own numbers are not in its text.",
    )


def _canonical(found: Directions) -> Table:
    printed = _printed("2a")
    rows: list[tuple[str, ...]] = [
        (
            f"{_rate(rate)} R{place}",
            number(row.correlation),
            number(100 * row.largest, 1),
            number(row.broken),
            interval(row.held_out),
            number(row.script, 4),
            number(row.broken_script, 4),
        )
        for rate, one in found.rates.items()
        for place, row in enumerate(one.canonical, start=1)
    ]
    rows += [
        (
            f"{_PRINTED} {_rate(rate)} {name}",
            *["-"] * 4,
            number(value, 4),
            number(printed[rate, f"{name} broken"], 4),
        )
        for (rate, name), value in printed.items()
        if rate in found.rates and "broken" not in name
    ]
    one = next(iter(found.rates.values()))
    return Table(
        f"Table 2a: canonical correlations of LR and HR features, {one.columns} columns",
        ("", "correlation", "one image, %", "pairs broken", "held out", "script", "script, broken"),
        tuple(rows),
        "one image: the most that a single image makes of the variance of a variate. held out: on half of the people, "
        f"by maps of {one.rank} principal components that were fitted on the other half. script: |cov| / (var + var), "
        f"as the public script has it, at most half of the correlation. {_SOURCE}",
    )


def _correlations(found: Directions) -> Table:
    printed = _printed("2b")
    rows: list[tuple[str, ...]] = [
        (
            _rate(rate),
            interval(one.correlation.mean),
            number(one.correlation.deviation),
            per_cent(one.correlation.share),
            interval(one.correlation.mean_without),
            f"{number(one.correlation.mean_groups)}, {number(100 * one.correlation.share_groups, 1)}",
            f"{number(one.correlation.chance)}, {number(100 * one.correlation.chance_share, 1)}",
            f"{number(one.correlation.broken)}, {number(100 * one.correlation.broken_share, 1)}",
        )
        for rate, one in found.rates.items()
    ]
    rows += [
        (
            f"{_PRINTED} {_rate(rate)}",
            number(printed[rate, "mean"], 4),
            number(printed[rate, "deviation"], 4),
            number(100 * printed[rate, "share"], 2),
            *["-"] * 4,
        )
        for rate in found.rates
        if (rate, "mean") in printed
    ]
    above = f"% > {THRESHOLD:g}"
    return Table(
        "Table 2b: Pearson's correlation of each person's offset with the mean offset",
        ("rate", "mean", "std", above, "without the person", f"groups of {GROUP}, %", "chance, %", "pairs broken, %"),
        tuple(rows),
        f"without the person: the mean offset is that of the others. chance: offsets like these without a common "
        f"direction. pairs broken: each person's LR mean with any person's HR mean. {_SOURCE}",
    )


def _explained(found: Directions) -> Table:
    names = tuple(next(iter(found.rates.values())).explained)
    rows = tuple((_rate(rate), *(per_cent(one.explained[name]) for name in names)) for rate, one in found.rates.items())
    return Table(
        "Share of the squared offsets that is explained, in per cent",
        ("rate", *names),
        rows,
        "shift and linear maps of a rank: on half of the people, fitted on the other half, both ways. Aligners: fitted "
        "on the training people.",
    )


def _centres(found: Directions) -> Table:
    rows = tuple(
        (
            f"{_rate(rate)} {name}",
            interval(own.before, 2),
            interval(own.after, 2),
            per_cent(own.reduction),
            f"{number(own.nearest_before.value, 2)} to {number(own.nearest_after.value, 2)}",
            f"{number(100 * own.own_before.value, 1)} to {per_cent(own.own_after)}",
        )
        for rate, one in found.rates.items()
        for name, own in one.centres.items()
    )
    return Table(
        "Table 7: Euclidean distance between a person's LR and HR centres, before and after an aligner",
        ("rate and aligner", "before", "after", "reduction, %", "nearest other", "own is nearest, %"),
        rows,
        "nearest other: distance to the nearest HR centre of another person, before to after.",
    )


def _shown(found: Directions) -> Table:
    names = tuple(next(iter(found.rates.values())).centres)
    rows = [
        (
            f"{_rate(rate)} {pid}",
            number(before, 2),
            *(_after(before, own.shown[place][2]) for own in one.centres.values()),
            "-",
        )
        for rate, one in found.rates.items()
        for place, (pid, before, _) in enumerate(one.centres[names[0]].shown)
    ]
    printed = {(row.person, row.quantity): row.value for row in printed_directions() if row.table == "7"}
    rows += [
        (f"{_PRINTED} {person}", number(before, 2), *["-"] * len(names), _after(before, printed[person, "after"]))
        for (person, quantity), before in printed.items()
        if quantity == "before"
    ]
    return Table(
        "Table 7, person by person: distance before and after, and the reduction",
        ("rate and person", "before", *names, "VPFA, printed"),
        tuple(rows),
        "People are drawn by the seed. Printed: people of MLR-Market1501.",
    )


def _angles(found: Directions) -> Table:
    rows = tuple((f"{_rate(one)}, {_rate(other)}", interval(own, 1)) for (one, other), own in found.angles.items())
    return Table("Angle between the mean offsets of two rates, in degrees", ("rates", "angle"), rows)


def _after(before: float, after: float) -> str:
    return f"{number(after, 2)} ({number(100 * (1 - after / before) if before else 0.0, 1)} %)"


def _printed(table: str) -> Mapping[tuple[float, str], float]:
    rows: list[PrintedDirection] = [row for row in printed_directions() if row.table == table]
    return {(row.rate, row.quantity): row.value for row in rows if row.rate is not None}


def _rate(rate: float) -> str:
    return f"x{rate:g}"

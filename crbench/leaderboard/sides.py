"""The two rows that are compared: read from files or folders, and named so that they are told apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import attrs

from crbench.errors import ConfigError, DataError
from crbench.leaderboard.differences import differences, first_few
from crbench.leaderboard.joined import Joined, join
from crbench.leaderboard.labels import distinct_labels
from crbench.leaderboard.trainings import by_recipe
from crbench.results import Result
from crbench.results.labels import clean, failure_reason

Trainings = tuple[Joined, ...]
"""A row: the trials of each of its trainings."""


@attrs.frozen
class Side:
    """One of the two rows.

    Attributes:
        files: that it comes from.
        trainings: over which scores are means.
        between: sample standard deviation of the score between them; None of a single one, or where no score is asked.
    """

    label: str
    files: tuple[str, ...]
    trainings: int
    between: float | None = None


def two_rows(first: Sequence[Result], second: Sequence[Result], names: tuple[str, str]) -> tuple[Trainings, Trainings]:
    """The row that each of two files or folders makes, see `one_row`.

    The folder of a method holds results of several protocols after ``--bound``, ``--limit`` or another value of a rule.
    Where both sides have one protocol in common, its results count.
    """
    sides = _by_protocol(first), _by_protocol(second)
    common = [fingerprint for fingerprint in sides[0] if fingerprint in sides[1]]
    if len(common) == 1:
        first, second = (side[common[0]] for side in sides)
    return one_row(first, names[0]), one_row(second, names[1])


def one_row(results: Sequence[Result], name: str) -> Trainings:
    """The trainings of the one row that some results make, in each its trials.

    Args:
        name: of file or folder, for messages.

    Raises:
        DataError: there are none, or they failed.
        ConfigError: they are of several protocols, or make several rows.
    """
    protocols = list(_by_protocol(results).values())
    if not protocols:
        reasons = [f"it failed: {failure_reason(result)}" for result in results]
        raise DataError(
            f"{clean(name)}: no finished result ({(reasons or ['none at all'])[0]}); `crbench run` makes one"
        )
    if len(protocols) > 1:
        found = [one for one in differences(protocols[0][0], protocols[1][0]) if one.part == "protocol"]
        raise ConfigError(
            f"{clean(name)}: results of {len(protocols)} protocols, which differ in {first_few(found)}; "
            "name the file of one"
        )
    rows = by_recipe(join(protocols[0]).rows)
    if len(rows) > 1:
        labels = ", ".join(" + ".join(label) for label in distinct_labels(rows)[:3])
        more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        raise ConfigError(f"{clean(name)}: results of {len(rows)} rows ({labels}{more}); name the file of one")
    return rows[0]


def sides_of(first: Trainings, second: Trainings) -> tuple[Side, Side]:
    """Two rows with labels that tell them apart."""
    labels = distinct_labels([first, second])
    one, other = (
        Side(" + ".join(label), tuple(clean(r.origin or r.cell_id) for one in row for r in one.results), len(row))
        for label, row in zip(labels, (first, second), strict=True)
    )
    return one, other


def _by_protocol(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Finished results by fingerprint: that of data set, rules, limit and version of the evaluation."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.status == "ok":
            groups[result.fingerprint].append(result)
    return groups

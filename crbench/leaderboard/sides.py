"""The two rows that are compared: read from files or folders, and named so that they are told apart."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from crbench.errors import ConfigError, DataError
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


def one_row(results: Sequence[Result], name: str) -> Trainings:
    """The trainings of the one row that some results make, in each its trials.

    Args:
        name: of file or folder, for messages.

    Raises:
        DataError: there are none, or they failed.
        ConfigError: they make several rows.
    """
    done = [result for result in results if result.status == "ok"]
    if not done:
        reasons = [f"it failed: {failure_reason(result)}" for result in results]
        raise DataError(
            f"{clean(name)}: no finished result ({(reasons or ['none at all'])[0]}); `crbench run` makes one"
        )
    rows = by_recipe(join(done).rows)
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

"""Two rows, query by query: which is better, by how much, for whom, and whether the data tell them apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import ComparisonError, ConfigError
from crbench.leaderboard.board import trial_list
from crbench.leaderboard.choice import why_undefined
from crbench.leaderboard.differences import differences as unlike
from crbench.leaderboard.differences import first_few, shared_trials
from crbench.leaderboard.joined import Joined
from crbench.leaderboard.scores import Score, in_order
from crbench.leaderboard.sides import Side, Trainings, sides_of
from crbench.protocol import EVALUATION_VERSION
from crbench.results import Interval, MetricFacts
from crbench.results.labels import clean, dataset_label
from crbench.statistics import TrialQueries, aligned, averaged, differences, read_joined, recomputable
from crbench.statistics.bootstrap import LEVEL

GroupBy = Literal["rate", "camid"]

_SAME = 1e-9
"""Values of a query that are closer are equal but for rounding."""

_MOST_CHANGED = 10


@attrs.frozen(kw_only=True)
class Group:
    """What a comparison says of some queries.

    Attributes:
        name: ``all``, ``rate 2`` or ``camera 3``.
        queries, identities: of them, and people whom they show; a query counts in each trial that asks it.
        first, second: the score, mean over trials.
        difference: first minus second.
        interval: of the difference; None of a single person.
        p: two-sided, of permutations over people; None of a single person.
        permutations: that it counts.
        resolution: the difference that is found with a probability of 80 %; None of a single person, and where the
            difference does not depend on the people.
        won, lost, tied: queries in which the first is better, worse or equal.
    """

    name: str
    queries: int
    identities: int
    first: float
    second: float
    difference: float
    interval: Interval | None
    p: float | None
    permutations: int
    resolution: float | None
    won: int
    lost: int
    tied: int


@attrs.frozen(kw_only=True)
class Change:
    """An image whose queries the rows answer differently: means over its `queries`, which are several in many trials.

    Attributes:
        key: name of the image, or a hash of it.
        pid: whom it shows.
        rates: of its queries, lowest first.
    """

    key: str
    pid: int
    rates: tuple[str, ...]
    queries: int
    first: float
    second: float


@attrs.frozen(kw_only=True)
class Comparison:
    """What `compare` finds.

    Attributes:
        metric: the score.
        fraction: it lies in [0, 1].
        lower_is_better: its smallest value is the best.
        trials: those that both rows have.
        left_out: queries that only the first row has, and only the second; also those of whole trials.
        level: of intervals.
        groups: all queries first. P-values are not corrected for the number of groups.
        changes: the images whose queries changed most, at most ten, most first.
    """

    metric: str
    fraction: bool
    lower_is_better: bool
    first: Side
    second: Side
    dataset: str
    protocol: str
    fingerprint: str
    trials: tuple[int, ...]
    left_out: tuple[int, int]
    level: float
    groups: tuple[Group, ...]
    changes: tuple[Change, ...]


def compare(first: Trainings, second: Trainings, metric: str = "R1", by: GroupBy | None = None) -> Comparison:
    """Compare two rows over the queries that they share: same image, same rate, same trial.

    Args:
        first, second: the trainings of each, see `one_row`; a query has the mean score over them.
        by: compare the queries of each rate, or of each camera, too.

    Raises:
        ComparisonError: their numbers answer different questions; the message says what differs.
        ConfigError: a score that one of them does not have.
        DataError: outcomes that are missing or damaged.
    """
    facts = _check_metric([*first, *second], metric)
    for one in (*first[1:], *second):
        _check_comparable(first[0], one)
    trained = [[read_joined(one.results, {metric}) for one in row] for row in (first, second)]
    answered = [averaged(trainings) for trainings in trained]
    rows = aligned(answered)
    asked, kept = ([sum(len(trial.keys) for trial in row) for row in some] for some in (answered, rows))
    lower_is_better = facts is not None and not facts.higher_is_better
    sides = [
        attrs.evolve(side, between=_between(trainings, metric))
        for side, trainings in zip(sides_of(first, second), trained, strict=True)
    ]
    result = first[0].result
    return Comparison(
        metric=metric,
        fraction=facts is None or facts.unit == "fraction",
        lower_is_better=lower_is_better,
        first=sides[0],
        second=sides[1],
        dataset=dataset_label(result),
        protocol=result.protocol.name,
        fingerprint=result.fingerprint,
        trials=tuple(trial.index for trial in rows[0]),
        left_out=(asked[0] - kept[0], asked[1] - kept[1]),
        level=LEVEL,
        groups=tuple(_group(name, part, metric, lower_is_better) for name, part in _parts(rows, by)),
        changes=_changes(rows, metric),
    )


def _check_metric(trainings: Sequence[Joined], metric: str) -> MetricFacts | None:
    """What is known of a score; None of the CMC."""
    known = [name for name in trainings[0].metrics if all(name in one.metrics for one in trainings)]
    if metric not in known:
        names = (score.key for score in in_order(map(Score, known)))
        why = why_undefined(metric, [result for one in trainings for result in one.results])
        raise ConfigError(
            f"--metric {clean(metric)}: not a score of both results{why and f', as {why}'}; known: "
            f"{', '.join(map(clean, names))}"
        )
    facts = [one.result.metric_facts.get(metric) for one in trainings]
    if len({one and (one.code_sha256, one.unit, one.higher_is_better) for one in facts}) > 1:
        raise ComparisonError(f"score {clean(metric)} was computed by different code; run both again with the same")
    if facts[0] and metric not in recomputable([result for one in trainings for result in one.results]):
        raise ConfigError(f"--metric {clean(metric)}: its plugin is not installed here, or has other code than there")
    return facts[0]


def _check_comparable(first: Joined, second: Joined) -> None:
    results = first.result, second.result
    if any(result.evaluation_version > EVALUATION_VERSION for result in results):
        raise ComparisonError("evaluated by a newer crbench than this one; compare them with it")
    found = [one for one in unlike(*results, (first.trials, second.trials)) if one.forbids]
    if found:
        raise ComparisonError(
            f"not comparable, as their numbers answer different questions; they differ in {first_few(found)}; "
            "`crbench diff` lists all"
        )
    if not shared_trials(first.trials, second.trials):
        numbers = [trial_list([trial.index for trial in row.trials]) for row in (first, second)]
        raise ComparisonError(f"no trial in common: one has {numbers[0]}, the other {numbers[1]}")


def _between(trainings: Sequence[Sequence[TrialQueries]], metric: str) -> float | None:
    """How far a score moves between trainings, over the queries that all have."""
    if len(trainings) == 1:
        return None
    scores = [np.mean([trial.values[metric].mean() for trial in row]) for row in aligned(trainings)]
    return float(np.std(scores, ddof=1))


def _parts(rows: Sequence[list[TrialQueries]], by: GroupBy | None) -> Iterator[tuple[str, list[list[TrialQueries]]]]:
    """Names of groups, and the queries of each; all of them first."""
    yield "all", list(rows)
    if by is None:
        return
    column = {"rate": "rates", "camid": "camids"}[by]
    word = {"rate": "rate", "camid": "camera"}[by]
    values = {value for trial in rows[0] for value in getattr(trial, column).tolist()}
    for value in sorted(values, key=float):
        yield f"{word} {value}", [[trial.take(getattr(trial, column) == value) for trial in row] for row in rows]


def _group(name: str, rows: Sequence[Sequence[TrialQueries]], metric: str, lower_is_better: bool) -> Group:
    found = differences(rows, metric)
    changed = np.concatenate(_changed(rows, metric)) * (-1 if lower_is_better else 1)
    several = found.identities > 1
    return Group(
        name=name,
        queries=len(changed),
        identities=found.identities,
        first=float(found.scores[0]),
        second=float(found.scores[1]),
        difference=float(found.difference[0, 1]),
        interval=Interval(found.low[0, 1], found.high[0, 1]) if several else None,
        p=float(found.p[0, 1]) if several else None,
        permutations=found.permutations,
        resolution=found.resolution if several else None,
        won=int((changed > _SAME).sum()),
        lost=int((changed < -_SAME).sum()),
        tied=int((np.abs(changed) <= _SAME).sum()),
    )


def _changed(rows: Sequence[Sequence[TrialQueries]], metric: str) -> list[NDArray[np.float64]]:
    """f64[n] of each trial, what the first row has more in each query."""
    return [one.values[metric] - other.values[metric] for one, other in zip(*rows, strict=True)]


def _changes(rows: Sequence[Sequence[TrialQueries]], metric: str) -> tuple[Change, ...]:
    keys = np.concatenate([trial.keys for trial in rows[0]])
    names, owners, counts = np.unique(keys, return_inverse=True, return_counts=True)
    means = [
        np.bincount(owners, weights=np.concatenate([trial.values[metric] for trial in row])) / counts for row in rows
    ]
    size = np.abs(means[0] - means[1])
    most = [place for place in np.lexsort((names, -size)).tolist()[:_MOST_CHANGED] if size[place] > _SAME]
    pids, rates = (np.concatenate([getattr(trial, name) for trial in rows[0]]) for name in ("pids", "rates"))
    return tuple(
        Change(
            key=clean(str(names[place])),
            pid=int(pids[owners == place][0]),
            rates=tuple(sorted(set(rates[owners == place].tolist()), key=float)),
            queries=int(counts[place]),
            first=float(means[0][place]),
            second=float(means[1][place]),
        )
        for place in most
    )

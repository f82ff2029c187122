"""The scores of a leaderboard: their order, their direction and how their values are printed."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import attrs

from crbench.errors import ComparisonError
from crbench.leaderboard.formats import number, per_cent, printed
from crbench.leaderboard.joined import Joined
from crbench.results import Intervals, MetricFacts, Result, Summary

_CMC = re.compile(r"R([1-9]\d*)")
_MEANS = ("mAP", "mINP")


SpreadKind = Literal["auto", "interval", "std", "none"]
"""What tables print beside a mean; ``auto``: see `crbench.leaderboard.columns`."""

_LEVEL = 0.95
"""Of the intervals that a board shows."""


class Spread(NamedTuple):
    """A mean over trials, and how far it may be from that of other trials and other people.

    Attributes:
        std: sample standard deviation over trials; None for a single one.
        low, high: ends of the 95 % interval over people; None where it is not known.
        between: sample standard deviation between trainings; None for a single one.
    """

    mean: float
    std: float | None = None
    low: float | None = None
    high: float | None = None
    between: float | None = None

    def text(self, number: Callable[[float], str], kind: SpreadKind, *, first: Callable[[float], str]) -> str:
        """``52.0 [48.1, 55.9]``, ``52.0 ± 1.7`` or ``52.0``, as far as it is known.

        Args:
            number: writes ends and deviations.
            first: writes the mean.
        """
        if kind == "interval" and self.low is not None and self.high is not None:
            return f"{first(self.mean)} [{number(self.low)}, {number(self.high)}]"
        return first(self.mean) + (f" ± {number(self.std)}" if kind == "std" and self.std is not None else "")


@attrs.frozen
class Score:
    """What one score is, in every format.

    Attributes:
        name: as in `Result.metrics`: ``R1``, ``mAP``, or the name that a plugin gives.
        rate: the score is that of the queries of this down-sampling rate; None = of all queries.
        lower_is_better: the smallest value is the best.
        fraction: values lie in [0, 1], and tables print per cent.
    """

    name: str
    rate: str | None = None
    lower_is_better: bool = False
    fraction: bool = True

    @property
    def key(self) -> str:
        """The name in CSV and JSON: ``R1``, or ``R1@2`` at rate 2."""
        return self.name if self.rate is None else f"{self.name}@{self.rate}"

    @property
    def cmc_rank(self) -> int | None:
        """k of ``Rk``; None of other scores."""
        return cmc_rank(self.name)

    @property
    def title(self) -> str:
        """The heading in tables: ``R1``, or ``R1 x2`` at rate 2."""
        return self.name if self.rate is None else f"{self.name} x{self.rate}"

    def printed(self, value: float) -> float:
        """`value` as precisely as tables print it."""
        return printed(value) if self.fraction else float(f"{value:.4g}")

    def text(self, value: float) -> str:
        """In per cent, ``52.0``, or up to four digits of what is no fraction."""
        return per_cent(value) if self.fraction else number(value)


def cmc_rank(name: str) -> int | None:
    """k of ``Rk``; None of other names.

    Example:
        >>> cmc_rank("R10"), cmc_rank("mAP")
        (10, None)
    """
    cmc = _CMC.fullmatch(name)
    return int(cmc[1]) if cmc else None


def in_order(scores: Iterable[Score]) -> tuple[Score, ...]:
    """Each score once: R1, R5, ..., then mAP and mINP, then others by name, then those at one rate, lowest rate first.

    Example:
        >>> [score.key for score in in_order(map(Score, ("nDCG", "mAP", "R10", "first-tier", "R5")))]
        ['R5', 'R10', 'mAP', 'first-tier', 'nDCG']
    """
    return tuple(sorted({score.key: score for score in scores}.values(), key=_place))


def _place(score: Score) -> tuple[float, int, int, str]:
    rate = 0.0 if score.rate is None else float(score.rate)
    if (cmc := score.cmc_rank) is not None:
        return rate, 0, cmc, ""
    return (rate, 1, _MEANS.index(score.name), "") if score.name in _MEANS else (rate, 2, 0, score.name)


def scores_of(results: Iterable[Result], ranks: Iterable[int] = ()) -> tuple[Score, ...]:
    """The scores that any of `results` has, and those at `ranks`, in order; direction and unit are as results state.

    Raises:
        ComparisonError: two results state different directions or units for one score.
    """
    results = list(results)
    facts: dict[str, MetricFacts] = {}
    for result in results:
        for name, one in result.metric_facts.items():
            first = facts.setdefault(name, one)
            if (first.higher_is_better, first.unit) != (one.higher_is_better, one.unit):
                raise ComparisonError(
                    f"score {name!r}: {_fact(first)} in some results, {_fact(one)} in others; give the results of one "
                    f"version of its plugin"
                )
    names = {"R1": None} | {name: None for result in results for name in result.metrics}
    whole = [
        Score(name, lower_is_better=not facts[name].higher_is_better, fraction=facts[name].unit == "fraction")
        if name in facts
        else Score(name)
        for name in names
    ]
    rates = {rate for result in results for rate in result.by_rate}
    return in_order([*whole, *(Score(f"R{rank}") for rank in ranks), *(Score("R1", rate) for rate in rates)])


def _fact(facts: MetricFacts) -> str:
    return f"{facts.unit}, {'higher' if facts.higher_is_better else 'lower'} is better"


def values_of(trainings: Sequence[Joined], ranks: Sequence[int] = ()) -> dict[str, Spread]:
    """The scores of a row by `Score.key`; R1 of all queries and of each rate is always among them.

    Args:
        trainings: of the row; intervals are those of a single one.
        ranks: further ranks; a curve may end before them.
    """
    each = [_summaries(one, ranks) for one in trainings]
    if len(each) > 1:
        common = [key for key in each[0] if all(key in own for own in each)]
        return {key: spread_of([own[key].values for own in each]) for key in common}
    intervals = ends_of(trainings[0].intervals)
    return {key: Spread(one.mean, one.std, *intervals.get(key, ())) for key, one in each[0].items()}


def spread_of(values: Sequence[Sequence[float]]) -> Spread:
    """The mean of values and its spreads.

    Args:
        values: for each training the value of each trial.

    Example:
        >>> spread = spread_of([[0.5, 1.0], [0.0, 0.5]])
        >>> spread.mean, round(spread.std, 3), round(spread.between, 3)
        (0.5, 0.354, 0.354)
    """
    over_trials = Summary.of([statistics.fmean(trial) for trial in zip(*values, strict=True)])
    between = statistics.stdev(map(statistics.fmean, values)) if len(values) > 1 else None
    return Spread(over_trials.mean, over_trials.std, between=between)


def _summaries(joined: Joined, ranks: Iterable[int]) -> dict[str, Summary]:
    """The scores of one training by `Score.key`."""
    end = min((len(trial.cmc) for trial in joined.trials), default=0)
    missing = {f"R{k}": k for k in ranks if k <= end and f"R{k}" not in joined.metrics}
    asked = {name: Summary.of([trial.cmc[k - 1] for trial in joined.trials]) for name, k in missing.items()}
    of_rates = {Score("R1", rate).key: metrics["R1"] for rate, metrics in joined.by_rate.items()}
    return {**asked, **joined.metrics, **of_rates}


def ends_of(known: Intervals | None) -> dict[str, tuple[float, float]]:
    """The ends of 95 % intervals by `Score.key`."""
    if known is None or known.level != _LEVEL:
        return {}
    of_rates = {Score("R1", rate).key: own["R1"] for rate, own in known.by_rate.items() if "R1" in own}
    return {key: (one.low, one.high) for key, one in {**known.metrics, **of_rates}.items()}

"""Scores of trials and their summary over trials."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import attrs
from attrs import validators as v

from crbench.api.metric import METRIC_NAME
from crbench.metrics.cmc import SUMMARY_RANKS
from crbench.metrics.registry import METRICS

SHA256 = v.matches_re(r"[0-9a-f]{64}")
"""Validator: 64 hex digits."""

COUNT = v.and_(v.ge(0), v.le(2**63 - 1))
"""Validator: a count that an integer of 64 bits holds. JSON has longer ones, with which nothing can be computed."""

_DIGEST = v.matches_re(r"[0-9a-f]{12}")
_ROUNDING = 1e-9
RATE = re.compile(r"[1-9]\d{0,3}(\.\d+)?")
"""A rate as a key: ``f"{rate:g}"``."""


def _fraction(value: float) -> float:
    """`value`, freed from rounding errors at the ends of [0, 1]; scores summed in floating point may pass them."""
    if not -_ROUNDING <= value <= 1 + _ROUNDING:
        raise ValueError(f"{value} is not a fraction in [0, 1]")
    return min(max(float(value), 0.0), 1.0)


def fractions(values: Iterable[float]) -> tuple[float, ...]:
    """Converter: numbers in [0, 1]."""
    values = tuple(values)
    # Curves are most of a result file, and a call per value is slow. Only the sum shows a NaN wherever it stands.
    if values and min(values) >= 0 and max(values) <= 1 and math.isfinite(sum(values)):
        return tuple(map(float, values))
    return tuple(map(_fraction, values))


def finite_number(value: float) -> float:
    """Converter: a finite number."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return float(value)


def _numbers(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(finite_number(value) for value in values)


def named_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Converter: finite numbers by names of metrics."""
    if bad := [name for name in scores if not METRIC_NAME.fullmatch(name)]:
        raise ValueError(f"scores: {bad[0]!r} is no name of a metric")
    return {name: finite_number(value) for name, value in scores.items()}


def finite(_instance: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    """Validator: None or a finite number from 0 upwards."""
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{attribute.name}: {value} is not a finite number from 0 upwards")


def rate_keys(_instance: object, _attribute: attrs.Attribute[Any], value: Mapping[str, object]) -> None:
    """Validator: keys are rates."""
    if bad := [rate for rate in value if not RATE.fullmatch(rate)]:
        raise ValueError(f"by_rate: {bad[0]!r} is not a rate like '2' or '2.5'")


@attrs.frozen(kw_only=True)
class RateScores:
    """Scores of one trial's queries at one rate.

    Attributes:
        cmc: CMC at ranks 1, 2, ..., 50 (in version 1, up to another rank), so that ``cmc[k - 1]`` is Rank-k; fractions.
        scores: by metric, e.g. ``mAP``; those that the protocol defines. What they are is in `Result.metric_facts`.
        n_query: queries asked.
        n_valid: queries with a match in the gallery, over which the scores are means; at least 1.
    """

    cmc: tuple[float, ...] = attrs.field(converter=fractions, validator=v.min_len(1))
    scores: Mapping[str, float] = attrs.field(factory=dict, converter=named_scores)
    n_query: int = attrs.field(validator=v.ge(1))
    n_valid: int = attrs.field(validator=v.ge(1))

    def __attrs_post_init__(self) -> None:
        # Most of the time of reading goes to curves, and sorted() is the quickest check that a curve rises.
        if sorted(self.cmc) != list(self.cmc) and any(a > b + _ROUNDING for a, b in pairwise(self.cmc)):
            raise ValueError("cmc: the curve falls, but the share of queries with a match among more images cannot")
        if self.n_valid > self.n_query:
            raise ValueError(f"n_valid: {self.n_valid} queries have a match, of only {self.n_query} (n_query)")


@attrs.frozen(kw_only=True)
class TrialScores(RateScores):
    """Scores of one trial over all its queries.

    Attributes:
        index: trial number of the protocol, from 0.
        split: `Split.checksum` of its lists of images.
        data: digest of the content of its images, see `crbench.harness.identity`; None in version 1, which has one for
            all trials (`DataFacts.checksum`).
        fitted: digest of the content of the images that the aligner was fitted on; None = training images of `data`.
        skipped: unreadable test images that were left out; None in version 1, where it is known for all trials only.
        weights_sha256: of the backbone's weights; None = it has none, or of version 1, each trial had its own.
        training: names the training that made these weights: equal for equal rows, seed and recipe; None = they were
            not trained by a run.
        n_gallery: images in the gallery; None in version 1.
        n_persons: identities among the queries; None in version 1.
        by_rate: scores of the queries of each rate, keyed by the rate as ``f"{rate:g}"``; a rate without a valid
            query is left out.
    """

    index: int = attrs.field(validator=v.ge(0))
    split: str = attrs.field(validator=SHA256)
    data: str | None = attrs.field(default=None, validator=v.optional(_DIGEST))
    fitted: str | None = attrs.field(default=None, validator=v.optional(_DIGEST))
    skipped: int | None = attrs.field(default=None, validator=v.optional(v.ge(0)))
    weights_sha256: str | None = attrs.field(default=None, validator=v.optional(SHA256))
    training: str | None = attrs.field(default=None, validator=v.optional(_DIGEST))
    n_gallery: int | None = attrs.field(default=None, validator=v.optional(v.ge(1)))
    n_persons: int | None = attrs.field(default=None, validator=v.optional(v.ge(1)))
    by_rate: Mapping[str, RateScores] = attrs.field(factory=dict, validator=rate_keys)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        parts = self.by_rate.values()
        valid, asked = sum(part.n_valid for part in parts), sum(part.n_query for part in parts)
        if self.by_rate and valid != self.n_valid:
            raise ValueError(f"n_valid: {self.n_valid} queries have a match, but {valid} over all rates")
        if asked > self.n_query:
            raise ValueError(f"n_query: {self.n_query} queries, but {asked} over all rates")


@attrs.frozen(kw_only=True)
class MetricFacts:
    """What a reader must know of a score; its plugin need not be installed to read a result.

    Attributes:
        higher_is_better: the direction.
        unit: ``fraction`` in [0, 1], or ``number``: any finite value.
        summary: what it is, in one line.
        distribution, version: the package that offers it.
        code_sha256: of the code of a plugin's metric; None = it could not be read, or the metric is our own, whose
            changes raise the evaluation version.
    """

    higher_is_better: bool
    unit: Literal["fraction", "number"] = attrs.field(validator=v.in_(("fraction", "number")))
    summary: str
    distribution: str
    version: str
    code_sha256: str | None = attrs.field(default=None, validator=v.optional(SHA256))


@attrs.frozen
class Summary:
    """One score over the trials: mean, sample standard deviation (n - 1; None for one trial), value of each trial."""

    mean: float = attrs.field(converter=finite_number)
    std: float | None = attrs.field(validator=finite)
    values: tuple[float, ...] = attrs.field(converter=_numbers, validator=v.min_len(1))

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise; the sums are exact, so the same on every machine.

        Example:
            >>> Summary.of([0.5, 0.75]).mean
            0.625
        """
        std = statistics.stdev(values) if len(values) > 1 else None
        return cls(mean=statistics.fmean(values), std=std, values=tuple(values))


def summarise(scores: Sequence[RateScores]) -> dict[str, Summary]:
    """Each score over the trials.

    Args:
        scores: one per trial.

    Returns:
        ``R1``, ``R5``, ``R10``, ``R20``, as far as every curve goes, and each score that every trial has; empty without
        trials.

    Example:
        >>> parts = [RateScores(cmc=(r1, 1), n_query=4, n_valid=4) for r1 in (0.5, 1.0)]
        >>> summarise(parts)["R1"]
        Summary(mean=0.75, std=0.3535533905932738, values=(0.5, 1.0))
    """
    return {name: Summary.of(values) for name, values in _values(scores).items()}


def _values(scores: Sequence[RateScores]) -> dict[str, list[float]]:
    """What `summarise` summarises: each score's values, one per trial; without ranks that some curve does not reach."""
    if not scores:
        return {}
    reached = min(len(trial.cmc) for trial in scores)
    values = {f"R{k}": [trial.cmc[k - 1] for trial in scores] for k in SUMMARY_RANKS if k <= reached}
    common = [name for name in scores[0].scores if all(name in trial.scores for trial in scores)]
    return values | {name: [trial.scores[name] for trial in scores] for name in common}


def summarise_rates(trials: Sequence[TrialScores]) -> dict[str, dict[str, Summary]]:
    """`summarise` for each rate, over the trials that have queries of it; lowest rate first."""
    rates = sorted({rate for trial in trials for rate in trial.by_rate}, key=float)
    return {rate: summarise([trial.by_rate[rate] for trial in trials if rate in trial.by_rate]) for rate in rates}


def check_facts(facts: Mapping[str, MetricFacts], trials: Sequence[TrialScores]) -> None:
    """Refuse scores that the facts do not cover, and fractions outside [0, 1].

    Raises:
        ValueError: such a score, with its name.
    """
    parts = [part for trial in trials for part in (trial, *trial.by_rate.values())]
    names = {name for part in parts for name in part.scores}
    if names != facts.keys():
        raise ValueError(
            f"metric_facts: of {', '.join(facts) or 'no scores'}, the trials have {', '.join(sorted(names)) or 'none'}"
        )
    for metric in METRICS:
        own = facts.get(metric.name)
        if own and (own.higher_is_better, own.unit) != (metric.higher_is_better, metric.unit):
            raise ValueError(f"metric_facts.{metric.name}: another direction or unit than crbench's own")
    for part in parts:
        for name, value in part.scores.items():
            if facts[name].unit == "fraction" and not -_ROUNDING <= value <= 1 + _ROUNDING:
                raise ValueError(f"scores: {name}: {value} is not a fraction in [0, 1]")


def check_summaries(where: str, metrics: Mapping[str, Summary], scores: Sequence[RateScores]) -> None:
    """Refuse summaries that their trials do not give: an edited or mixed-up file must not enter a ranking.

    Raises:
        ValueError: a score that is missing, unknown or different; the message starts with `where`.
    """
    expected = _values(scores)
    if metrics.keys() != expected.keys():
        # a file has them sorted, which puts R10 before R5
        given_names = ", ".join(sorted(metrics, key=lambda name: [*expected, name].index(name))) or "no scores"
        raise ValueError(f"{where}: has {given_names}, the trials give {', '.join(expected) or 'none'}")
    for name, summary in metrics.items():
        given = [summary.mean, summary.std or 0.0, *summary.values]
        own = [*_mean_and_deviation(expected[name]), *expected[name]]
        if len(given) != len(own) or any(abs(a - b) > _ROUNDING for a, b in zip(given, own, strict=True)):
            raise ValueError(f"{where}.{name}: mean {summary.mean:.6g} disagrees with the trials ({own[0]:.6g})")


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """As in `Summary` to within `_ROUNDING`: the exact fractions of `statistics.stdev` take ten times as long."""
    mean = statistics.fmean(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))

"""Thresholds of a run: which distance means "the same person" by rate, and what becomes of people who are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np

from crbench.analysis.distances import RatePairs, pairs_by_rate
from crbench.analysis.open_set import DRAWS, Identified, PersonDistances, identified, person_distances
from crbench.analysis.people import FEWEST
from crbench.analysis.subject import Subject
from crbench.analysis.tables import Table, as_json, as_text, interval, number, per_cent
from crbench.analysis.verification import SPARE, Accepted, accepted, at_threshold
from crbench.api.context import RunContext
from crbench.config.run_spec import RunSpec
from crbench.errors import ConfigError
from crbench.evaluation.pairs import check_pairs_have_distances
from crbench.harness.opened import OpenedTrial
from crbench.harness.ranked import RankedTrial, ranked

ALL = "all"
"""In place of a rate: the queries of all rates."""


@attrs.frozen
class Verified:
    """A rate at a share of false pairs.

    Attributes:
        own: at the threshold of this rate.
        common: shares of true and of false pairs that the threshold of all rates together accepts.
    """

    own: Accepted
    common: tuple[float, float]


@attrs.frozen
class MethodThresholds:
    """One aligner: by share of false pairs or false alarms, then by rate, or `ALL`.

    Rates of fewer than four people have no open set.
    """

    verification: Mapping[float, Mapping[float | str, Verified]]
    open_set: Mapping[float, Mapping[float | str, Identified]]


@attrs.frozen
class ThresholdsReport:
    """Thresholds of a trial, by aligner; `distance` is the protocol's."""

    subject: Subject
    distance: str
    methods: Mapping[str, MethodThresholds]

    def render(self, form: str = "table", width: int | None = None) -> str:
        """As text or JSON, see `FORMATS` and `as_text` of `crbench.analysis.tables`."""
        words = list(_findings(self.methods))
        if form == "json":
            return as_json(
                {
                    "subject": self.subject,
                    "findings": words,
                    "distance": self.distance,
                    "methods": self.methods,
                }
            )
        return as_text(str(self.subject), [_verification_table(self), _open_set_table(self)], words, form, width)


def thresholds_of(
    spec: RunSpec, *, fprs: Sequence[float], fars: Sequence[float], context: RunContext | None = None
) -> ThresholdsReport:
    """Thresholds of the first trial of a run, for all of its aligners; nothing is recorded.

    All gallery images take part, also where the protocol draws some of them.

    Args:
        spec: one data set, one backbone and aligners.
        fprs: shares of false pairs that may be accepted.
        fars: shares of queries that may be answered although their person is not in the gallery.

    Raises:
        ConfigError: a share out of range.
        EvaluationError: pairs have no distances of their own, as with a plugin's distance.
        DataError: fewer than 4 people are asked for.
        CrbenchError: see `crbench.harness.run.run`.
    """
    if wrong := [share for share in (*fprs, *fars) if not 0 <= share < 1]:
        raise ConfigError(f"{wrong[0]:g} is no share; expected 0 or more and less than 1")
    opened = OpenedTrial.of(spec, context=context or RunContext())
    check_pairs_have_distances(opened.job.protocol)
    methods = {
        aligner.name: _method(ranked(opened, aligner), sorted(fprs), sorted(fars), spec.seed)
        for aligner in opened.job.aligners
    }
    return ThresholdsReport(Subject.of(opened, tuple(methods)), opened.job.protocol.scoring.distance, methods)


def _method(trial: RankedTrial, fprs: Sequence[float], fars: Sequence[float], seed: int) -> MethodThresholds:
    kept = min(1.0, SPARE * max(fprs, default=0.0))
    rates = pairs_by_rate(trial, kept=kept)
    together: dict[float | str, RatePairs] = dict(rates.items())
    together[ALL] = RatePairs.joined(list(rates.values()), kept)
    verification: dict[float, dict[float | str, Verified]] = {}
    for fpr in fprs:
        common = accepted(together[ALL], fpr).threshold.value
        verification[fpr] = {
            rate: Verified(accepted(pairs, fpr), at_threshold(pairs, common)) for rate, pairs in together.items()
        }
    distances = person_distances(trial)
    parts: dict[float | str, PersonDistances] = {rate: distances.take(distances.rates == rate) for rate in rates}
    parts[ALL] = distances
    parts = {rate: part for rate, part in parts.items() if rate == ALL or len(np.unique(part.pids)) >= FEWEST}
    open_set = {far: {rate: identified(part, far, seed=seed) for rate, part in parts.items()} for far in fars}
    return MethodThresholds(verification, open_set)


def _verification_table(report: ThresholdsReport) -> Table:
    return Table(
        f"Same person? Pairs that are nearer than a distance ({report.distance}), per cent",
        ("rate, FPR, aligner", "nearer than", "TPR", "true pairs", "false pairs", "common: TPR", "common: FPR"),
        tuple(
            (
                f"{_rate(rate)} {fpr:g} {name}",
                interval(one.own.threshold, 4),
                per_cent(one.own.tpr),
                f"{one.own.true:,}",
                f"{one.own.false:,}",
                number(100 * one.common[0], 1),
                f"{100 * one.common[1]:.3g}",
            )
            for name, method in report.methods.items()
            for fpr, rates in method.verification.items()
            for rate, one in rates.items()
        ),
        "common: at the one distance that has this FPR over the queries of all rates. [low, high]: 95 % interval over "
        "people. All gallery images take part.",
    )


def _open_set_table(report: ThresholdsReport) -> Table:
    return Table(
        "Open set: half of the people are not in the gallery, per cent",
        ("rate, FAR, aligner", "rightly answered", "all answered", "mean threshold", "known", "unknown"),
        tuple(
            (
                f"{_rate(rate)} {far:g} {name}",
                per_cent(one.rate),
                number(100 * one.unlimited, 1),
                number(one.threshold, 4),
                number(one.known, 1),
                number(one.unknown, 1),
            )
            for name, method in report.methods.items()
            for far, rates in method.open_set.items()
            for rate, one in rates.items()
        ),
        "FAR: share of the queries of unknown people that are answered. rightly answered: share of the queries of "
        "known people whose nearest image is near enough and shows them. all answered: the same without a threshold. "
        f"known, unknown: queries. Means over {DRAWS} draws of the people who are there. There is no interval where "
        "not even one query of an unknown person may be answered, as the nearest one then decides alone.",
    )


def _findings(methods: Mapping[str, MethodThresholds]) -> Iterator[str]:
    for name, method in methods.items():
        for fpr, rates in method.verification.items():
            own = {rate: one for rate, one in rates.items() if rate != ALL}
            if len(own) < 2:
                continue
            shares = {rate: one.common[1] for rate, one in own.items()}
            yield (
                f"{name}, one distance for all rates at FPR {fpr:g}: {_spread(shares)}. With a distance of its own "
                f"each rate finds {_each(own)} of its true pairs."
            )
        if method.open_set:
            parts = [f"{per_cent(found[ALL].rate)} % at FAR {far:g}" for far, found in method.open_set.items()]
            one = next(iter(method.open_set.values()))[ALL]
            yield (
                f"{name}, half of the people unknown: {', '.join(parts)} of the queries of known people are answered "
                f"rightly. Without a threshold it is {number(100 * one.unlimited, 1)} %, and everybody who is not "
                "there is taken for somebody."
            )


def _spread(shares: Mapping[float | str, float]) -> str:
    """Which rate accepts most of its false pairs and which one least, of rates and shares."""
    texts = {rate: f"{100 * share:.3g} %" for rate, share in shares.items()}
    most, least = max(shares, key=lambda rate: shares[rate]), min(shares, key=lambda rate: shares[rate])
    if texts[most] == texts[least]:
        return f"each rate accepts {texts[most]} of its false pairs"
    return f"{_rate(most)} accepts {texts[most]} of its false pairs, {_rate(least)} {texts[least]}"


def _each(rates: Mapping[float | str, Verified]) -> str:
    return ", ".join(f"{per_cent(one.own.tpr)} % at {_rate(rate)}" for rate, one in rates.items())


def _rate(rate: float | str) -> str:
    return rate if isinstance(rate, str) else f"x{rate:g}"

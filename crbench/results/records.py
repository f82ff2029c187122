"""The records of a result file: what one cell was, what it scored, what it cost, where it ran."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, Self

import attrs
from attrs import validators as v

from crbench.protocol.presets import OWN_FEATURES
from crbench.protocol.rules import EVALUATION_VERSION
from crbench.results.evidence import LEVELS, Evidence, Level
from crbench.results.intervals import Intervals
from crbench.results.method import Extraction, Method, WeightsFacts, own_name
from crbench.results.rules import ProtocolFacts, block_fingerprint, check_rules, plain
from crbench.results.scores import (
    COUNT,
    SHA256,
    MetricFacts,
    Summary,
    TrialScores,
    check_facts,
    check_summaries,
    finite,
    summarise,
    summarise_rates,
)

SCHEMA_VERSION = 2
"""Raised when a field of a result file is added, removed or changes its meaning."""

_PART = v.in_(("dataset", "distance"))

BASELINE = "none"
"""Name of the aligner that changes nothing; the gain of a row is over it."""

SANITY = ("constant", "random")
"""Names of the backbones that look at nobody; every other row must stand above theirs."""


def utc(_instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Validator: a time in UTC, ISO 8601."""
    if datetime.fromisoformat(value).utcoffset() != timedelta(0):
        raise ValueError(f"{attribute.name}: {value!r} is not a time in UTC like 2026-11-21T03:00:00+00:00")


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _weights(values: Iterable[WeightsFacts]) -> tuple[WeightsFacts, ...]:
    return tuple(values)


def _scores(values: Iterable[TrialScores]) -> tuple[TrialScores, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class DataFacts:
    """What was evaluated on.

    Attributes:
        checksum: digest of lists and images of all trials together, of files of version 1, whose trials have none of
            their own; else None.
        notes: what was left out and how often, e.g. ``{"junk images": 3819}``.
        parameters: of the data set; JSON values.
        changed: those that differ from the defaults.
        deviations: a text for each count that differs from the published one, e.g. ``94 of 750 test persons``.
        folder: name of the folder or file that the data set is read from, without its path, where the data set is
            named by 12 digits of its content; None = there is none, or it is not known.
    """

    checksum: str | None = None
    notes: Mapping[str, int] = attrs.field(factory=dict)
    parameters: Mapping[str, Any] = attrs.field(factory=dict, converter=plain)
    changed: Mapping[str, Any] = attrs.field(factory=dict, converter=plain)
    deviations: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    folder: str | None = own_name()


@attrs.frozen(kw_only=True)
class OutcomesFacts:
    """The file beside a result that holds what became of each query.

    Attributes:
        file: its name; it lies in the folder of the result.
        sha256: of the content of its arrays, not of the compressed bytes.
    """

    file: str = attrs.field(validator=v.matches_re(r"[\w.-]+\.npz"))
    sha256: str = attrs.field(validator=SHA256)


@attrs.frozen
class Timing:
    """What one stage cost over all trials of a cell.

    Attributes:
        seconds: wall time.
        count: what was processed in it, in `unit`: images, samples, fits, queries.
        per_second: ``count / seconds``; None where nothing was measured.
        cached: the work was taken from the cache; `seconds` of a fit is then the time that it took when it was made.
    """

    seconds: float = attrs.field(validator=finite)
    count: int = attrs.field(validator=COUNT)
    unit: str
    per_second: float | None = attrs.field(
        default=attrs.Factory(lambda t: t.count / t.seconds if t.seconds else None, takes_self=True), validator=finite
    )
    cached: bool = False

    def plus(self, more: Timing) -> Timing:
        """Both together; cached where both are."""
        return Timing(
            seconds=self.seconds + more.seconds,
            count=self.count + more.count,
            unit=more.unit,
            cached=self.cached and more.cached,
        )


@attrs.frozen(kw_only=True)
class Environment:
    """Where a cell ran: versions, platform, processor (`cpu`), torch device and number of threads.

    `packages` holds the versions of further libraries that numbers depend on, e.g. ``{"pillow": "12.0.0"}``.
    """

    crbench: str
    python: str
    torch: str
    numpy: str
    platform: str
    cpu: str
    device: str
    threads: int = attrs.field(validator=v.ge(1))
    packages: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Result:
    """One evaluated (or failed) cell.

    `metrics`, `by_rate` and `fingerprint` are derived from the other fields unless given; given ones must agree, and
    so must line and fingerprint of the protocol: an edited file is refused.

    Attributes:
        cell_id: 12 hex digits, the same for the same cell (data set, protocol, method, parameters, trials, seed).
        status, error: ``ok`` and None, or ``failed`` and the traceback.
        created: when the cell ended, ISO 8601 in UTC.
        evaluation_version: `crbench.protocol.EVALUATION_VERSION` of the crbench that computed it.
        limit: identities that the trials were cut down to (``--limit``); None = all. Such a result is not ranked.
        fingerprint: what must be equal to show results in one block, see `crbench.results.rules.block_fingerprint`.
        rate_source: ``oracle``, ``presumed``, ...; how rates were known at test time.
        code: SHA-256 of the code of further parts that decide numbers: of the ``dataset``, which reads images, and of
            the ``distance`` where it is a plugin's; None = not known. Empty in version 1.
        weights: provenance of all weights that the trials name.
        metric_facts: of each score of the trials beside the CMC: direction, unit, origin.
        metrics: ``R1``, ``R5``, ``R10``, ``R20``, as far as every curve goes, and each score that every trial has,
            such as ``mAP``.
        by_rate: `metrics` of the queries of each rate.
        intervals: of these scores over people; None = of version 1, of a failed cell, or of a single person.
        outcomes: where the outcome of each query is kept; None = it was not kept.
        extraction: how its features were computed.
        timings: stage to cost. The leaderboard reads ``fit`` (unit ``fits``: seconds per fit) and ``transform``
            (unit ``samples``).
        command: the exact line that repeats the cell.
        duration_s: wall time of the whole cell.
        content_sha256: of the whole content of its file, see `crbench.results.files.sealed`; None = of version 1,
            or not written yet.
        origin: the file that it was read from; None = it was not. It is no part of the file, and an evolved result has
            none.
        unknown: fields of a newer schema version, see `crbench.results.newer`; kept where a result is written again,
            and used for nothing.
        evidence: what was verified of its content on this machine; None = nothing. It is no part of the file.

    Raises:
        ValueError: a value out of its range, or one that does not follow from the fields that it is derived from.
    """

    schema_version: int = attrs.field(default=SCHEMA_VERSION, validator=v.ge(SCHEMA_VERSION))
    cell_id: str = attrs.field(validator=v.matches_re(r"[0-9a-f]{12}"))
    status: Literal["ok", "failed"] = attrs.field(default="ok", validator=v.in_(("ok", "failed")))
    error: str | None = None
    created: str = attrs.field(validator=utc)
    dataset: str
    data: DataFacts
    protocol: ProtocolFacts
    evaluation_version: int = attrs.field(default=EVALUATION_VERSION, validator=v.ge(1))
    limit: int | None = attrs.field(default=None, validator=v.optional(v.ge(1)))
    fingerprint: str = attrs.field(default=attrs.Factory(lambda r: r.own_fingerprint(), takes_self=True))
    rate_source: str
    seed: int = 0
    method: Method
    code: Mapping[str, str | None] = attrs.field(factory=dict, validator=v.deep_mapping(_PART, v.optional(SHA256)))
    weights: tuple[WeightsFacts, ...] = attrs.field(default=(), converter=_weights)
    extraction: Extraction
    trials: tuple[TrialScores, ...] = attrs.field(converter=_scores)
    metric_facts: Mapping[str, MetricFacts] = attrs.field(factory=dict)
    metrics: Mapping[str, Summary] = attrs.field(default=attrs.Factory(lambda r: summarise(r.trials), takes_self=True))
    by_rate: Mapping[str, Mapping[str, Summary]] = attrs.field(
        default=attrs.Factory(lambda r: summarise_rates(r.trials), takes_self=True)
    )
    intervals: Intervals | None = None
    outcomes: OutcomesFacts | None = None
    timings: Mapping[str, Timing] = attrs.field(factory=dict)
    environment: Environment
    command: str
    warnings: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    duration_s: float = attrs.field(validator=finite)
    content_sha256: str | None = attrs.field(default=None, eq=False, repr=False, validator=v.optional(SHA256))
    origin: str | None = attrs.field(default=None, init=False, eq=False, repr=False)
    unknown: Any = attrs.field(default=None, init=False, eq=False, repr=False)
    evidence: Evidence | None = attrs.field(default=None, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if (self.status == "ok") != (self.error is None) or (self.status == "ok" and not self.trials):
            raise ValueError("a result is either ok with trials and no error, or failed with an error")
        check_rules(self.protocol, self.evaluation_version, self.rate_source)
        if self.fingerprint != (own := self.own_fingerprint()):
            raise ValueError(
                f"fingerprint: {self.fingerprint!r} does not follow from data set, rules, limit and evaluation "
                f"version, which give {own!r}"
            )
        check_facts(self.metric_facts, self.trials)
        if self.status == "ok":
            check_summaries("metrics", self.metrics, self.trials)
        if self.by_rate.keys() != {rate for trial in self.trials for rate in trial.by_rate}:
            raise ValueError(f"by_rate: has rates {', '.join(self.by_rate) or 'none'}, the trials have others")
        for rate, metrics in self.by_rate.items():
            scores = [trial.by_rate[rate] for trial in self.trials if rate in trial.by_rate]
            check_summaries(f"by_rate.{rate}", metrics, scores)
        if self.intervals is not None:
            self.intervals.check_names(self.metrics, self.by_rate)

    def read_from(self, origin: str | None, unknown: Any = None, evidence: Evidence | None = None) -> Self:
        """The same result with what is known only once it is read, as it is frozen."""
        found = copy.copy(self)
        for name, value in (("origin", origin), ("unknown", unknown), ("evidence", evidence)):
            object.__setattr__(found, name, value)
        return found

    @property
    def level(self) -> Level:
        """How far it was verified on this machine."""
        return LEVELS[0] if self.evidence is None else self.evidence.level

    @property
    def given(self) -> bool:
        """Whether `crbench evaluate` made it, of features whose origin nothing tells."""
        return self.protocol.name == OWN_FEATURES.name

    @property
    def rankable(self) -> bool:
        """Whether its numbers are those of the whole protocol, by an evaluation that this version knows."""
        return self.limit is None and self.evaluation_version <= EVALUATION_VERSION

    @property
    def trial_set(self) -> tuple[object, ...]:
        """Which trials it covers, on which images: only results with equal sets are ranked together."""
        return self.data.checksum, *sorted((trial.index, trial.split, trial.data or "") for trial in self.trials)

    def own_fingerprint(self) -> str:
        """The fingerprint that its own fields give."""
        return block_fingerprint(self.dataset, self.protocol.rules, self.limit, self.evaluation_version)

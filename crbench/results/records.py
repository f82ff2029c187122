"""The records of a result file: what one cell was, what it scored, what it cost, where it ran."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import attrs
from attrs import validators as v

from crbench.config.amp import AMP, Amp
from crbench.results.scores import (
    MetricFacts,
    Summary,
    TrialScores,
    check_facts,
    check_summaries,
    finite,
    summarise,
    summarise_rates,
)

if TYPE_CHECKING:
    from crbench.protocol import EvalProtocol

SCHEMA_VERSION = 2
"""Raised when a field of a result file is added, removed or changes its meaning."""

BASELINE = "none"
"""Name of the aligner that changes nothing; the gain of a row is over it."""

_SHA256 = v.matches_re(r"[0-9a-f]{64}")


def _plain(content: Any) -> Any:
    """`content` as JSON gives it back (tuples become lists), so that a result equals its re-read file."""
    return json.loads(json.dumps(content, allow_nan=False))


def _utc(_instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if datetime.fromisoformat(value).utcoffset() != timedelta(0):
        raise ValueError(f"{attribute.name}: {value!r} is not a time in UTC like 2026-11-21T03:00:00+00:00")


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _scores(values: Iterable[TrialScores]) -> tuple[TrialScores, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class DataFacts:
    """What was evaluated on.

    Attributes:
        checksum: digest of the data as a whole (over the split manifests, or as the data set defines it).
        splits: `Split.checksum` of each trial, in the order of the trials.
        notes: what was left out and how often, e.g. ``{"junk images": 3819}``.
        skipped: unreadable images that were skipped.
    """

    checksum: str
    splits: tuple[str, ...] = attrs.field(converter=_strings, validator=v.deep_iterable(_SHA256))
    notes: Mapping[str, int] = attrs.field(factory=dict)
    skipped: int = attrs.field(default=0, validator=v.ge(0))


@attrs.frozen(kw_only=True)
class ProtocolFacts:
    """The rules: name, `EvalProtocol.flat`, its readable line and its fingerprint; see `of`."""

    name: str
    rules: Mapping[str, Any] = attrs.field(converter=_plain)
    describe: str
    fingerprint: str

    @classmethod
    def of(cls, protocol: EvalProtocol) -> ProtocolFacts:
        """The facts of a protocol."""
        return cls(
            name=protocol.name,
            rules=protocol.flat(),
            describe=protocol.describe(),
            fingerprint=protocol.fingerprint(),
        )


@attrs.frozen(kw_only=True)
class Component:
    """A backbone or an aligner as it was used.

    Attributes:
        name, preset: as in ``NAME/preset``; None = the entry has no presets. The name may end in an argument
            (``timm:resnet50``), of a path its last part (``onnx:net.onnx``).
        parameters: all constructor parameters after presets and ``--set``; JSON values.
        distribution, version: the package that registered it.
        weights_sha256: of the weights that were used, loaded or trained, or of the file or folder that the argument
            names; None where there are none.
        trained: the weights were learned on the run's training rows rather than loaded.
        parameter_count: learned parameters; None = not known.
    """

    name: str
    preset: str | None = None
    parameters: Mapping[str, Any] = attrs.field(factory=dict, converter=_plain)
    distribution: str = "crbench"
    version: str
    weights_sha256: str | None = attrs.field(default=None, validator=v.optional(_SHA256))
    trained: bool = False
    parameter_count: int | None = attrs.field(default=None, validator=v.optional(v.ge(0)))


@attrs.frozen
class Method:
    """Backbone and aligner of a cell."""

    backbone: Component
    aligner: Component


@attrs.frozen(kw_only=True)
class Extraction:
    """How images went through the network, beside the protocol: what features may depend on.

    Attributes:
        batch_size: images per network call.
        amp: arithmetic of the network: ``off`` (float32), or autocast to ``bf16`` or ``fp16``.
        compile: the network was compiled by ``torch.compile``.
    """

    batch_size: int = attrs.field(validator=v.ge(1))
    amp: Amp = attrs.field(default="off", validator=v.in_(AMP))
    compile: bool = False


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
    count: int = attrs.field(validator=v.ge(0))
    unit: str
    per_second: float | None = attrs.field(
        default=attrs.Factory(lambda t: t.count / t.seconds if t.seconds else None, takes_self=True), validator=finite
    )
    cached: bool = False


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

    `metrics` and `by_rate` are derived from `trials` unless given; given ones must agree.

    Attributes:
        cell_id: 12 hex digits, the same for the same cell (data set, protocol, method, parameters, trials, seed).
        status, error: ``ok`` and None, or ``failed`` and the traceback.
        created: when the cell ended, ISO 8601 in UTC.
        fingerprint: what must be equal to rank results together: data set, protocol, split checksums, skipped images.
        rate_source: ``oracle``, ``presumed``, ...; how rates were known at test time.
        rankable: False where the numbers are not those of the whole protocol (``--limit``).
        metric_facts: of each score of the trials beside the CMC: direction, unit, origin.
        metrics: ``R1``, ``R5``, ``R10``, ``R20`` (in version 1, the ranks of the protocol) and each score that every
            trial has, such as ``mAP``.
        by_rate: `metrics` of the queries of each rate.
        extraction: how its features were computed.
        timings: stage to cost. The leaderboard reads ``fit`` (unit ``fits``: seconds per fit) and ``transform``
            (unit ``samples``).
        command: the exact line that repeats the cell.
        duration_s: wall time of the whole cell.

    Raises:
        ValueError: a value out of its range, or summaries that disagree with the trials.
    """

    schema_version: int = attrs.field(default=SCHEMA_VERSION, validator=v.in_((SCHEMA_VERSION,)))
    cell_id: str = attrs.field(validator=v.matches_re(r"[0-9a-f]{12}"))
    status: Literal["ok", "failed"] = attrs.field(default="ok", validator=v.in_(("ok", "failed")))
    error: str | None = None
    created: str = attrs.field(validator=_utc)
    dataset: str
    data: DataFacts
    protocol: ProtocolFacts
    fingerprint: str
    rate_source: str
    rankable: bool = True
    seed: int = 0
    method: Method
    extraction: Extraction
    trials: tuple[TrialScores, ...] = attrs.field(converter=_scores)
    metric_facts: Mapping[str, MetricFacts] = attrs.field(factory=dict)
    metrics: Mapping[str, Summary] = attrs.field(default=attrs.Factory(lambda r: summarise(r.trials), takes_self=True))
    by_rate: Mapping[str, Mapping[str, Summary]] = attrs.field(
        default=attrs.Factory(lambda r: summarise_rates(r.trials), takes_self=True)
    )
    timings: Mapping[str, Timing] = attrs.field(factory=dict)
    environment: Environment
    command: str
    warnings: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    duration_s: float = attrs.field(validator=finite)

    def __attrs_post_init__(self) -> None:
        if (self.status == "ok") != (self.error is None) or (self.status == "ok" and not self.trials):
            raise ValueError("a result is either ok with trials and no error, or failed with an error")
        check_facts(self.metric_facts, self.trials)
        if self.status == "ok":
            check_summaries("metrics", self.metrics, self.trials)
        if self.by_rate.keys() != {rate for trial in self.trials for rate in trial.by_rate}:
            raise ValueError(f"by_rate: has rates {', '.join(self.by_rate) or 'none'}, the trials have others")
        for rate, metrics in self.by_rate.items():
            scores = [trial.by_rate[rate] for trial in self.trials if rate in trial.by_rate]
            check_summaries(f"by_rate.{rate}", metrics, scores)

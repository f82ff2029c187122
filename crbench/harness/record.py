"""Step 9: what a cell gathered, as a `Result`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from crbench.api.context import RunContext
from crbench.config.run_spec import RunSpec
from crbench.evaluation import Selection
from crbench.harness.backbone import Encoder
from crbench.harness.cell import Fitted, parameter_count, transform_timing
from crbench.harness.environment import describe_environment
from crbench.harness.plan import Job
from crbench.harness.trial import TrialData, comparability, data_checksum
from crbench.protocol import EVALUATION_VERSION
from crbench.protocol.hashing import digest, sha256_file
from crbench.registry.resolve import Resolved
from crbench.results import (
    Component,
    DataFacts,
    Extraction,
    Method,
    MetricFacts,
    ProtocolFacts,
    Result,
    Timing,
    TrialScores,
)


@attrs.define(eq=False)
class Accumulator:
    """What one aligner gathers over the trials of a job."""

    aligner: Resolved
    scores: list[TrialScores] = attrs.field(factory=list)
    timings: dict[str, Timing] = attrs.field(factory=dict)
    weights: set[str | None] = attrs.field(factory=set)
    trained: bool = False
    warnings: list[str] = attrs.field(factory=list)
    parameters: int | None = None
    error: str | None = None
    _fits: set[str] = attrs.field(factory=set, init=False)

    def use(self, encoder: Encoder, extraction: Timing) -> None:
        """Count in an encoder and the extraction of its features."""
        self.weights.add(encoder.weights_sha256)
        self.trained |= encoder.trained
        self.warnings.extend(encoder.warnings)
        self._count("extract", extraction)
        if encoder.seconds is not None:
            self._count("train", Timing(seconds=encoder.seconds, count=1, unit="trainings"))

    def add(self, scores: TrialScores, fitted: Fitted, evaluation_s: float) -> None:
        """Count in one trial; trials may share a fit."""
        self.scores.append(scores)
        self.parameters = parameter_count(fitted.transform)
        if fitted.key not in self._fits:
            self._fits.add(fitted.key)
            self._count("fit", Timing(seconds=fitted.seconds, count=1, unit="fits", cached=fitted.cached))
            self._count("transform", transform_timing(fitted))
        self._count("evaluate", Timing(seconds=evaluation_s, count=scores.n_query, unit="queries"))

    def _count(self, stage: str, more: Timing) -> None:
        before = self.timings.get(stage, Timing(seconds=0.0, count=0, unit=more.unit, cached=True))
        self.timings[stage] = Timing(
            seconds=before.seconds + more.seconds,
            count=before.count + more.count,
            unit=more.unit,
            cached=before.cached and more.cached,
        )


@attrs.frozen(eq=False)
class RunFacts:
    """What the results of one job share.

    Attributes:
        extraction: how features are computed; a size left to ``auto`` is settled here.
        weights: the file behind ``spec.weights``, or the released weights that are used; None = trained ones.
        checksum: of the data, see `data_checksum`.
        fingerprint: of rules and data, see `comparability`.
    """

    job: Job
    trials: Sequence[TrialData]
    spec: RunSpec
    run: RunContext
    extraction: Extraction
    weights: Path | None
    checksum: str
    fingerprint: str

    @classmethod
    def of(
        cls,
        job: Job,
        trials: Sequence[TrialData],
        spec: RunSpec,
        run: RunContext,
        extraction: Extraction,
        weights: Path | None,
    ) -> RunFacts:
        """The facts of a job whose splits are drawn."""
        checksum = data_checksum(trials)
        fingerprint = comparability(job, trials, checksum, spec.limit)
        return cls(job, trials, spec, run, extraction, weights, checksum, fingerprint)


def cell_id(facts: RunFacts, aligner: Resolved) -> str:
    """12 hex digits that stand for all that decides the cell's numbers."""
    job, spec = facts.job, facts.spec
    return digest(
        {
            "data": facts.fingerprint,
            "methods": [method.identity() for method in (job.dataset, job.backbone, aligner)],
            "weights": None if facts.weights is None else sha256_file(facts.weights),
            "seed": spec.seed,
            "extraction": attrs.asdict(facts.extraction),
            "device": facts.run.device.partition(":")[0],
            "version": EVALUATION_VERSION,
        }
    )


def make_result(facts: RunFacts, accumulator: Accumulator, seconds: float) -> Result:
    """The result of one cell, ok or failed."""
    job, spec = facts.job, facts.spec
    warnings = list(accumulator.warnings)
    skipped = sum(trial.skipped for trial in facts.trials)
    if skipped:
        warnings.append(f"{skipped} unreadable test images were skipped")
    if spec.limit is not None:
        warnings.append(f"limited to {spec.limit} identities: not rankable")
    return Result(
        cell_id=cell_id(facts, accumulator.aligner),
        status="ok" if accumulator.error is None else "failed",
        error=accumulator.error,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=job.dataset.name,
        data=DataFacts(
            checksum=facts.checksum,
            splits=tuple(trial.split.checksum for trial in facts.trials),
            notes={name: count for trial in facts.trials[:1] for name, count in trial.split.notes.items()},
            skipped=skipped,
        ),
        protocol=ProtocolFacts.of(job.protocol),
        fingerprint=facts.fingerprint,
        rate_source=job.protocol.rate_source,
        rankable=spec.limit is None,
        seed=spec.seed,
        method=Method(
            backbone=component(
                job.backbone,
                weights_sha256=next(iter(accumulator.weights)) if len(accumulator.weights) == 1 else None,
                trained=accumulator.trained,
            ),
            aligner=component(accumulator.aligner, parameter_count=accumulator.parameters),
        ),
        extraction=facts.extraction,
        trials=tuple(accumulator.scores) if accumulator.error is None else (),
        metric_facts=metric_facts(Selection.of(job.protocol, spec.metrics)) if accumulator.error is None else {},
        timings=accumulator.timings,
        environment=describe_environment(facts.run.device),
        command=command_line(facts, accumulator.aligner),
        warnings=tuple(dict.fromkeys(warnings)),
        duration_s=seconds,
    )


def command_line(facts: RunFacts, aligner: Resolved) -> str:
    """The command that repeats one cell, with every default spelled out."""
    spec, job = facts.spec, facts.job
    words = ["crbench", "run", "--dataset", job.dataset.name, "--protocol", job.protocol.name]
    words += ["--backbone", job.backbone.name, "--aligner", aligner.name]
    words += ["--trial", ",".join(str(trial) for trial in job.trials), "--seed", str(spec.seed)]
    words += ["--device", facts.run.device, "--batch-size", str(facts.extraction.batch_size), "--no-baseline"]
    if facts.extraction.amp != "off":
        words += ["--amp", facts.extraction.amp]
    if facts.extraction.compile:
        words += ["--compile"]
    weights = spec.weights or facts.weights
    if weights is not None:
        words += ["--weights", str(weights)]
    if spec.weights_sha256 is not None:
        words += ["--weights-sha256", spec.weights_sha256]
    if spec.limit is not None:
        words += ["--limit", str(spec.limit)]
    for name in spec.metrics:
        words += ["--metric", name]
    if spec.on_bad_image != "error":
        words += ["--on-bad-image", spec.on_bad_image]
    entry = job.backbone.registered.entry
    said = {f"{part}.{entry.argument}" for part in ("backbone", entry.name)}  # --backbone NAME:ARGUMENT says it
    for key, value in sorted((key, value) for key, value in spec.set.items() if key not in said):
        part = key.partition(".")[0]
        if part in {"protocol", "dataset", "backbone", *_names(job.dataset, job.backbone, aligner)} or (
            part == "aligner" and key.partition(".")[2] in aligner.parameters
        ):
            words += ["--set", f"{key}={_toml(value)}"]
    return shlex.join(words)


def _names(*methods: Resolved) -> set[str]:
    return {method.registered.entry.name for method in methods}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return repr(value) if isinstance(value, (int, float)) else f'"{value}"'


def metric_facts(selection: Selection) -> dict[str, MetricFacts]:
    """The metrics of an evaluation as results name them."""
    return {
        one.name: MetricFacts(
            higher_is_better=one.metric.higher_is_better,
            unit=one.metric.unit,
            summary=one.metric.summary,
            distribution=one.owner.distribution,
            version=one.owner.version,
        )
        for one in selection.metrics
    }


def component(method: Resolved, **facts: Any) -> Component:
    """A resolved method as results name it; `facts` are further fields."""
    owner = method.registered.owner
    return Component(
        name=method.label,
        preset=method.preset or None,
        parameters=method.parameters,
        distribution=owner.distribution,
        version=owner.version,
        **facts,
    )

"""Step 9: what a cell gathered, as a `Result`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs

from crbench.harness.backbone import ReadyBackbone
from crbench.harness.cell import Fitted, parameter_count, transform_timing
from crbench.harness.command import command_line
from crbench.harness.environment import describe_environment
from crbench.harness.facts import JobFacts
from crbench.registry.resolve import Resolved
from crbench.results import Component, DataFacts, Method, ProtocolFacts, Result, Timing, TrialScores


@attrs.define(eq=False)
class CellAccumulator:
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

    def use(self, ready: ReadyBackbone, extraction: Timing) -> None:
        """Count in a backbone and the extraction of its features."""
        self.weights.add(ready.weights_sha256)
        self.trained |= ready.trained
        self.warnings.extend(ready.warnings)
        self._count("extract", extraction)
        if ready.seconds is not None:
            self._count("train", Timing(seconds=ready.seconds, count=1, unit="trainings"))

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


def make_result(facts: JobFacts, accumulator: CellAccumulator, seconds: float) -> Result:
    """The result of one cell, ok or failed."""
    job, spec = facts.job, facts.spec
    warnings = list(accumulator.warnings)
    skipped = sum(trial.skipped for trial in facts.trials)
    if skipped:
        warnings.append(f"{skipped} unreadable test images were skipped")
    if spec.limit is not None:
        warnings.append(f"limited to {spec.limit} identities: not rankable")
    return Result(
        cell_id=facts.cell_id(accumulator.aligner),
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
        timings=accumulator.timings,
        environment=describe_environment(facts.run.device),
        command=command_line(facts, accumulator.aligner),
        warnings=tuple(dict.fromkeys(warnings)),
        duration_s=seconds,
    )


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

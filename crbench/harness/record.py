"""Step 9: what a cell gathers over its trials, and the `Result` of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs

from crbench.api.interfaces import Precomputed
from crbench.evaluation import Selection
from crbench.harness.backbone import ReadyBackbone
from crbench.harness.cards import examine
from crbench.harness.cell import TrialRun, parameter_count, transform_timing
from crbench.harness.command import command_line
from crbench.harness.costs import NetworkCost
from crbench.harness.environment import describe_environment
from crbench.harness.facts import JobFacts
from crbench.harness.identity import further_methods
from crbench.harness.plan import Job
from crbench.harness.time_limit import Stopwatch
from crbench.registry.resolve import Resolved
from crbench.results import (
    Component,
    DataFacts,
    FittedOn,
    Method,
    MetricFacts,
    ProtocolFacts,
    Result,
    Timing,
    TrialScores,
    WeightsFacts,
)
from crbench.results.outcomes import TrialOutcomes
from crbench.statistics import TrialQueries, intervals, numbers_of


@attrs.define(eq=False)
class CellAccumulator:
    """What one cell gathers over the trials of its job.

    Attributes:
        scores, outcomes, queries: of the trials that are done, in order.
        timings: by stage, summed over backbones, fits and trials.
        weights: SHA-256 of every weights file that was used; None stands for a backbone without one.
        trained: a run or `crbench train` trained one of the backbones.
        provenance: of the weights of backbones and of the files that the aligner's parameters name.
        warnings: what the reader of the result should know of the weights.
        network: what the last backbone costs.
        parameters: learned parameters of the last transform; None = not known.
        macs: multiply-accumulate operations of the last transform for one sample; None = not known.
        columns, gallery_passes: of the last trial, see `crbench.results.Method`.
        given_features: features were given in place of a backbone.
        error: traceback of the trial that failed, which was the last one.
        watch: counts the seconds of the cell's own steps.
    """

    aligner: Resolved
    scores: list[TrialScores] = attrs.field(factory=list)
    outcomes: list[TrialOutcomes] = attrs.field(factory=list)
    queries: list[TrialQueries] = attrs.field(factory=list)
    timings: dict[str, Timing] = attrs.field(factory=dict)
    weights: set[str | None] = attrs.field(factory=set)
    trained: bool = False
    provenance: list[WeightsFacts] = attrs.field(factory=list)
    warnings: list[str] = attrs.field(factory=list)
    network: NetworkCost = attrs.field(factory=NetworkCost)
    parameters: int | None = None
    macs: int | None = None
    columns: int | None = None
    gallery_passes: float | None = None
    given_features: bool = False
    error: str | None = None
    watch: Stopwatch = attrs.field(factory=Stopwatch, init=False)
    _fits: set[str] = attrs.field(factory=set, init=False)

    @classmethod
    def of(cls, facts: JobFacts, aligner: Resolved) -> CellAccumulator:
        """An accumulator that has the files of the aligner.

        Raises:
            ComparisonError: these were fitted on persons or images of the test.
            DataError: they are damaged, or their card is.
        """
        cell = cls(aligner)
        for file in aligner.files:
            found, warnings = examine(file, facts.job, facts.trials, "fitted")
            cell.provenance.append(found)
            cell.warnings.extend(warnings)
        return cell

    def add_backbone(self, ready: ReadyBackbone, network: NetworkCost, extraction: Timing) -> None:
        """Add a backbone, what it costs, and the extraction of its features."""
        self.network = network
        self.given_features |= isinstance(ready.backbone, Precomputed)
        self.weights.add(ready.weights_sha256)
        self.trained |= ready.training is not None
        self.warnings.extend(ready.warnings)
        if ready.provenance is not None:
            self.provenance.append(ready.provenance)
        self.add_extraction(extraction)
        if ready.seconds is not None:
            self._count("train", Timing(seconds=ready.seconds, count=1, unit="trainings"))

    def add_extraction(self, extraction: Timing) -> None:
        """Add the extraction of further features."""
        self._count("extract", extraction)

    def add_trial(self, trial: TrialRun) -> None:
        """Add one trial; a fit that trials share counts once."""
        fitted = trial.fitted
        self.scores.append(trial.scores)
        self.outcomes.append(trial.outcomes)
        self.queries.append(trial.queries)
        self.columns, self.gallery_passes = trial.columns, trial.gallery_passes
        self.parameters = parameter_count(fitted.transform, self.aligner.registered.owner)
        self.macs = fitted.macs
        if fitted.key not in self._fits:
            self._fits.add(fitted.key)
            self._count("fit", Timing(seconds=fitted.seconds, count=1, unit="fits", cached=fitted.cached))
            self._count("transform", transform_timing(fitted))
        self._count("evaluate", Timing(seconds=trial.seconds, count=trial.scores.n_query, unit="queries"))

    def _count(self, stage: str, more: Timing) -> None:
        before = self.timings.get(stage, Timing(seconds=0.0, count=0, unit=more.unit, cached=True))
        self.timings[stage] = before.plus(more)


def make_result(facts: JobFacts, cell: CellAccumulator, seconds: float) -> Result:
    """The result of one cell, ok or failed; `seconds` passed since its job began."""
    job, spec = facts.job, facts.spec
    scored = metric_facts(Selection.of(job.protocol, spec.metric)) if cell.error is None else {}
    return Result(
        cell_id=facts.cell_id(cell.aligner),
        status="ok" if cell.error is None else "failed",
        error=cell.error,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        dataset=job.dataset.public_name,
        data=DataFacts(
            notes={name: count for trial in facts.trials[:1] for name, count in trial.split.notes.items()},
            parameters=job.dataset.public_parameters,
            changed=changed_parameters(job.dataset),
            deviations=facts.deviations,
            folder=job.dataset.file_name or None,
        ),
        protocol=ProtocolFacts.of(job.protocol),
        fingerprint=facts.fingerprint,
        rate_source=job.protocol.split.rate_source,
        limit=spec.limit,
        seed=spec.seed,
        method=_method(facts, cell),
        code={method.registered.kind: method.code_sha256 for method in further_methods(job)},
        extraction=facts.extraction,
        trials=tuple(cell.scores) if cell.error is None else (),
        metric_facts=scored,
        intervals=intervals(cell.queries, numbers=numbers_of(scored)) if cell.error is None else None,
        weights=dict.fromkeys(cell.provenance),
        timings=cell.timings,
        environment=describe_environment(facts.run.device, (job.backbone, cell.aligner)),
        command=command_line(facts, cell.aligner),
        warnings=_warnings(facts, cell),
        duration_s=seconds,
    )


def _method(facts: JobFacts, cell: CellAccumulator) -> Method:
    # Trials with weights of their own have no one hash.
    (weights,) = cell.weights if len(cell.weights) == 1 else (None,)
    return Method(
        backbone=component(
            facts.job.backbone,
            weights_sha256=weights,
            trained=cell.trained,
            parameter_count=cell.network.parameters,
            macs=cell.network.macs,
        ),
        aligner=component(
            cell.aligner,
            parameter_count=cell.parameters,
            macs=cell.macs,
            transductive=cell.aligner.transductive,
            fitted_on=_fitted_on(facts.job),
        ),
        columns=cell.columns,
        gallery_passes=cell.gallery_passes,
    )


def _fitted_on(job: Job) -> FittedOn | None:
    if job.partner is None:
        return None
    dataset = job.partner.dataset
    return FittedOn(
        dataset=dataset.public_name,
        parameters=dataset.public_parameters,
        changed=changed_parameters(dataset),
        protocol=job.partner.protocol.name,
        code_sha256=dataset.code_sha256,
        folder=dataset.file_name or None,
    )


def _warnings(facts: JobFacts, cell: CellAccumulator) -> tuple[str, ...]:
    warnings = list(cell.warnings)
    if facts.skipped:
        warnings.append(f"{facts.skipped} unreadable test images were skipped")
    if facts.fitted_deviations:
        text = ", ".join(facts.fitted_deviations)
        warnings.append(f"fitted on a copy of {facts.job.fitting.dataset.public_name} that has {text}")
    if facts.job.distance is not None and facts.job.distance.transductive:
        warnings.append(f"distance {facts.job.distance.name} is transductive: it depends on the other test images")
    if facts.spec.limit is not None:
        warnings.append(f"limited to {facts.spec.limit} identities: not rankable")
    return tuple(dict.fromkeys(warnings))


def metric_facts(selection: Selection) -> dict[str, MetricFacts]:
    """The metrics of an evaluation as results name them."""
    return {
        one.name: MetricFacts(
            higher_is_better=one.metric.higher_is_better,
            unit=one.metric.unit,
            summary=one.metric.summary,
            distribution=one.owner.distribution,
            version=one.owner.version,
            code_sha256=one.code_sha256,
        )
        for one in selection.metrics
    }


def changed_parameters(method: Resolved) -> dict[str, Any]:
    """The parameters that differ from the preset, or from the defaults where there is none."""
    return {name: method.parameters[name] for name in method.changed}


def component(method: Resolved, **facts: Any) -> Component:
    """A resolved method as results name it; `facts` are further fields of `Component`."""
    owner = method.registered.owner
    return Component(
        name=method.label,
        preset=method.preset or None,
        parameters=method.parameters,
        changed=changed_parameters(method),
        distribution=owner.distribution,
        version=owner.version,
        code_sha256=method.code_sha256,
        **facts,
    )

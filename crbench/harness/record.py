"""Step 9: what a cell gathered, as a `Result`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from crbench.config import RunSpec
from crbench.harness.backbones import Encoder
from crbench.harness.cells import Fitted, parameter_count, transform_timing
from crbench.harness.data import TrialData, comparability, data_checksum
from crbench.harness.environment import describe_environment
from crbench.harness.plan import Job
from crbench.interfaces import Run
from crbench.loading import Resolved
from crbench.protocols import EVALUATION_VERSION, digest
from crbench.results import Component, DataFacts, Method, ProtocolFacts, Result, Timing, TrialScores
from crbench.store.files import sha256_file


@attrs.define(eq=False)
class Tally:
    """What one aligner gathers over the trials of a job."""

    aligner: Resolved
    scores: list[TrialScores] = attrs.field(factory=list)
    timings: dict[str, Timing] = attrs.field(factory=dict)
    parameters: int | None = None
    error: str | None = None

    def add(self, scores: TrialScores, fitted: Fitted, evaluation_s: float) -> None:
        """Count in one trial."""
        self.scores.append(scores)
        self.parameters = parameter_count(fitted.transform)
        self.timings["fit"] = Timing(seconds=fitted.seconds, count=1, unit="fits", cached=fitted.cached)
        self.timings["transform"] = transform_timing(fitted)
        before = self.timings.get("evaluate", Timing(seconds=0.0, count=0, unit="queries"))
        self.timings["evaluate"] = Timing(
            seconds=before.seconds + evaluation_s, count=before.count + scores.n_query, unit="queries"
        )


@attrs.frozen(eq=False)
class RunFacts:
    """What the results of one job share."""

    job: Job
    trials: Sequence[TrialData]
    encoders: Sequence[Encoder]
    spec: RunSpec
    run: Run
    seconds: float


def cell_id(job: Job, aligner: Resolved, trials: Sequence[TrialData], spec: RunSpec, run: Run) -> str:
    """12 hex digits that stand for all that decides the cell's numbers."""
    return digest(
        {
            "data": comparability(job, trials, spec.limit),
            "methods": [method.identity() for method in (job.dataset, job.backbone, aligner)],
            "weights": sha256_file(spec.weights) if spec.weights and spec.weights.is_file() else None,
            "seed": spec.seed,
            "batch_size": spec.batch_size,
            "device": run.device.partition(":")[0],
            "version": EVALUATION_VERSION,
        }
    )


def make_result(facts: RunFacts, tally: Tally, cell: str) -> Result:
    """The result of one cell, ok or failed."""
    job, spec = facts.job, facts.spec
    warnings = [warning for encoder in facts.encoders for warning in encoder.warnings]
    skipped = sum(trial.skipped for trial in facts.trials)
    if skipped:
        warnings.append(f"{skipped} unreadable test pictures were skipped")
    if spec.limit is not None:
        warnings.append(f"limited to {spec.limit} identities: not rankable")
    return Result(
        cell_id=cell,
        status="ok" if tally.error is None else "failed",
        error=tally.error,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=job.dataset.name,
        data=DataFacts(
            checksum=data_checksum(facts.trials),
            splits=tuple(trial.split.checksum for trial in facts.trials),
            notes={name: count for trial in facts.trials[:1] for name, count in trial.split.notes.items()},
            skipped=skipped,
        ),
        protocol=ProtocolFacts.of(job.protocol),
        fingerprint=comparability(job, facts.trials, spec.limit),
        rate_source=job.protocol.rate_source,
        rankable=spec.limit is None,
        seed=spec.seed,
        method=Method(backbone=_backbone(facts), aligner=_component(tally.aligner, parameter_count=tally.parameters)),
        trials=tuple(tally.scores) if tally.error is None else (),
        timings=tally.timings,
        environment=describe_environment(facts.run.device),
        command=command_line(facts, tally.aligner),
        warnings=tuple(dict.fromkeys(warnings)),
        duration_s=facts.seconds,
    )


def command_line(facts: RunFacts, aligner: Resolved) -> str:
    """The command that repeats one cell, with every default spelled out."""
    spec, job = facts.spec, facts.job
    words = ["crbench", "run", "--dataset", job.dataset.name, "--protocol", job.protocol.name]
    words += ["--backbone", job.backbone.name, "--aligner", aligner.name]
    words += ["--trial", ",".join(str(trial) for trial in job.trials), "--seed", str(spec.seed)]
    words += ["--device", facts.run.device, "--batch-size", str(spec.batch_size), "--no-baseline"]
    if spec.weights is not None:
        words += ["--weights", str(spec.weights)]
    if spec.limit is not None:
        words += ["--limit", str(spec.limit)]
    if spec.on_bad_image != "error":
        words += ["--on-bad-image", spec.on_bad_image]
    for key, value in sorted(spec.set.items()):
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


def _backbone(facts: RunFacts) -> Component:
    shas = {encoder.weights_sha256 for encoder in facts.encoders}
    return _component(
        facts.job.backbone,
        weights_sha256=shas.pop() if len(shas) == 1 else None,
        trained=any(encoder.trained for encoder in facts.encoders),
    )


def _component(method: Resolved, **facts: Any) -> Component:
    owner = method.registered.owner
    return Component(
        name=method.registered.entry.name,
        preset=method.preset or None,
        parameters=method.parameters,
        distribution=owner.distribution,
        version=owner.version,
        **facts,
    )

"""From a `RunSpec` to a `Prediction`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs

from crbench.api.context import RunContext
from crbench.config.run_spec import RunSpec
from crbench.errors import CrbenchError
from crbench.harness.environment import pick_device
from crbench.harness.job import OpenedJob
from crbench.harness.paces import Paces
from crbench.harness.plan import Plan
from crbench.harness.run import open_cache
from crbench.prediction.figures import HERE, Figures
from crbench.prediction.job import JobSteps
from crbench.prediction.memory import resident_bytes
from crbench.prediction.rows import KnownRows
from crbench.prediction.steps import Prediction, Step


def predict(spec: RunSpec, plan: Plan, *, context: RunContext, started_s: float = 0.0, table_of: int = 0) -> Prediction:
    """What a run of `spec` will do.

    Lists of images and their digests are read, and networks are built, but no image is decoded, unless rates follow
    from its size, and no network runs. Nothing is written or deleted.

    Args:
        plan: of `spec`.
        context: its logger and progress bars are used; seed and device are those of `spec`.
        started_s: seconds that it took to come here from the start of the process, which a run takes, too.
        table_of: how many results a table shows at the end; 0 = there is none.

    Returns:
        The prediction. A job that cannot be opened has no steps; a note says why.

    Raises:
        ConfigError: the device cannot be used.
    """
    run = attrs.evolve(context, seed=spec.seed, device=pick_device(spec.device))
    cache = open_cache(spec, run, read_only=True)
    # paces are the machine's, and known to a run that keeps nothing, too
    paces = Paces.of(open_cache(attrs.evolve(spec, cache=True), run, read_only=True), run.device)
    start = Step(key="start", name="start", seconds=started_s, longest_s=started_s, basis=HERE, macs=0,
                 memory_bytes=resident_bytes())  # fmt: skip
    steps, notes, known = [start], _notes(spec), KnownRows()
    left_out: dict[str, list[str]] = {}
    opened_as = attrs.evolve(spec, on_bad_image="error", amp="off" if spec.amp == "auto" else spec.amp)
    for number, job in enumerate(plan.jobs):
        started = time.perf_counter()
        try:
            opened = OpenedJob.of(job, opened_as, run, cache, paces)
            seconds = time.perf_counter() - started
            own = JobSteps(str(number), opened, seconds, Figures(paces), known)
            steps += list(own.steps("start"))  # all or none
        except CrbenchError as error:
            left_out.setdefault(str(error), []).append(f"{job.dataset.name} with {job.backbone.name}")
    notes += [f"not predicted: {', '.join(names)}: {reason}" for reason, names in left_out.items()]
    if table_of and len(steps) > 1:
        steps.append(_table(table_of, steps, Figures(paces)))
    whole = not left_out and all(step.seconds is not None for step in steps)
    prediction = Prediction(steps=tuple(steps), whole=whole, notes=tuple(notes))
    return attrs.evolve(prediction, notes=(*prediction.notes, *_remedy(plan, prediction)))


def _table(rows: int, steps: Sequence[Step], figures: Figures) -> Step:
    """The table at the end, which needs all results: of every job the last step of each cell, or its opening."""
    figure = figures.near(rows, ("table", {}))
    seconds = figure.seconds(rows)
    needs = tuple(step.key for step in steps if step.name in ("open", "evaluate"))
    return Step(key="table", name="table", macs=0, seconds=seconds, longest_s=seconds, basis=figure.basis, needs=needs)


def _notes(spec: RunSpec) -> list[str]:
    notes = []
    if spec.amp == "auto":
        notes.append("--amp auto: predicted as for float32; what is taken is measured by the run")
    if spec.on_bad_image == "skip":
        notes.append("--on-bad-image skip: predicted as if all images could be read; the run opens each to see")
    return notes


def _remedy(plan: Plan, prediction: Prediction) -> list[str]:
    """How to measure what is not known: the same run of one trial, as it is longer than that."""
    if not prediction.unknown:
        return []
    told = f"seconds of {len(prediction.unknown)} of {len(prediction.steps)} steps are unknown, and known once"
    trials = {trial for job in plan.jobs for trial in job.trials}
    if len(trials) < 2:
        return [f"{told} such a run was made"]
    return [
        f"{told} one trial has run: give the same command with `--trial {min(trials)} -o pilot` in place of --dry-run; "
        "features, fits and weights that it makes are kept"
    ]

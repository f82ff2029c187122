"""What ``crbench run --dry-run`` prints: the cells of a run, and what its steps will cost."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.terminal import shown

if TYPE_CHECKING:
    from crbench.api.context import RunContext
    from crbench.config.run_spec import RunSpec
    from crbench.harness.plan import Job, Plan
    from crbench.prediction import Prediction
    from crbench.registry.resolve import Resolved

_STATUS, _UPTIME = Path("/proc/self/stat"), Path("/proc/uptime")


def print_plan(specs: Sequence[RunSpec], form: str) -> None:
    """The cells of some specs, and what their steps will cost.

    Args:
        form: ``table`` or ``json``.

    Raises:
        ConfigError: another form, or see `crbench.harness.plan.make_plan`.
        CrbenchError: see `crbench.prediction.predict`.
    """
    from crbench.api.context import RunContext
    from crbench.cli.progress import progress
    from crbench.errors import ConfigError
    from crbench.harness.plan import make_plan
    from crbench.prediction import predict
    from crbench.prediction.text import as_json, as_text

    if form not in ("table", "json"):
        raise ConfigError(f"--dry-run --format {form}: a plan is printed as table or json")
    plans = [make_plan(spec) for spec in specs]
    started_s = process_seconds()
    if form == "table":
        _print_cells(plans)
    context = RunContext(logger=logging.getLogger("crbench"), progress=progress)
    predictions: list[Prediction] = []
    for spec, plan in zip(specs, plans, strict=True):
        table_of = sum(plan.cells for plan in plans) if spec is specs[-1] else 0  # there is one at the end
        start = 0.0 if predictions else started_s
        prediction = predict(spec, plan, context=context, started_s=start, table_of=table_of)
        predictions.append(prediction)
        if form == "table":
            click.echo("\n" + as_text(prediction), nl=False)
        for note in prediction.notes:
            click.echo(f"crbench: {shown(note)}", err=True)
    if form == "json":
        click.echo(as_json(predictions), nl=False)


def note_table(spec: RunSpec, context: RunContext, form: str, rows: int, seconds: float) -> None:
    """Note how long the table of a run took, for predictions; other formats are seldom printed by a run."""
    from crbench.harness.environment import pick_device
    from crbench.harness.paces import Paces
    from crbench.harness.run import open_cache

    if form == "table":
        paces = Paces.of(open_cache(spec, context), pick_device(spec.device))
        paces.add("table", {}, rows, seconds)
        paces.keep()


def process_seconds() -> float:
    """How long ago this process began; its processor time on systems that do not tell."""
    try:
        ticks = int(_STATUS.read_text(encoding="ascii").rpartition(")")[2].split()[19])
        up = float(_UPTIME.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return time.process_time()
    return max(0.0, up - ticks / os.sysconf("SC_CLK_TCK"))


def _print_cells(plans: Sequence[Plan]) -> None:
    from tabulate import tabulate

    cells = [(job, aligner) for plan in plans for job in plan.jobs for aligner in job.aligners]
    columns = {
        "data set": [job.dataset.name for job, _ in cells],
        "protocol": [job.protocol.name for job, _ in cells],
        "backbone": [job.backbone.name for job, _ in cells],
        "aligner": [aligner.name for _, aligner in cells],
        "trials": [len(job.trials) for job, _ in cells],
    }
    if any(job.partner for job, _ in cells):
        columns["fitted on"] = [job.fitting.dataset.name for job, _ in cells]
    told_apart = _differences(cells)
    if any(told_apart):
        columns["settings"] = told_apart
    click.echo(tabulate(columns, headers="keys"))
    for note in dict.fromkeys(note for plan in plans for note in plan.notes):
        click.echo(f"crbench: {note}", err=True)


def _differences(cells: Sequence[tuple[Job, Resolved]]) -> list[str]:
    """For each cell, the settings that tell it from those of the same name."""
    from crbench.leaderboard.labels import differences

    names = [
        (job.dataset.name, job.fitting.dataset.name, job.protocol.name, job.backbone.name, aligner.name)
        for job, aligner in cells
    ]
    settings = [_settings(*cell) for cell in cells]
    told_apart = [""] * len(cells)
    for name in set(names):
        alike = [index for index, other in enumerate(names) if other == name]
        for index, text in zip(alike, differences([settings[index] for index in alike]), strict=True):
            told_apart[index] = text.strip()
    return told_apart


def _settings(job: Job, aligner: Resolved) -> dict[str, Any]:
    """All settings of a cell, by the names that ``--set`` knows."""
    parts = {
        "dataset": job.dataset.parameters,
        "partner": job.fitting.dataset.parameters,
        "protocol": job.protocol.flat(),
        "backbone": job.backbone.parameters,
        "aligner": aligner.parameters,
    }
    return {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}

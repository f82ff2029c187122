"""``crbench status``: how far the runs of an output folder are, from another terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crbench.cli.options import FOLDER

if TYPE_CHECKING:
    from crbench.harness.status import Working
    from crbench.results import Result
    from crbench.store.lease import Holder


@click.command()
@click.argument("output", type=FOLDER, default="results")
@click.option("--log", "name", metavar="NAME", help="Why the cells failed whose name has this in it.")
def status(output: Path, name: str | None) -> int:
    """Show how far the runs are that write to OUTPUT, on any machine, and what failed.

    A run whose machine is lost is shown for half a minute more.

    \b
    crbench status results
    crbench status results --log ridge
    """
    from crbench.errors import DataError
    from crbench.harness.status import Working
    from crbench.results import load_results
    from crbench.results.folder import written_results
    from crbench.results.labels import with_distinct_folders

    if not output.is_dir():
        raise DataError(f"{output}: no such folder; give the output folder of a run")
    results = with_distinct_folders(load_results(written_results(output)))
    failed = _unfinished(results)
    if name is not None:
        return _print_logs(failed, name)
    for line in _lines(Working.below(output)):
        click.echo(line)
    done = len({result.cell_id for result in results if result.status == "ok"})
    click.echo(f"finished: {done} cell{'s' * (done != 1)}; failed: {len(failed)}")
    for result in failed:
        click.echo(f"  {_name(result)}: {_reason(result)}")
    if failed:
        click.echo("crbench: --log NAME shows where a cell failed", err=True)
    return 0


def _lines(working: Working) -> list[str]:
    if not working.runs and not working.work:
        return ["no run is at work"]
    lines = []
    for run in working.runs:
        cells = run.facts["cells"]
        done = cells["computed"] + cells["taken"]
        counts = f"{done} of {cells['planned']} cells ({cells['taken']} were there), {cells['failed']} failed"
        lines.append(f"run on {run.facts['name']}: {counts}; {run}, {_since(run)}")
    lines += [f"  {one.facts.get('name', '?')}: {one}, {_since(one)}" for one in working.work]
    return lines


def _since(holder: Holder) -> str:
    seconds = max(0, round(time.time() - float(holder.facts.get("since", time.time()))))
    return f"for {seconds} s" if seconds < 600 else f"for {seconds // 60} min"


def _unfinished(results: Sequence[Result]) -> list[Result]:
    """The newest result of each cell that failed and was not finished since."""
    ok = {result.cell_id for result in results if result.status == "ok"}
    newest = {result.cell_id: result for result in sorted(results, key=lambda result: result.created)}
    return [result for cell, result in newest.items() if cell not in ok]


def _name(result: Result) -> str:
    from crbench.results.labels import component_label, dataset_label

    method = result.method
    parts = [
        dataset_label(result),
        result.protocol.name,
        component_label(method.backbone),
        component_label(method.aligner),
    ]
    return ", ".join(parts)


def _reason(result: Result) -> str:
    from crbench.results.labels import failure_reason

    return failure_reason(result)


def _print_logs(failed: Sequence[Result], name: str) -> int:
    from crbench.cli.terminal import shown
    from crbench.errors import DataError

    found = [result for result in failed if name in _name(result)]
    if not found:
        known = "; ".join(_name(result) for result in failed) or "none"
        raise DataError(f"--log {name}: no failed cell has this in its name; failed: {known}")
    for result in found:
        click.echo(f"{_name(result)} ({result.origin})")
        for line in (result.error or "").splitlines():
            click.echo(f"  {shown(line)}")
    return 0

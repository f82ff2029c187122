"""The command line: options, one library call, printing. Exit codes are decided in `crbench.cli.guard`."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from crbench._version import __version__
from crbench.cli.guard import guarded
from crbench.cli.lasting import collector_kept

_COMMANDS = {
    "run": "crbench.cli.run:run",
    "status": "crbench.cli.status:status",
    "train": "crbench.cli.train:train",
    "evaluate": "crbench.cli.evaluate:evaluate",
    "merge": "crbench.cli.merge:merge",
    "analyze": "crbench.cli.analyze:analyze",
    "sweep": "crbench.cli.sweep:sweep",
    "bench": "crbench.cli.bench:bench",
    "leaderboard": "crbench.cli.leaderboard:leaderboard",
    "report": "crbench.cli.report:report",
    "cite": "crbench.cli.cite:cite",
    "published": "crbench.cli.published:published",
    "compare": "crbench.cli.compare:compare",
    "compare-features": "crbench.cli.compare_features:compare_features",
    "diff": "crbench.cli.diff:diff",
    "results": "crbench.cli.results:results",
    "verify": "crbench.cli.verify:verify",
    "data": "crbench.cli.data:data",
    "plugins": "crbench.cli.plugins:plugins",
    "cache": "crbench.cli.cache:cache",
    "doctor": "crbench.cli.doctor:doctor",
}

_EPILOG = """Exit codes: 0 done, 1 a cell or a training failed, features could not be scored or a benchmark is not fit
to publish, 2 wrong usage or configuration, 3 data or weights missing, changed or unreadable, 4 a plugin failed, 5 not
comparable (test data in training, unfit benchmarks, other protocols) or not confirmed, 6 the system refused: disk full,
no permission, out of memory. 128 and the number of a signal (130 Ctrl-C, 143 SIGTERM, 129 SIGHUP) that ended it, 141
where nobody read the output."""
_COMPLETION = "_CRBENCH_COMPLETE"
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which users say how the threads of OpenMP wait."""
_BRIEFLY = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
"""What they have without that: GNU OpenMP obeys the second, other runtimes the first."""


class _LazyGroup(click.Group):
    """Imports the module of a command only when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"crbench {__version__}, Python {sys.version.split()[0]}, torch {version('torch')}")
        ctx.exit()


@click.group(cls=_LazyGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Versions.")
def crbench() -> None:
    """Benchmark cross-resolution person re-identification: from images to a leaderboard.

    \b
    crbench run --aligner vpfa --dataset mlr-synthetic    works without any data
    crbench run --aligner vpfa --dataset mlr-cuhk03       with your copy of CUHK03
    crbench data info mlr-cuhk03                          where to put it
    crbench train --dataset mlr-cuhk03 --trial 0          weights, which run then finds by itself
    crbench evaluate --query q.npz --gallery g.npz        scores of your own features
    """
    from crbench.cli.progress import configure_logging

    configure_logging(-1)  # commands with -q and -v say otherwise


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    wait_briefly()
    codes: list[int] = []
    if arguments is None:  # this process is ours
        atexit.register(_end_at_once, codes)  # the first to be registered is the last to be called
    codes.append(invoke(arguments))
    sys.exit(codes[0])


def _end_at_once(codes: Sequence[int]) -> None:
    """End the process with a code as it is: Python takes torch, timm and numba apart in a second, the system at once.

    Without a code an exception ends it, which Python does.
    """
    if codes:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        os._exit(codes[0])


def wait_briefly() -> None:
    """Let the threads of OpenMP sleep after a short wait for work, unless the user says how they wait.

    By default they wait in a long loop, on processors that other jobs of the machine may need: where these are as many
    as the processors, each step of a fit waits for threads that do not run. Threads that sleep at once are woken for
    each product of a small network. To be called before torch is imported.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ |= _BRIEFLY


def invoke(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    with collector_kept():
        return guarded(lambda: _call(sys.argv[1:] if arguments is None else arguments))


def _call(arguments: list[str]) -> object:
    """What click's own main does, but for its ways to end, which differ from ours."""
    if instruction := os.environ.get(_COMPLETION):
        return shell_complete(crbench, {}, "crbench", _COMPLETION, instruction)
    with crbench.make_context("crbench", list(arguments)) as ctx:
        return crbench.invoke(ctx)

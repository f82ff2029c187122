"""Calls of a plugin's code: whatever it raises names the plugin, and what it prints or sets reaches nobody else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout

import attrs

from crbench.errors import CrbenchError, PluginError
from crbench.registry.caller import is_caller
from crbench.registry.settings import settings_kept


@attrs.frozen
class Owner:
    """The plugin that an entry comes from: entry point name, distribution and its version."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} (plugin {self.plugin!r})"


UNKNOWN = Owner(plugin="?", distribution="unknown distribution", version="?")
"""Of what was not found by an entry point."""


def quiet_output() -> AbstractContextManager[object]:
    """Inside, what is printed goes to the standard error: the standard output may be a table that a program reads.

    Only in the thread that calls plugins, as it is one setting for all of them.
    """
    if not is_caller():
        return nullcontext()
    return redirect_stdout(sys.stderr)


@contextmanager
def plugin_stage(
    owner: Owner, stage: str, *, passing: tuple[type[BaseException], ...] = (CrbenchError,)
) -> Iterator[None]:
    """Turn whatever a plugin raises while it is imported, built or called into a `PluginError` that names it.

    `SystemExit` and its like count too: a plugin must not end the program. See `quiet_output` for what it prints,
    and `crbench.registry.settings` for what it sets.

    Args:
        passing: errors that are not the plugin's own failure, or that somebody outside waits for. By default those of
            crbench, which tell the user what to do; for a step of one cell none, as only this cell must fail.
    """
    not_failures: tuple[type[BaseException], ...] = (KeyboardInterrupt, GeneratorExit, PluginError, *passing)
    try:
        with quiet_output(), settings_kept(f"{owner}, at {stage},"):
            yield
    except not_failures:
        raise
    except BaseException as error:
        raise PluginError(f"{owner} failed at {stage}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Kind and text of an error in one line; its kind alone where it cannot say its text."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - the error is a plugin's
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

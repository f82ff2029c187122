"""Calls of the command line in this process, and how many of them a test makes."""

from __future__ import annotations

import contextlib
import io

import attrs
from campaign.form import WHOLE
from hypothesis import HealthCheck, settings

from crbench.cli import invoke


@attrs.frozen
class Called:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def call(arguments) -> Called:
    """Call a command: at most one error, and nothing that a terminal would obey."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = invoke([str(argument) for argument in arguments])
    said = err.getvalue()
    assert "Traceback" not in said, said
    assert all(char == "\n" or char.isprintable() for char in said), ascii(said)
    return Called(code, out.getvalue(), said)


def cases(few: int, many: int = 715):
    """Settings of a test with so many examples in the short form and in the whole one."""
    return settings(max_examples=many if WHOLE else few, suppress_health_check=list(HealthCheck))

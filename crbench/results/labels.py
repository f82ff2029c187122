"""What results say wherever people read them: names of methods and reasons of failures, short and safe to print."""

from __future__ import annotations

import unicodedata

from crbench.results.method import Component
from crbench.results.records import Result


def clean(text: str) -> str:
    """`text` on one line, with control, format and private characters replaced.

    A result file may come from anybody: terminal codes or text-direction marks in a name must not reach the reader.

    Example:
        >>> clean("vp\\x1b[31mfa\\n")
        'vp\\ufffd[31mfa\\ufffd'
    """
    return "".join("\ufffd" if unicodedata.category(char)[0] == "C" else char for char in text)


def component_label(component: Component) -> str:
    """``NAME/preset``, or the name alone; an argument comes last."""
    name, colon, argument = component.name.partition(":")
    return clean((f"{name}/{component.preset}" if component.preset else name) + colon + argument)


def failure_reason(result: Result) -> str:
    """The last line of the traceback of a failed cell; empty where none failed."""
    return clean((result.error or "").strip().rpartition("\n")[2])

"""What results say wherever people read them: names of methods and reasons of failures, short and safe to print."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from crbench.results.method import Component
from crbench.results.records import Result

_LONGEST = 40
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def clean(text: str) -> str:
    """`text` on one line, with control, format and private characters replaced.

    A result file may come from anybody: terminal codes or text-direction marks in a name must not reach the reader.

    Example:
        >>> clean("vp\\x1b[31mfa\\n")
        'vp\\ufffd[31mfa\\ufffd'
    """
    return "".join("\ufffd" if unicodedata.category(char)[0] == "C" else char for char in text)


def inert(value: Any) -> Any:
    """A cell of a CSV file: a text that a spreadsheet would run as a formula gets a single quote in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def component_label(component: Component) -> str:
    """``NAME/preset:argument``, as far as there are any, and what was changed: ``vpfa/paper [epochs=1]``.

    Where it was fitted on another data set, that follows: ``ridge on mlr-market1501``.
    """
    name, colon, argument = component.name.partition(":")
    label = (f"{name}/{component.preset}" if component.preset else name) + colon + argument
    on = component.fitted_on
    return with_changes(label, component.changed) + (f" on {with_changes(on.dataset, on.changed)}" if on else "")


def dataset_label(result: Result) -> str:
    """The data set, with the parameters that were changed: ``mlr-cuhk03 [boxes=labeled]``."""
    return with_changes(result.dataset, result.data.changed)


def with_changes(label: str, changed: Mapping[str, Any]) -> str:
    """A name with the parameters that were changed: ``vpfa/paper [epochs=1]``."""
    text = ", ".join(f"{name}={_short(value)}" for name, value in changed.items())
    return clean(f"{label} [{text}]" if text else label)


def _short(value: Any) -> str:
    """A parameter as ``--set`` takes it, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def failure_reason(result: Result) -> str:
    """The last line of the traceback of a failed cell; empty where none failed."""
    return clean((result.error or "").strip().rpartition("\n")[2])

"""What results say wherever people read them: names of methods and reasons of failures, short and safe to print."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from crbench.results.method import Component
from crbench.results.records import Result

_CONTENT = re.compile(r"(?P<kind>.+:)(?P<digits>[0-9a-f]{12})")
"""The name in results of a data set in a folder of the user's."""
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
    if on is None:
        return with_changes(label, component.changed)
    fitted_on = with_changes(_with_folder(on.dataset, on.folder), on.changed)
    return f"{with_changes(label, component.changed)} on {fitted_on}"


def dataset_name(result: Result) -> str:
    """The data set; a folder of the user's by its own name, where that is known, not by its content."""
    return clean(_with_folder(result.dataset, result.data.folder))


def is_by_content(dataset: str) -> bool:
    """Whether results name a data set by its content, as a folder of the user's: ``folder:51938184fc88``."""
    return _CONTENT.fullmatch(dataset) is not None


def dataset_label(result: Result) -> str:
    """`dataset_name` with the parameters that were changed: ``mlr-cuhk03 [boxes=labeled]``."""
    return with_changes(dataset_name(result), result.data.changed)


def with_distinct_folders(results: Sequence[Result]) -> list[Result]:
    """The same results with names of folders that tell contents apart where they are shown together.

    Folders of one content have the name that the newest result gives. Of other content and one name, each has the
    digits of its content behind it: ``folder:people (51938184fc88)``.
    """
    names: dict[str, str] = {}
    for result in sorted(results, key=lambda result: (result.created, result.data.folder or "")):
        on = result.method.aligner.fitted_on
        names |= {result.dataset: result.data.folder} if result.data.folder else {}
        names |= {on.dataset: on.folder} if on and on.folder else {}
    count = Counter(_with_folder(dataset, folder) for dataset, folder in names.items())
    for dataset, folder in names.items():
        found = _CONTENT.fullmatch(dataset)
        if found and count[_with_folder(dataset, folder)] > 1:
            names[dataset] = f"{folder} ({found['digits']})"
    return [_renamed(result, names) for result in results] if names else list(results)


def _renamed(result: Result, names: Mapping[str, str]) -> Result:
    """A result whose folders have the names of their data sets."""
    data, method, on = result.data, result.method, result.method.aligner.fitted_on
    if names.get(result.dataset) != data.folder:
        data = attrs.evolve(data, folder=names.get(result.dataset))
    if on is not None and names.get(on.dataset) != on.folder:
        on = attrs.evolve(on, folder=names.get(on.dataset))
        method = attrs.evolve(method, aligner=attrs.evolve(method.aligner, fitted_on=on))
    if data is result.data and method is result.method:
        return result
    return attrs.evolve(result, data=data, method=method).read_from(result.origin, result.unknown, result.evidence)


def _with_folder(dataset: str, folder: str | None) -> str:
    found = _CONTENT.fullmatch(dataset) if folder else None
    return f"{found['kind']}{folder}" if found else dataset


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

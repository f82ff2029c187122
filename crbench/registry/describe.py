"""What there is to know of an entry before it is used: its parameters with types, defaults and meaning."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import attrs

from crbench.api.entry import Entry
from crbench.config.convert import plain
from crbench.registry.discovery import Registered
from crbench.registry.targets import flattened_records, load_target, parameter_fields

_SECTIONS = ("Args:", "Attributes:")
_ITEM = re.compile(r" {4}(\w+(?:, \w+)*): (.*)")


@attrs.frozen
class Parameter:
    """One parameter of a method.

    Attributes:
        type: in words that a user can follow, such as ``int`` or ``tanh | none``.
        default: as JSON can hold it; None where `required` too.
        required: there is no default.
        help: its meaning, from the docstring; empty where that says nothing.
    """

    name: str
    type: str
    default: Any
    required: bool
    help: str


def parameters_of(registered: Registered[Entry]) -> tuple[Parameter, ...]:
    """The parameters of a method, in the order of its target.

    Raises:
        ConfigError: a package that the target needs is not installed.
        PluginError: the target cannot be imported, or its parameters contradict each other.
    """
    target = load_target(registered)
    texts = [text for part in (*flattened_records(registered), target) for text in _docstrings(part)]
    meaning = {name: text for docstring in texts for name, text in documented(docstring).items()}
    return tuple(
        Parameter(
            name=name,
            type=_type_text(kind),
            default=None if default is inspect.Parameter.empty else plain(default),
            required=default is inspect.Parameter.empty,
            help=meaning.get(name, ""),
        )
        for name, (kind, default) in parameter_fields(registered).items()
    )


def documented(docstring: str) -> dict[str, str]:
    """What the sections ``Args`` and ``Attributes`` of a docstring in Google's style say of each name.

    Example:
        >>> documented("A map.\\n\\nArgs:\\n    scale, shift: how far;\\n        in pixels.\\n    name: its own.\\n")
        {'scale': 'how far; in pixels.', 'shift': 'how far; in pixels.', 'name': 'its own.'}
    """
    found: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in docstring.splitlines():
        if line and not line.startswith(" "):
            inside, names = line in _SECTIONS, []
        elif inside and (item := _ITEM.fullmatch(line)):
            names = item[1].split(", ")
            found.update(dict.fromkeys(names, item[2].strip()))
        elif inside and line.strip():
            found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return found


def _docstrings(target: Any) -> Iterator[str]:
    """Of a function; or of a class, after those of its bases, and of its constructor."""
    for part in reversed(inspect.getmro(target)) if inspect.isclass(target) else (target,):
        yield inspect.cleandoc(part.__doc__ or "")
    if inspect.isclass(target):
        yield inspect.getdoc(target.__init__) or ""


def _type_text(kind: Any) -> str:
    """A type as ``--set`` understands it.

    Example:
        >>> _type_text(Literal["tanh", "none"]), _type_text(tuple[int, int]), _type_text(Path | None)
        ('tanh | none', 'tuple[int, int]', 'path or none')
    """
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _type_text(typing.get_args(kind)[0])
    if origin is Literal:
        return " | ".join(map(str, typing.get_args(kind)))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_unions(kind))
    if kind is Path:
        return "path"
    return inspect.formatannotation(kind).replace("typing.", "")


def _unions(kind: Any) -> Iterator[str]:
    for option in typing.get_args(kind):
        yield "none" if option is type(None) else _type_text(option)

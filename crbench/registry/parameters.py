"""Values of a method's parameters, as users and presets give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crbench.api.entry import Entry
from crbench.config.convert import convert
from crbench.config.settings import parse_setting
from crbench.errors import ConfigError
from crbench.registry.discovery import Registered
from crbench.registry.targets import Field, other_methods
from crbench.wording import suggestion


def converted(registered: Registered[Entry], values: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Values as the types of their parameters, without those of other methods, see `other_methods`.

    Raises:
        ConfigError: an unknown parameter, or a value of the wrong type.
    """
    kind, name = registered.kind, registered.entry.name
    found, others = {}, other_methods(fields)
    for key, value in values.items():
        if key.partition(".")[0] in others:
            continue
        if key not in fields:
            raise ConfigError(f"{kind} {name!r} has no parameter {key!r}{suggestion(key, sorted(fields))}")
        found[key] = convert(value, fields[key][0], f"{kind} {name!r}: {key}")
    return found


def with_argument(
    registered: Registered[Entry], argument: str, fields: Mapping[str, Field], changes: Mapping[str, Any]
) -> Mapping[str, Any]:
    """`changes` with the parameter that the text after the colon fills.

    Raises:
        ConfigError: the entry takes no such text, or the parameter is among `changes` too.
    """
    kind, entry = registered.kind, registered.entry
    if not argument:
        return changes
    if entry.argument is None:
        raise ConfigError(f"{kind} {entry.name!r} takes nothing after a colon, given {argument!r}; write {entry.name}")
    if entry.argument in changes:
        raise ConfigError(f"{kind} {entry.name!r}: {entry.argument} is given twice, as {argument!r} and by --set")
    verbatim = fields.get(entry.argument, (str, None))[0] in (str, Path)
    return {**changes, entry.argument: argument if verbatim else parse_setting(f"{kind}.argument={argument}")[1]}


def how_to_give(registered: Registered[Entry], missing: list[str]) -> str:
    """How a user gives the first of the parameters that lack a value."""
    kind, entry = registered.kind, registered.entry
    if kind == "distance":
        return "nothing sets one, so the target, which gives back the distance, must do without or have defaults"
    return f"give {argument_syntax(entry) if missing[0] == entry.argument else f'--set {kind}.{missing[0]}=...'}"


def argument_syntax(entry: Entry) -> str:
    """The name with what stands for its argument: ``onnx:FILE``."""
    return f"{entry.name}:{(entry.argument or '').upper()}"

"""What a user changes about a protocol: fields of a known one, or the rules of another tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from crbench.config.convert import convert
from crbench.errors import ConfigError
from crbench.protocol import EvalProtocol
from crbench.protocol.presets import CONVENTIONS, OWN_FEATURES
from crbench.protocol.rules import rule_names


def change_protocol(protocol: EvalProtocol, changes: Mapping[str, Any]) -> EvalProtocol:
    """`protocol` with fields changed.

    Raises:
        ConfigError: no such field, or a value that is out of range or of the wrong type.
    """
    record = attrs.resolve_types(type(protocol))
    fields = attrs.fields_dict(record)
    values = {}
    for key, value in changes.items():
        if key not in fields or key == "name":
            raise ConfigError(f"protocol has no field {key!r}; known: {', '.join(sorted(set(fields) - {'name'}))}")
        values[key] = convert(value, fields[key].type, f"protocol.{key}")
    try:
        return attrs.evolve(protocol, **values)
    except ValueError as error:
        raise ConfigError(str(error.args[0])) from error


def own_protocol(changes: Mapping[str, Any], *, tool: str | None = None) -> EvalProtocol:
    """The rules for features from elsewhere, or those of a tool, with fields changed.

    Raises:
        ConfigError: an unknown tool, a field that plays no role for given features, or a value out of range.

    Example:
        >>> own_protocol({"junk": "keep"}, tool="layumi").ap
        'trapezoid'
    """
    if tool is not None and tool not in CONVENTIONS:
        raise ConfigError(f"unknown tool {tool!r}; known: {', '.join(CONVENTIONS)}")
    rules = rule_names("scoring", type(OWN_FEATURES))
    idle = sorted((set(changes) - set(rules)) & set(attrs.fields_dict(type(OWN_FEATURES))))
    if idle:
        raise ConfigError(f"protocol.{idle[0]} plays no role for given features; rules that do: {', '.join(rules)}")
    return change_protocol(OWN_FEATURES, {**(CONVENTIONS[tool] if tool else {}), **changes})

"""What a user changes about a protocol: rules of a known one, or the rules of another tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from crbench.config.convert import convert
from crbench.errors import ConfigError
from crbench.protocol import EvalProtocol
from crbench.protocol.declare import rule_names
from crbench.protocol.presets import CONVENTIONS, OWN_FEATURES
from crbench.wording import plain_fault, suggestion


def change_protocol(protocol: EvalProtocol, changes: Mapping[str, Any]) -> EvalProtocol:
    """`protocol` with rules changed.

    Raises:
        ConfigError: no such rule, or a value that is out of range or of the wrong type.
    """
    fields = {
        name: field
        for group in protocol.groups.values()
        for name, field in attrs.fields_dict(attrs.resolve_types(type(group))).items()
    }
    values = {}
    for key, value in changes.items():
        if key not in fields:
            raise ConfigError(f"protocol has no rule {key!r}{suggestion(key, sorted(fields))}")
        words = fields[key].type is str and isinstance(value, int | float)
        # TOML reads 2 as a number; the rule knows the texts that it takes, and names them
        values[key] = str(value) if words else convert(value, fields[key].type, f"protocol.{key}")
    try:
        return protocol.changed(**values)
    except ValueError as error:
        raise ConfigError(plain_fault(error)) from error


def own_protocol(changes: Mapping[str, Any], *, tool: str | None = None) -> EvalProtocol:
    """The rules for features from elsewhere, or those of a tool, with rules changed.

    Raises:
        ConfigError: an unknown tool, a rule that plays no role for given features, or a value out of range.

    Example:
        >>> own_protocol({"junk": "keep"}, tool="layumi").scoring.ap
        'trapezoid'
    """
    if tool is not None and tool not in CONVENTIONS:
        raise ConfigError(f"unknown tool {tool!r}{suggestion(tool, CONVENTIONS)}")
    rules = rule_names(type(OWN_FEATURES.scoring))
    idle = sorted((OWN_FEATURES.flat().keys() - set(rules) - {"name"}) & changes.keys())
    if idle:
        raise ConfigError(f"protocol.{idle[0]} plays no role for given features; rules that do: {', '.join(rules)}")
    return change_protocol(OWN_FEATURES, {**(CONVENTIONS[tool] if tool else {}), **changes})

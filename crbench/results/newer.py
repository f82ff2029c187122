"""Files of a newer schema version: what this version does not know is set apart when they are read, and put back."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from types import UnionType
from typing import Any

import attrs

from crbench.protocol import EvalProtocol


def set_apart(content: Any, record: type[Any]) -> tuple[Any, Any]:
    """The content of a file without fields that `record` does not have, and these fields.

    Returns:
        The content, and what was left out: at the same places, in objects of their own, items of lists by their number.
        None where nothing was.

    Example:
        >>> from crbench.results import Method
        >>> set_apart({"colour": "red", "backbone": {"name": "a", "size": 3}}, Method)
        ({'backbone': {'name': 'a'}}, {'colour': 'red', 'backbone': {'size': 3}})
    """
    known, unknown = _divided(content, record)
    protocol = known.get("protocol") if isinstance(known, dict) else None
    rules = protocol.get("rules") if isinstance(protocol, dict) else None
    if isinstance(rules, dict) and (new := rules.keys() - EvalProtocol().flat().keys()):
        unknown = put_back(unknown or {}, {"protocol": {"rules": {name: rules.pop(name) for name in sorted(new)}}})
    return known, unknown


def put_back(content: Any, unknown: Any) -> Any:
    """The content with the fields that `set_apart` left out; what the content has wins."""
    if isinstance(content, (list, tuple)) and isinstance(unknown, Mapping):
        return [put_back(item, unknown.get(str(number))) for number, item in enumerate(content)]
    if not isinstance(content, dict) or not isinstance(unknown, Mapping):
        return content
    both = {name: put_back(value, unknown.get(name)) for name, value in content.items()}
    return both | {name: value for name, value in unknown.items() if name not in content}


def _divided(content: Any, kind: Any) -> tuple[Any, Any]:
    """As `set_apart`, for content of any type that a record's field may have."""
    kinds, origin = typing.get_args(kind), typing.get_origin(kind)
    if origin in (UnionType, typing.Union):
        return _divided(content, next((one for one in kinds if one is not type(None)), Any))
    if isinstance(kind, type) and attrs.has(kind) and isinstance(content, dict):
        attrs.resolve_types(kind)
        types = {field.name: field.type for field in attrs.fields(kind) if field.init}
        parts = {name: _divided(value, types[name]) for name, value in content.items() if name in types}
        new = {name: value for name, value in content.items() if name not in types}
    elif origin is Mapping and isinstance(content, dict):
        parts, new = {name: _divided(value, kinds[1]) for name, value in content.items()}, {}
    elif origin is tuple and isinstance(content, list):
        items = [_divided(item, kinds[0]) for item in content]
        left = {str(number): rest for number, (_, rest) in enumerate(items) if rest is not None}
        return [item for item, _ in items], left or None
    else:
        return content, None
    new |= {name: rest for name, (_, rest) in parts.items() if rest is not None}
    return {name: one for name, (one, _) in parts.items()}, new or None

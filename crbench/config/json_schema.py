"""JSON Schema (draft 2020-12) of records of attrs: fields, types and limits follow from the records themselves."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

import attrs

from crbench.config.convert import LATER

_SIMPLE: Mapping[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
_BOUNDS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}


def record_schema(
    record: type[Any],
    about: Mapping[str, Any],
    *,
    by_function: Mapping[Any, Mapping[str, Any]],
    by_field: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The schema of JSON objects that have all fields of a record, but for those of `LATER`, and no others.

    Types come from annotations, limits from the validators of attrs, descriptions from the sections ``Attributes`` of
    docstrings.

    Args:
        about: further keywords of the whole: ``$id``, ``title``, conditions.
        by_function: keywords that a validator or converter of our own stands for.
        by_field: keywords of a field, by ``Record.field``; they win.
    """
    schema = _Schema(by_function, by_field)
    body = schema.record(record)
    defs = {name: schema.defs[name] for name in sorted(schema.defs)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **about, **body, "$defs": defs}


class _Schema:
    """Collects the schemas of nested records in `defs`, by name of the record."""

    def __init__(self, by_function: Mapping[Any, Mapping[str, Any]], by_field: Mapping[str, Mapping[str, Any]]) -> None:
        self.defs: dict[str, Any] = {}
        self._by_function = by_function
        self._by_field = by_field

    def record(self, record: type[Any]) -> dict[str, Any]:
        """An object with the fields of a record."""
        attrs.resolve_types(record)
        said = _described(record)
        fields = {field.name: field for field in attrs.fields(record) if field.init}
        properties = {
            name: {
                **self._typed(field.type),
                **self._limits(field.converter),
                **self._limits(field.validator),
                **({"description": said[name]} if name in said else {}),
                **self._by_field.get(f"{record.__name__}.{name}", {}),
            }
            for name, field in fields.items()
        }
        return {
            "type": "object",
            "properties": properties,
            "required": [name for name, field in fields.items() if not field.metadata.get(LATER)],
            "additionalProperties": False,
        }

    def _typed(self, kind: Any) -> dict[str, Any]:
        origin, kinds = typing.get_origin(kind), typing.get_args(kind)
        if kind in _SIMPLE:
            return {"type": _SIMPLE[kind]}
        if origin is typing.Literal:
            return {"enum": list(kinds)}
        if origin is tuple:
            length = {} if kinds[-1] is Ellipsis else {"minItems": len(kinds), "maxItems": len(kinds)}
            return {"type": "array", "items": self._typed(kinds[0]), **length}
        if origin is Mapping:
            return {"type": "object", "additionalProperties": self._typed(kinds[1])}
        if origin in (types.UnionType, typing.Union):
            (inner,) = (self._typed(one) for one in kinds if one is not type(None))
            return {"type": [inner["type"], "null"]} if set(inner) == {"type"} else {"anyOf": [inner, {"type": "null"}]}
        if attrs.has(kind):
            if kind.__name__ not in self.defs:
                self.defs[kind.__name__] = {}  # a record may hold itself
                self.defs[kind.__name__] = self.record(kind)
            return {"$ref": f"#/$defs/{kind.__name__}"}
        return {}

    def _limits(self, function: Any) -> dict[str, Any]:
        """What a validator or converter asks for; those of attrs are known by their attributes."""
        for known, keywords in self._by_function.items():  # by identity, as validators of attrs may have no hash
            if known is function:
                return dict(keywords)
        if hasattr(function, "compare_op"):
            return {_BOUNDS[function.compare_op]: function.bound}
        if hasattr(function, "pattern"):
            return {"pattern": f"^{function.pattern.pattern}$"}
        if hasattr(function, "min_length"):
            return {"minItems": function.min_length}
        if hasattr(function, "validator"):
            return self._limits(function.validator)
        parts = getattr(function, "_validators", function if isinstance(function, (list, tuple)) else ())
        return {name: value for part in parts for name, value in self._limits(part).items()}


def _described(record: type[Any]) -> dict[str, str]:
    """What the docstrings of a record and its bases say of each field."""
    found: dict[str, str] = {}
    for base in reversed(record.__mro__):
        doc = inspect.cleandoc(base.__doc__ or "")  # as Python from 3.13 on keeps it
        section = doc.partition("Attributes:\n")[2].partition("\n\n")[0]
        for names, text in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {5,}.*)*)", section, flags=re.MULTILINE):
            said = " ".join(text.split()).replace("``", "").replace("`", "")
            found |= {name.strip(): said for name in names.split(",")}
    return found

"""The strict converter: values from users and files to the types of records, without surprises."""

from __future__ import annotations

import typing
from functools import cache
from pathlib import Path
from typing import Any

import cattrs

from crbench.errors import ConfigError


def convert(value: Any, wanted: Any, where: str) -> Any:
    """`value` as type `wanted`, without surprises: no text becomes a number, no 3.7 becomes 3.

    Raises:
        ConfigError: it is of another type; the message starts with `where`.
    """
    try:
        return value if wanted is Any else _converter().structure(value, wanted)
    except (cattrs.BaseValidationError, cattrs.StructureHandlerNotFoundError, ValueError, TypeError) as error:
        name = str(wanted).replace("typing.", "") if typing.get_args(wanted) else wanted.__name__
        raise ConfigError(f"{where} = {value!r} is not of type {name}") from error


def plain(value: Any) -> Any:
    """`value` as JSON can hold it (tuples become lists, records become dicts)."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return cattrs.unstructure(value)


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    for kind, accepted in ((int, (int,)), (float, (int, float)), (str, (str,)), (bool, (bool,))):
        converter.register_structure_hook(kind, _strict(kind, accepted))
    converter.register_structure_hook(Path, _structure_path)
    literal: Any = typing.Literal
    converter.register_structure_hook_func(lambda kind: typing.get_origin(kind) is literal, _structure_literal)
    return converter


def _structure_literal(value: Any, kind: Any) -> Any:
    # Not cattrs' own hook, whose error has no class that all supported versions share.
    options = typing.get_args(kind)
    if not any(value == option and type(value) is type(option) for option in options):
        raise ValueError(f"{value!r} is not one of {options}")
    return value


def _structure_path(value: Any, _: Any) -> Path:
    if not isinstance(value, (str, Path)):
        raise TypeError(f"{value!r} is not a path")
    return Path(value).expanduser()


def _strict(kind: type, accepted: tuple[type, ...]) -> Any:
    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{value!r} is not {kind.__name__}")
        return kind(value)

    return structure

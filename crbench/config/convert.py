"""The strict converter: values from options, TOML and result files to the types of records, without surprises.

No text becomes a number or a list, no 3.7 becomes 3, no true becomes 1, nan and inf are no numbers, and a record takes
no field that it does not have. cattrs is imported at first use, as many commands convert nothing.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from crbench.config.home import expanded
from crbench.errors import ConfigError
from crbench.wording import plain_fault

if TYPE_CHECKING:
    from cattrs import Converter


_SCALARS: Mapping[Any, set[type]] = {bool: {bool}, int: {int}, float: {int, float}, str: {str}}
"""Types that are taken for a scalar."""

LATER = "later"
"""Key of the metadata of a field, true where files that are complete may lack it: they were written before it came."""


def convert(value: Any, wanted: Any, where: str) -> Any:
    """`value` as type `wanted`.

    Raises:
        ConfigError: it is of another type; the message starts with `where`.
    """
    from cattrs import BaseValidationError, StructureHandlerNotFoundError

    try:
        return value if wanted is Any else strict_converter().structure(value, wanted)
    except (BaseValidationError, StructureHandlerNotFoundError, ValueError, TypeError) as error:
        if all(isinstance(one, ValueError) for one in _leaves(error)):
            raise ConfigError(f"{where}: {_leaves(error)[0]}") from error
        name = str(wanted).replace("typing.", "") if typing.get_args(wanted) else wanted.__name__
        raise ConfigError(f"{where} = {value!r} is not of type {name}") from error


def _leaves(error: BaseException) -> list[BaseException]:
    """What a group of errors is of: a `ValueError` has the type that is wanted and another fault."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in _leaves(one)]
    return [error]


def plain(value: Any) -> Any:
    """`value` as JSON can hold it (tuples become lists, records become dicts)."""
    import cattrs

    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return cattrs.unstructure(value)


def faults(error: Exception) -> list[str]:
    """What `strict_converter` refused, a text for each field, e.g. ``unknown field colour @ $.method``.

    Names and values of a file may hold what a terminal obeys; such characters are spelled out.
    """
    from cattrs import transform_error

    found = transform_error(error, path="$", format_exception=_describe)
    return ["".join(char if char.isprintable() else ascii(char)[1:-1] for char in text) for text in found]


@cache
def strict_converter(*, complete: bool = False) -> Converter:
    """The converter itself.

    Its errors are `cattrs.BaseValidationError`, `ValueError` and `TypeError`; `faults` puts them into words.

    Args:
        complete: a record must give all its fields, also those that have a default, as files of results do; but for
            those of `LATER`.
    """
    from cattrs import Converter

    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind, accepted in _SCALARS.items():
        converter.register_structure_hook(kind, _scalar(kind, tuple(accepted)))
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_func(_made_of(typing.Literal), _literal)
    converter.register_structure_hook_func(_made_of(tuple), _tuple_by(converter))
    converter.register_structure_hook_func(_made_of(Mapping), _mapping_by(converter))
    converter.register_structure_hook_factory(attrs.has, lambda record: _record_by(converter, record, complete))
    return converter


def _made_of(origin: Any) -> Callable[[Any], bool]:
    return lambda kind: typing.get_origin(kind) is origin


def _scalar(kind: type, accepted: Any) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if isinstance(value, bool) and kind is not bool:
            raise TypeError(f"{value!r} is not of type {kind.__name__}")
        number = kind(_typed(value, accepted, f"of type {kind.__name__}"))
        if kind is float and not math.isfinite(number):
            raise ValueError(f"{value!r} is not a finite number")
        return number

    return structure


def _path(value: Any, _: Any) -> Path:
    return expanded(_typed(value, (str, Path), "a path"))


def _literal(value: Any, kind: Any) -> Any:
    # Not cattrs' own hook, whose error has no class that all supported versions share.
    options = typing.get_args(kind)
    if not any(value == option and type(value) is type(option) for option in options):
        raise ValueError(f"{str(value)[:60]} is not one of {', '.join(map(str, options))}")
    return value


def _tuple_by(converter: Converter) -> Callable[[Any, Any], Any]:
    """Tuples come from lists and tuples only; cattrs alone takes any iterable, strings too."""

    def structure(value: Any, kind: Any) -> Any:
        _typed(value, (list, tuple), "a list")
        kinds = typing.get_args(kind)
        if kinds[1:] == (...,):
            plain = kinds[0] in _SCALARS and set(map(type, value)) == {kinds[0]}
            if plain and (kinds[0] is not float or math.isfinite(sum(value))):
                return tuple(value)  # most of a result file are curves of numbers
            items: Any = list[kinds[0]]  # type: ignore[valid-type]
            return tuple(converter.structure(value, items))
        if len(value) != len(kinds):
            raise ValueError(f"{str(value)[:60]!r} has {len(value)} values, expected {len(kinds)}")
        return tuple(converter.structure(item, wanted) for item, wanted in zip(value, kinds, strict=True))

    return structure


def _mapping_by(converter: Converter) -> Callable[[Any, Any], Any]:
    def structure(value: Any, kind: Any) -> Any:
        items: Any = dict[typing.get_args(kind)]  # type: ignore[misc]
        return converter.structure(_typed(value, dict, "an object"), items)

    return structure


def _record_by(converter: Converter, record: type[Any], complete: bool) -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn

    inner = make_dict_structure_fn(record, converter, _cattrs_forbid_extra_keys=True)
    given = [field for field in attrs.fields(record) if field.init]
    needed = [
        field.name for field in given if field.default is attrs.NOTHING or (complete and not field.metadata.get(LATER))
    ]

    def structure(value: Any, _: Any) -> Any:
        names = _typed(value, dict, "an object").keys()
        if missing := [name for name in needed if name not in names]:
            raise ValueError(f"lacks {', '.join(missing)}")
        return inner(value, record)

    return structure


def _typed(value: Any, accepted: Any, expected: str) -> Any:
    if not isinstance(value, accepted):
        raise TypeError(f"{str(value)[:60]!r} is not {expected}")
    return value


def _describe(error: BaseException, _kind: type | None) -> str:
    """One fault in words, without the classes of this package."""
    from cattrs import ForbiddenExtraKeysError

    if isinstance(error, ForbiddenExtraKeysError):
        return f"unknown field {', '.join(sorted(map(str, error.extra_fields)))}"
    return plain_fault(error)

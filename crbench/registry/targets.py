"""What stands behind an entry: its class or function, and the parameters that a user can change."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

import attrs

from crbench.api.entry import Entry, Kind
from crbench.api.interfaces import Aligner, Backbone, Dataset, Distance, Precomputed
from crbench.api.parameters import Flattened, OtherMethod
from crbench.errors import ConfigError, PluginError
from crbench.registry.discovery import Registered
from crbench.registry.guard import one_line, plugin_stage

Field: TypeAlias = tuple[Any, Any]
"""Type and default; the default is `inspect.Parameter.empty` where there is none."""

_INTERFACES: Mapping[Kind, type] = {"backbone": Backbone, "aligner": Aligner, "dataset": Dataset, "distance": Distance}

_CONTEXT: Mapping[Kind, tuple[str, ...]] = {"backbone": ("weights", "device")}
"""Arguments that the run gives to a target and that are not parameters of the method."""


def load_target(registered: Registered[Any]) -> Callable[..., Any]:
    """The class or function behind an entry, imported at first use."""
    target = registered.entry.target
    if not isinstance(target, str):
        return cast("Callable[..., Any]", target)
    module, _, attribute = target.partition(":")
    try:
        with plugin_stage(registered.owner, "import"):
            return cast("Callable[..., Any]", getattr(importlib.import_module(module), attribute))
    except PluginError as error:
        extra = registered.entry.extra
        if extra and isinstance(error.__cause__, ImportError):
            raise _lacking(registered, extra, error.__cause__) from error.__cause__
        raise


def _lacking(registered: Registered[Any], extra: str, error: ImportError) -> ConfigError:
    """That a package of an extra cannot be imported, which is no fault of the plugin."""
    kind, entry = registered.kind, registered.entry
    lack = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({one_line(error)})"
    package = f"{registered.owner.distribution}[{extra}]"
    return ConfigError(
        f"{kind} {entry.name!r} needs {error.name or 'a package'}, which {lack}; install {package}: "
        f"pip install '{package}'"
    )


def parameter_fields(registered: Registered[Entry]) -> dict[str, Field]:
    """Type and default of each parameter of a method, by name.

    The parameters are the arguments of its target; `crbench.api.parameters.Flattened` ones count by their fields.

    Raises:
        PluginError: two parameters have one name, or a flattened argument is no record with such fields.
    """
    found: dict[str, Field] = {}
    for name, argument in _arguments(registered).items():
        mark = _mark(argument)
        fields = {name: argument} if mark is None else _record_fields(registered, name, argument, mark)
        if twice := sorted(found.keys() & fields.keys()):
            raise PluginError(f"{_whose(registered)}: two parameters have the name {twice[0]!r}")
        found |= fields
    return found


def flattened_records(registered: Registered[Entry]) -> Iterator[type]:
    """The classes of the records whose fields are parameters of a method."""
    for argument in _arguments(registered).values():
        if _mark(argument) is not None:
            yield type(argument[1])


def call_arguments(registered: Registered[Entry], values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a target from the values of all parameters; flattened records are put together again."""
    arguments = dict(values)
    for name, argument in _arguments(registered).items():
        if mark := _mark(argument):
            own = _record_fields(registered, name, argument, mark)
            arguments[name] = attrs.evolve(argument[1], **{field: arguments.pop(field) for field in own})
    return arguments


def _arguments(registered: Registered[Entry]) -> dict[str, Field]:
    """Type and default of each argument of a target, without those that the run gives."""
    target = load_target(registered)
    with plugin_stage(registered.owner, "its types"):
        hints = _hints(target)
    return {
        name: (hints.get(name, Any), _default(target, name, parameter.default))
        for name, parameter in inspect.signature(target).parameters.items()
        if name not in _CONTEXT.get(registered.kind, ())
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _mark(argument: Field) -> Flattened | None:
    return next((mark for mark in typing.get_args(argument[0])[1:] if isinstance(mark, Flattened)), None)


def other_methods(fields: Mapping[str, Field]) -> dict[str, Kind]:
    """The parameters that name another method, with its kind; see `crbench.api.parameters.OtherMethod`."""
    marks = {name: typing.get_args(kind)[1:] for name, (kind, _) in fields.items()}
    return {name: mark.kind for name, own in marks.items() for mark in own if isinstance(mark, OtherMethod)}


def _record_fields(registered: Registered[Entry], name: str, argument: Field, mark: Flattened) -> dict[str, Field]:
    """Type and default of each offered field of a flattened argument."""
    record = argument[1]
    if not attrs.has(type(record)):
        raise PluginError(f"{_whose(registered)}: the flattened argument {name!r} needs an attrs record as default")
    attrs.resolve_types(type(record))
    known = {field.name: field.type for field in attrs.fields(type(record)) if field.init}
    if unknown := sorted(set(mark.fields) - set(known)):
        raise PluginError(f"{_whose(registered)}: {type(record).__name__} has no field {unknown[0]!r} to offer")
    return {field: (known[field], getattr(record, field)) for field in mark.fields or known}


def _whose(registered: Registered[Entry]) -> str:
    return f"{registered.owner}: {registered.kind} {registered.entry.name!r}"


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    if inspect.isclass(target) and attrs.has(target):
        attrs.resolve_types(target)
        return {field.alias: field.type for field in attrs.fields(target) if field.init}
    return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)


def _default(target: Callable[..., Any], name: str, default: Any) -> Any:
    if default is attrs.NOTHING and inspect.isclass(target) and attrs.has(target):
        factory = next(field.default for field in attrs.fields(target) if field.alias == name)
        return factory.factory()
    return default


def checked_result(built: object, registered: Registered[Entry], name: str) -> object:
    """What a target gave back, which has the members of its kind's interface.

    Raises:
        PluginError: some are missing.
    """
    interface = _INTERFACES[registered.kind]
    if not isinstance(built, (interface, Precomputed) if interface is Backbone else interface):
        kind, owner = registered.kind, registered.owner
        members = {*vars(interface), *interface.__annotations__}
        lacking = sorted(name for name in members if not (name.startswith("_") or hasattr(built, name)))
        detail = f"; it lacks {', '.join(lacking)}" if lacking else ""
        raise PluginError(f"{owner}: {kind} {name!r} gave a {type(built).__name__}, not a {interface.__name__}{detail}")
    return built

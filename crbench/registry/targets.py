"""What stands behind an entry: its class or function, and the parameters that a user can change."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

from crbench.api.entry import Entry, Kind
from crbench.errors import PluginError
from crbench.registry.discovery import Registered, plugin_stage

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
            package = registered.owner.distribution
            raise PluginError(f"{error}; install it with: pip install '{package}[{extra}]'") from error.__cause__
        raise


def parameter_fields(registered: Registered[Entry]) -> dict[str, tuple[Any, Any]]:
    """Type and default of each parameter of a target (`inspect.Parameter.empty` where there is none)."""
    target = load_target(registered)
    hints = _hints(target)
    return {
        name: (hints.get(name, Any), _default(target, name, parameter.default))
        for name, parameter in inspect.signature(target).parameters.items()
        if name not in _CONTEXT.get(registered.kind, ())
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    if inspect.isclass(target) and attrs.has(target):
        attrs.resolve_types(target)
        return {field.alias: field.type for field in attrs.fields(target) if field.init}
    return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)


def _default(target: Callable[..., Any], name: str, default: Any) -> Any:
    if default is attrs.NOTHING and inspect.isclass(target) and attrs.has(target):
        factory = next(field.default for field in attrs.fields(target) if field.alias == name)
        return factory.factory()
    return default

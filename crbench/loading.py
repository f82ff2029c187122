"""From a name to a ready object: presets, parameters and their types, and the loaders of the public interface."""

from __future__ import annotations

import difflib
import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from crbench.config import convert, plain
from crbench.entries import Kind
from crbench.errors import ConfigError, DataError, PluginError
from crbench.interfaces import Aligner, Backbone, Dataset
from crbench.registry import PluginRecord, Registered, installed, plugin_stage
from crbench.store.files import content_hash

_CONTEXT: Mapping[Kind, tuple[str, ...]] = {"backbone": ("weights", "device")}
"""Arguments that the run gives to a target and that are not parameters of the method."""


@attrs.frozen
class Resolved:
    """A name resolved: whose it is, which preset, and every parameter with its value, defaults included."""

    registered: Registered
    preset: str
    values: Mapping[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """The values as JSON can hold them, for results and cache keys."""
        return {name: plain(value) for name, value in self.values.items()}

    @property
    def name(self) -> str:
        """The entry's name, with the preset where it has any: ``vpfa/paper``."""
        return "/".join(part for part in (self.registered.entry.name, self.preset) if part)

    def identity(self) -> dict[str, Any]:
        """All that decides what the method does (JSON values): a file that a parameter names counts by its content."""
        owner = self.registered.owner
        files = {name: content_hash(value) for name, value in self.values.items() if isinstance(value, Path)}
        return {
            "name": self.name,
            "distribution": f"{owner.distribution} {owner.version}",
            "parameters": {**self.parameters, **files},
        }

    def build(self, **context: Any) -> Any:
        """Call the target.

        Raises:
            ConfigError: a parameter is out of range.
            PluginError: the target failed for another reason.
        """
        target = load_target(self.registered)
        try:
            with plugin_stage(self.registered.owner, "construction"):
                return target(**self.values, **context)
        except PluginError as error:
            # Range checks of pure constructors are built-in errors; for the user they are about the wish.
            if isinstance(error.__cause__, (ValueError, TypeError)):
                kind = self.registered.kind
                raise ConfigError(f"{kind} {self.name!r}: {_first_line(error.__cause__)}") from error.__cause__
            raise


def resolve(kind: Kind, wish: str, changes: Mapping[str, Any] | None = None) -> Resolved:
    """The entry, preset and parameters that `wish` (``name`` or ``name/preset``) and `changes` ask for.

    Raises:
        ConfigError: unknown name, preset or parameter, or a value of the wrong type.
        PluginError: the plugin that offers it is broken.
    """
    name, _, preset = wish.partition("/")
    registered = installed().get(kind, name)
    entry = registered.entry
    if preset and preset not in entry.presets:
        known = ", ".join(entry.presets) or "none"
        raise ConfigError(f"unknown preset {preset!r} of {kind} {name!r}; known: {known}")
    if not preset and entry.presets:
        preset = next(iter(entry.presets))
    fields = parameter_fields(registered)
    values = {field: default for field, (_, default) in fields.items() if default is not inspect.Parameter.empty}
    for key, value in {**entry.presets.get(preset, {}), **(changes or {})}.items():
        if key not in fields:
            raise ConfigError(f"{kind} {name!r} has no parameter {key!r}{_hint(key, list(fields))}")
        values[key] = convert(value, fields[key][0], f"{kind} {name!r}: {key}")
    missing = sorted(set(fields) - set(values))
    if missing:
        raise ConfigError(f"{kind} {name!r} needs a value for {', '.join(missing)}; give --set {kind}.{missing[0]}=...")
    return Resolved(registered=registered, preset=preset, values={key: values[key] for key in sorted(values)})


def parameter_fields(registered: Registered) -> dict[str, tuple[Any, Any]]:
    """Type and default of each parameter of a target (`inspect.Parameter.empty` where there is none)."""
    target = load_target(registered)
    hints = _hints(target)
    return {
        name: (hints.get(name, Any), _default(target, name, parameter.default))
        for name, parameter in inspect.signature(target).parameters.items()
        if name not in _CONTEXT.get(registered.kind, ())
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def load_target(registered: Registered) -> Callable[..., Any]:
    """The class or function behind an entry, imported at first use."""
    target = registered.entry.target
    if not isinstance(target, str):
        return target
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


def load_backbone(name: str, weights: str | Path | None = None, device: str = "cpu", **parameters: Any) -> Backbone:
    """A ready backbone.

    Args:
        name: as in ``--backbone``, with an optional preset.
        weights: a weights file; without it the backbone is untrained or takes what it ships.
        device: torch device name.
        parameters: the backbone's own.

    Raises:
        ConfigError, DataError, PluginError: see `resolve`; weights that are missing or do not fit.

    Example:
        >>> load_backbone("resnet-tiny").dim
        256
    """
    path = None if weights is None else Path(weights)
    if path is not None and not path.is_file():
        raise DataError(f"weights file {path} does not exist; give the path of a file")
    backbone = resolve("backbone", name, parameters).build(weights=path, device=device)
    return cast(Backbone, _checked(backbone, Backbone, "backbone", name))


def load_aligner(name: str, **parameters: Any) -> Aligner:
    """An aligner that is ready to be fitted.

    Example:
        >>> load_aligner("vpfa/paper", hidden=512).hidden
        512
    """
    return cast(Aligner, _checked(resolve("aligner", name, parameters).build(), Aligner, "aligner", name))


def load_dataset(name: str, **parameters: Any) -> Dataset:
    """A data set; nothing is read before its `split` is asked for.

    Example:
        >>> sorted(load_dataset("mlr-synthetic").protocols)[0]
        'mlr'
    """
    return cast(Dataset, _checked(resolve("dataset", name, parameters).build(), Dataset, "dataset", name))


def list_plugins() -> tuple[PluginRecord, ...]:
    """All backbones, aligners, data sets and metrics that are installed, and the plugins that are broken.

    Example:
        >>> "vpfa" in {record.name for record in list_plugins() if record.kind == "aligner"}
        True
    """
    return tuple(installed().records())


def _checked(built: object, interface: type, kind: Kind, name: str) -> object:
    if not isinstance(built, interface):
        owner = installed().get(kind, name.partition("/")[0]).owner
        lacking = (
            sorted(member for member in typing.get_protocol_members(interface) if not hasattr(built, member))
            if hasattr(typing, "get_protocol_members")
            else []
        )
        detail = f"; it lacks {', '.join(lacking)}" if lacking else ""
        raise PluginError(f"{owner}: {kind} {name!r} gave a {type(built).__name__}, not a {interface.__name__}{detail}")
    return built


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


def _hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    did = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{did} known: {', '.join(sorted(known)) or 'none'}"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error.args[0] if error.args else error).splitlines()), type(error).__name__)

"""From a name to a ready object: presets, parameters and their types, and the loaders of the public interface."""

from __future__ import annotations

import difflib
import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import attrs

from crbench.config import convert, parse_setting, plain
from crbench.entries import Entry, Kind, Wish
from crbench.errors import ConfigError, DataError, PluginError
from crbench.interfaces import Aligner, Backbone, Dataset, Precomputed
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
        """What the user asks for, with preset and argument where it has any: ``vpfa/paper``, ``onnx:nets/a.onnx``."""
        return self._method + (f":{plain(self._argument)}" if self._argument is not None else "")

    @property
    def label(self) -> str:
        """The entry's name for tables, with its argument; of a path the last part: ``onnx:a.onnx``."""
        argument = self.file.absolute().name if self.file else self._argument
        return self.registered.entry.name + (f":{plain(argument)}" if argument is not None else "")

    @property
    def file(self) -> Path | None:
        """The file or folder that the argument names; None where it names none."""
        return self._argument if isinstance(self._argument, Path) else None

    @property
    def file_sha256(self) -> str | None:
        """Content hash of `file`."""
        return self._hashes[self.registered.entry.argument or ""] if self.file else None

    def identity(self) -> dict[str, Any]:
        """All that decides what the method does (JSON values): a file that a parameter names counts by its content."""
        owner = self.registered.owner
        return {
            "name": self._method,
            "distribution": f"{owner.distribution} {owner.version}",
            "parameters": {**self.parameters, **self._hashes},
        }

    @property
    def _method(self) -> str:
        return "/".join(part for part in (self.registered.entry.name, self.preset) if part)

    @property
    def _argument(self) -> Any:
        return self.values.get(self.registered.entry.argument or "")

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {name: content_hash(value) for name, value in self.values.items() if isinstance(value, Path)}

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
    """The entry, preset and parameters that `wish` (see `Wish`) and `changes` ask for.

    Raises:
        ConfigError: unknown name, preset or parameter, or a value of the wrong type.
        DataError: the argument names a file or folder that does not exist.
        PluginError: the plugin that offers it is broken.
    """
    parts = Wish.parse(wish)
    name, preset = parts.name, parts.preset
    registered = installed().get(kind, name)
    entry = registered.entry
    if preset and preset not in entry.presets:
        known = ", ".join(entry.presets) or "none"
        raise ConfigError(f"unknown preset {preset!r} of {kind} {name!r}; known: {known}")
    if not preset and entry.presets:
        preset = next(iter(entry.presets))
    fields = parameter_fields(registered)
    values = {field: default for field, (_, default) in fields.items() if default is not inspect.Parameter.empty}
    given = _with_argument(registered, parts.argument, fields, changes or {})
    for key, value in {**entry.presets.get(preset, {}), **given}.items():
        if key not in fields:
            raise ConfigError(f"{kind} {name!r} has no parameter {key!r}{_hint(key, list(fields))}")
        values[key] = convert(value, fields[key][0], f"{kind} {name!r}: {key}")
    missing = sorted(set(fields) - set(values))
    if missing:
        how = _syntax(entry) if missing[0] == entry.argument else f"--set {kind}.{missing[0]}=..."
        raise ConfigError(f"{kind} {name!r} needs a value for {', '.join(missing)}; give {how}")
    resolved = Resolved(registered=registered, preset=preset, values={key: values[key] for key in sorted(values)})
    if resolved.file is not None and not resolved.file.exists():
        raise DataError(f"{kind} {name!r}: {resolved.file} does not exist; expected {_syntax(entry)}")
    return resolved


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


def _with_argument(
    registered: Registered, argument: str, fields: Mapping[str, tuple[Any, Any]], changes: Mapping[str, Any]
) -> Mapping[str, Any]:
    """`changes` with the parameter that the text after the colon fills."""
    kind, entry = registered.kind, registered.entry
    if not argument:
        return changes
    if entry.argument is None:
        raise ConfigError(f"{kind} {entry.name!r} takes nothing after a colon, given {argument!r}; write {entry.name}")
    if entry.argument in changes:
        raise ConfigError(f"{kind} {entry.name!r}: {entry.argument} is given twice, as {argument!r} and by --set")
    verbatim = fields.get(entry.argument, (str, None))[0] in (str, Path)
    return {**changes, entry.argument: argument if verbatim else parse_setting(f"{kind}.argument={argument}")[1]}


def _syntax(entry: Entry) -> str:
    return f"{entry.name}:{(entry.argument or '').upper()}"


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


def load_backbone(
    name: str, weights: str | Path | None = None, device: str = "cpu", **parameters: Any
) -> Backbone | Precomputed:
    """A ready backbone, or features in its place (``features:FOLDER``).

    Args:
        name: as in ``--backbone``, with optional preset and argument.
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
    if isinstance(backbone, Precomputed):
        return backbone
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
        owner = installed().get(kind, Wish.parse(name).name).owner
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

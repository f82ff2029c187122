"""From a name to a ready object: presets, parameters and their types."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from crbench.api.capabilities import DigestsContent, StartsFromFile
from crbench.api.entry import Entry, Kind, Released
from crbench.config.convert import plain
from crbench.errors import ConfigError, DataError, MissingWeightsError, PluginError
from crbench.protocol.hashing import content_hash
from crbench.registry.code import code_sha256
from crbench.registry.discovery import Registered, installed
from crbench.registry.guard import plugin_stage
from crbench.registry.parameters import argument_syntax, converted, how_to_give, with_argument
from crbench.registry.request import Request
from crbench.registry.targets import (
    Field,
    call_arguments,
    checked_result,
    load_target,
    other_methods,
    parameter_fields,
)
from crbench.registry.weight_files import released_hint
from crbench.wording import plain_fault

_DIGITS = 12
"""Of a content hash in names; as many as fingerprints have."""


@attrs.frozen
class Resolved:
    """A name resolved: whose it is, which preset, and every parameter with its value, defaults included.

    Attributes:
        values: by parameter, sorted; fields of a `crbench.api.parameters.Flattened` record each for itself, and another
            method (`crbench.api.parameters.OtherMethod`) resolved.
        owner: the distribution, where another one offers an entry of that name too; the name must then begin with it.
        changed: names of the parameters that differ from the preset, or from the defaults where there is none; the
            argument, which the name tells, is not among them.
    """

    registered: Registered[Entry]
    preset: str
    values: Mapping[str, Any]
    changed: tuple[str, ...] = ()
    owner: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """The values as JSON can hold them, for results and cache keys; those of another method after its name."""
        own = {name: value.name if isinstance(value, Resolved) else plain(value) for name, value in self.values.items()}
        others = {
            f"{name}.{key}": value for name, other in self.others.items() for key, value in other.parameters.items()
        }
        return own | others

    @property
    def others(self) -> dict[str, Resolved]:
        """The other methods that parameters name."""
        return {name: value for name, value in self.values.items() if isinstance(value, Resolved)}

    @property
    def transductive(self) -> bool:
        """What it, or another method in it, does to one sample may depend on the others."""
        return self.registered.entry.transductive or any(other.transductive for other in self.others.values())

    @property
    def needs(self) -> tuple[str, ...]:
        """What it, or another method in it, must see of test rows beside their rates."""
        needs = (self.registered.entry.needs, *(other.needs for other in self.others.values()))
        return tuple(dict.fromkeys(column for own in needs for column in own))

    @property
    def name(self) -> str:
        """What the user asks for, with preset and argument where it has any: ``vpfa/paper``, ``onnx:nets/a.onnx``."""
        owner = f"{self.owner}::" if self.owner else ""
        return owner + self._method + (f":{plain(self._argument)}" if self._argument is not None else "")

    @property
    def public_name(self) -> str:
        """`name` without a path of the user's: in place of a file or folder, 12 digits of the hash of its content."""
        if self.file is None:
            return self.name
        return self.name.removesuffix(plain(self._argument)) + self.content_digits

    @property
    def content_digits(self) -> str:
        """12 digits of `file_sha256`."""
        return str(self.file_sha256)[:_DIGITS]

    @property
    def shown_name(self) -> str:
        """`name`, of a path the last part alone: ``folder:people``."""
        return self.name if self.file is None else self.name.removesuffix(plain(self._argument)) + self.file_name

    @property
    def file_name(self) -> str:
        """The last part of the path of `file`; empty where it names none, or the root."""
        return self.file.absolute().name if self.file else ""

    @property
    def public_parameters(self) -> dict[str, Any]:
        """`parameters` with content hashes in place of paths."""
        return {**self.parameters, **{name: f"sha256:{found}" for name, found in self._hashes.items()}}

    @property
    def label(self) -> str:
        """The entry's name for tables, with its argument; of a path the last part: ``onnx:a.onnx``."""
        argument = self.file_name if self.file else self._argument
        return self.registered.entry.name + (f":{plain(argument)}" if argument is not None else "")

    @property
    def file(self) -> Path | None:
        """The file or folder that the argument names; None where it names none."""
        return self._argument if isinstance(self._argument, Path) else None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file or folder that a parameter names."""
        own = (value for value in self.values.values() if isinstance(value, Path))
        return (*own, *(file for other in self.others.values() for file in other.files))

    @property
    def file_sha256(self) -> str | None:
        """Content hash of `file`."""
        return self._hashes[self.registered.entry.argument or ""] if self.file else None

    @property
    def released(self) -> Released | None:
        """Weights of the preset that the method's authors give away."""
        return self.registered.entry.released.get(self.preset)

    @property
    def code_sha256(self) -> str | None:
        """Of the code that runs, see `crbench.registry.code.code_sha256`; None = it cannot be read."""
        codes = [code_sha256(self.registered.entry), *(other.code_sha256 for other in self.others.values())]
        if len(codes) == 1 or None in codes:
            return None if None in codes else codes[0]
        return hashlib.sha256("".join(map(str, codes)).encode()).hexdigest()

    def identity(self) -> dict[str, Any]:
        """All that decides what the method does (JSON values): code and files that parameters name, by their content.

        Versions are left out, as code that changed need not have another, nor code of another version have changed.
        """
        facts = {
            "name": self._method,
            "distribution": self.registered.owner.distribution,
            "code": self.code_sha256,
            "parameters": {**self.parameters, **self._hashes},
        }
        others = {name: other.identity() for name, other in self.others.items()}
        return facts | ({"others": others} if others else {})

    @property
    def _method(self) -> str:
        return "/".join(part for part in (self.registered.entry.name, self.preset) if part)

    @property
    def _argument(self) -> Any:
        return self.values.get(self.registered.entry.argument or "")

    @cached_property
    def _hashes(self) -> dict[str, str]:
        found = {name: content_hash(value) for name, value in self.values.items() if isinstance(value, Path)}
        argument, target = self.registered.entry.argument, load_target(self.registered)
        if argument in found and isinstance(target, DigestsContent):
            with plugin_stage(self.registered.owner, "content_sha256"):
                found[argument] = target.content_sha256(**self.values)
        return found

    def build(self, **context: Any) -> Any:
        """Call the target; what it gives back has the members of its kind's interface.

        Raises:
            ConfigError: a parameter is out of range.
            DataError: weights are missing or do not fit.
            PluginError: the target failed for another reason, or gave back something else.
        """
        target = load_target(self.registered)
        values = {name: value.build() if isinstance(value, Resolved) else value for name, value in self.values.items()}
        try:
            with self._naming_released(), plugin_stage(self.registered.owner, "construction"):
                built = target(**call_arguments(self.registered, values), **context)
                return checked_result(built, self.registered, self.name)
        except PluginError as error:
            # Range checks of pure constructors are built-in errors; for the user they are about the request.
            if isinstance(error.__cause__, (ValueError, TypeError)):
                kind = self.registered.kind
                raise ConfigError(f"{kind} {self.name!r}: {plain_fault(error.__cause__)}") from error.__cause__
            raise

    def starting_file(self) -> Path | None:
        """The file that a training starts from, if the target is `StartsFromFile`.

        Raises:
            DataError: it is missing.
        """
        target = load_target(self.registered)
        if not isinstance(target, StartsFromFile):
            return None
        with self._naming_released(), plugin_stage(self.registered.owner, "construction"):
            return target.starting_file(**self.values)

    @contextmanager
    def _naming_released(self) -> Iterator[None]:
        try:
            yield
        except MissingWeightsError as error:
            if self.released is None:
                raise
            message = f"{error.message}; or {released_hint(self.released)}"
            raise MissingWeightsError(message, error.otherwise) from error


def resolve(kind: Kind, request: str, changes: Mapping[str, Any] | None = None) -> Resolved:
    """The entry, preset and parameters that `request` (see `Request`) and `changes` ask for.

    Raises:
        ConfigError: unknown name, preset or parameter, or a value of the wrong type.
        DataError: the argument names a file or folder that does not exist.
        PluginError: the plugin that offers it is broken.
    """
    parts = Request.parse(request)
    name, preset = parts.name, parts.preset
    registered = installed().get(kind, request)
    entry, shared = registered.entry, len(installed().claims(kind, name)) > 1
    if not preset and entry.presets:
        preset = next(iter(entry.presets))
    fields = parameter_fields(registered)
    values = {field: default for field, (_, default) in fields.items() if default is not inspect.Parameter.empty}
    chosen, asked = entry.presets.get(preset, {}), with_argument(registered, parts.argument, fields, changes or {})
    values |= converted(registered, chosen, fields)
    given = converted(registered, asked, fields)
    changed = [key for key in given if key not in values or plain(given[key]) != plain(values[key])]
    values |= given
    others, changed_others = _others(registered, fields, chosen, asked)
    values |= others
    missing = sorted(set(fields) - set(values))
    if missing:
        how = how_to_give(registered, missing)
        raise ConfigError(f"{kind} {name!r} needs a value for {', '.join(missing)}; {how}")
    resolved = Resolved(
        registered=registered,
        preset=preset,
        values={key: values[key] for key in sorted(values)},
        changed=tuple(key for key in sorted([*changed, *changed_others]) if key != entry.argument),
        owner=registered.owner.distribution if shared else "",
    )
    if resolved.file is not None and not resolved.file.exists():
        raise DataError(f"{kind} {name!r}: {resolved.file} does not exist; expected {argument_syntax(entry)}")
    return resolved


def _others(
    registered: Registered[Entry], fields: Mapping[str, Field], chosen: Mapping[str, Any], asked: Mapping[str, Any]
) -> tuple[dict[str, Resolved | None], list[str]]:
    """The other methods that parameters name, and which parameters differ from the preset.

    Args:
        chosen, asked: values by the preset, and by the user: of a parameter a name, of ``PARAMETER.NAME`` a value.
    """
    found: dict[str, Resolved | None] = {}
    changed: list[str] = []
    for name, kind in other_methods(fields).items():
        preset, request = chosen.get(name, fields[name][1]), asked.get(name, chosen.get(name, fields[name][1]))
        layers = (asked,) if request != preset else (chosen, asked)
        changes = {
            key.partition(".")[2]: value
            for layer in layers
            for key, value in layer.items()
            if key.startswith(f"{name}.")
        }
        if not isinstance(request, str | None) or (request is None and changes):
            about = f"{registered.kind} {registered.entry.name!r}"
            raise ConfigError(
                f"{about}: {name} = {request!r} names no {kind}{', so it has no parameters' if changes else ''}"
            )
        found[name] = other = None if request is None else resolve(kind, request, changes)
        changed += [name] if request != preset else []
        changed += [f"{name}.{key}" for key in (other.changed if other else ())]
    return found, changed

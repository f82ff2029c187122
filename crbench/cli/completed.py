"""Parameter types whose shell completion follows what was typed before: protocols, settings, configs, weights, stages.

Completion must never fail where the command would: what cannot be looked up completes to nothing.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import click
from click.shell_completion import CompletionItem

from crbench.api.entry import KINDS, Kind


class Completed(click.types.StringParamType):
    """Text, of which `options` gives what it may be."""

    files = False
    """Files complete it, too."""

    def options(self, ctx: click.Context, incomplete: str) -> Iterator[str]:
        """What may stand here, given the options before it."""
        raise NotImplementedError

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those of `options` that go on as `incomplete` begins."""
        return _items(self.options(ctx, incomplete), incomplete, files=self.files)


class ProtocolName(Completed):
    """A protocol of the data set that was named before, or of any."""

    name = "protocol"

    def options(self, ctx: click.Context, incomplete: str) -> Iterator[str]:
        """As of `Completed`."""
        from crbench.registry.load import list_plugins, load_dataset

        known = [record.name for record in list_plugins() if record.kind == "dataset" and not record.argument]
        for name in _named(ctx, "dataset") or known:
            yield from load_dataset(name).protocols


class Setting(Completed):
    """``PART.NAME=VALUE``: parts, then the rules or parameters of a part, then the values of those that have few.

    Args:
        parts: those that there are beside the names that were given before.
        rules: of ``protocol``; None = all.
    """

    name = "setting"

    def __init__(
        self,
        parts: tuple[str, ...] = ("aligner", "backbone", "dataset", "protocol"),
        rules: tuple[str, ...] | None = None,
    ) -> None:
        self._parts = parts
        self._rules = rules

    def options(self, ctx: click.Context, incomplete: str) -> Iterator[str]:
        """As of `Completed`."""
        part, dot, rest = incomplete.partition(".")
        if not dot:
            chosen = [_entry_name(one) for kind in KINDS for one in _named(ctx, kind)]
            yield from (f"{one}." for one in (*self._parts, *chosen))
            return
        name, equals, _ = rest.partition("=")
        for known, values in _settings(ctx, part):
            if part == "protocol" and self._rules is not None and known not in self._rules:
                continue
            if not equals:
                yield f"{part}.{known}="
            elif known == name:
                yield from (f"{part}.{name}={value}" for value in values)


class ConfigName(Completed):
    """A TOML file, or ``PACKAGE:NAME`` of one that a plugin ships."""

    name = "config"
    files = True

    def options(self, ctx: click.Context, incomplete: str) -> Iterator[str]:
        """As of `Completed`."""
        from crbench.registry.discovery import shipped_configs

        yield from shipped_configs()


class StageName(Completed):
    """A stage that ``crbench bench`` measures."""

    name = "stage"

    def options(self, ctx: click.Context, incomplete: str) -> Iterator[str]:
        """As of `Completed`."""
        from crbench.bench import STAGES

        yield from STAGES


class WeightsFile(click.Path):
    """A file, or its name in the weights folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names in the weights folder, and files."""
        return _items(_weights(), incomplete, files=True)


PROTOCOL, SETTING, CONFIG, STAGE, WEIGHTS = ProtocolName(), Setting(), ConfigName(), StageName(), WeightsFile()
PARAMETER = Setting(parts=())


def _items(options: Iterator[str], incomplete: str, *, files: bool) -> list[CompletionItem]:
    from crbench.errors import CrbenchError

    found: dict[str, None] = {}
    try:
        for option in options:
            found[option] = None
    except CrbenchError:  # the command itself will report it
        pass
    items = [CompletionItem(option) for option in found if option.startswith(incomplete)]
    return [*items, CompletionItem(incomplete, type="file")] if files else items


def _named(ctx: click.Context, kind: str) -> tuple[str, ...]:
    """What was given for an option that may be given once or several times."""
    # While it completes, click may leave an argument NAME in `ctx.args`.
    given: Any = ctx.params.get(kind) or ctx.params.get("name") or ctx.args[:1]
    return (given,) if isinstance(given, str) else tuple(given)


def _entry_name(request: str) -> str:
    from crbench.registry.request import Request

    return Request.parse(request).name


def _settings(ctx: click.Context, part: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names that follow a part, each with its values where there are few."""
    from crbench.registry.discovery import installed

    if part == "protocol":
        yield from _rules()
    kinds = [kind for kind in KINDS if kind == part or part in map(_entry_name, _named(ctx, kind))]
    for kind in kinds:
        for request in _named(ctx, kind):
            if part in (kind, _entry_name(request)) and installed().claims(kind, _entry_name(request)):
                yield from _parameters(kind, _entry_name(request))


def _rules() -> Iterator[tuple[str, tuple[str, ...]]]:
    import attrs

    from crbench.protocol import EvalProtocol

    for group in EvalProtocol().groups.values():
        for rule in attrs.fields(type(group)):
            values = str(rule.metadata["values"]).split(", ")
            yield rule.name, tuple(value for value in values if value and value == value.lower() and " " not in value)


def _parameters(kind: Kind, name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    from crbench.registry.discovery import installed
    from crbench.registry.targets import parameter_fields

    for parameter, (type_, _) in parameter_fields(installed().get(kind, name)).items():
        values = ("true", "false") if type_ is bool else _literals(type_)
        yield parameter, values


def _literals(type_: Any) -> tuple[str, ...]:
    origin: Any = typing.get_origin(type_)
    return tuple(map(str, typing.get_args(type_))) if origin is Literal else ()


def _weights() -> Iterator[str]:
    from crbench.config.paths import weights_root

    root = weights_root()
    yield from sorted(path.name for path in root.glob("*") if path.is_file() and path.suffix != ".json")

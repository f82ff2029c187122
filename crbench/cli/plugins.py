"""``crbench plugins``: what is installed, what it takes, and whether it keeps its contract."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.api.entry import KINDS, Kind
from crbench.cli.completed import PARAMETER, WEIGHTS
from crbench.cli.lists import item, list_table
from crbench.cli.names import PluginName
from crbench.cli.options import format_option
from crbench.cli.terminal import table_width, wide_option
from crbench.wording import broken

if TYPE_CHECKING:
    from crbench.api.entry import Entry
    from crbench.api.metric import Metric
    from crbench.registry.describe import Parameter
    from crbench.registry.discovery import Registered

_SHOWN_PRESETS = 6
_MEANING_WIDTH = 70
_SIDE_WIDTH = 24
_BROAD = 110
"""Characters of a line from which on types and defaults have all their place."""

_FAILED = 4

_NAME = click.argument("name", type=PluginName(None))
_KIND = click.option("--kind", type=click.Choice(KINDS), help="Only what is of this kind; default: all of that name.")


class _Plugins(click.Group):
    """Says what is meant where a plugin's name stands in place of a command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As of click."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise click.UsageError(
                f"no such command {args[0]!r}; known: {', '.join(self.commands)}, as in crbench plugins show {args[0]}"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Plugins, invoke_without_command=True)
@format_option()
@click.option("--strict-plugins", is_flag=True, help="Stop with exit code 4 at the first plugin that fails or clashes.")
@wide_option
@click.pass_context
def plugins(ctx: click.Context, form: str, strict_plugins: bool, wide: bool) -> None:
    """List backbones, aligners, data sets, distances and metrics, and plugins that are broken.

    \b
    crbench plugins
    crbench plugins show vpfa        its parameters, presets and weights
    crbench plugins check ridge      whether it keeps its contract
    crbench plugins new my-shift --kind aligner
    """
    if ctx.invoked_subcommand is not None:
        return
    import attrs

    from crbench.registry.discovery import discover, installed
    from crbench.registry.load import list_plugins

    if strict_plugins:
        discover(strict=True)
    records = list_plugins()
    if form == "json":
        click.echo(json.dumps([attrs.asdict(record) for record in records], indent=2))
        return
    rows = [
        (
            record.kind,
            record.asked,
            record.status,
            record.error or record.summary,
            f"{record.distribution} {record.version}",
            _few(record.presets),
        )
        for record in records
    ]
    headers = ("kind", "name", "status", "what it is", "distribution", "presets")
    click.echo(list_table(headers, rows, kept=headers[:4], text="what it is", width=table_width(wide)))
    for line in installed().slow:
        click.echo(f"crbench: {line}", err=True)
    unusable = sum(record.status in ("broken", "incompatible") for record in records)
    if unusable:
        click.echo(f"crbench: {unusable} of {len(records)} cannot be used; the others work", err=True)


@plugins.command("show")
@_NAME
@_KIND
@format_option()
def show(name: str, kind: Kind | None, form: str) -> None:
    """Show parameters with types and defaults, presets, weights and citation of what is called NAME.

    \b
    crbench plugins show vpfa
    crbench plugins show lrar --kind backbone --format json
    """
    from crbench.registry.discovery import installed

    found = [installed().get(one, name) for one in _kinds(name, kind)]
    if form == "json":
        click.echo(json.dumps([_facts(item) for item in found], indent=2))
    else:
        width = table_width(wide=False)
        click.echo("\n\n".join("\n".join(_page(one, width)) for one in found))


@plugins.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What it is.")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="New folder; default: NAME.")
def new(name: str, kind: Kind, output: Path | None) -> None:
    """Write a package for a new plugin: a module that works, its test and its README.

    NAME is what users will ask for, such as my-shift. The test runs every check of the contract.

    \b
    crbench plugins new my-shift --kind aligner
    crbench plugins new my-net --kind backbone -o ~/code/my-net
    """
    from crbench.config.home import expanded
    from crbench.scaffold import write_plugin

    folder = expanded(output or Path(name))
    use = write_plugin(name, kind, folder)
    click.echo(folder)
    package, place = shlex.quote(f"{folder.absolute()}[test]"), shlex.quote(str(folder))
    click.echo(f"crbench: next: pip install -e {package} && pytest {place} && {use}", err=True)


@plugins.command("check")
@_NAME
@_KIND
@click.option("--set", "settings", type=PARAMETER, multiple=True, metavar="PART.NAME=VALUE", help="Change a parameter.")
@click.option("--weights", type=WEIGHTS, help="Of a backbone, as in crbench run.")
@click.option("--data-root", type=click.Path(path_type=Path, file_okay=False), help="Folder of your data sets.")
@format_option()
def check(
    name: str, kind: Kind | None, settings: tuple[str, ...], weights: Path | None, data_root: Path | None, form: str
) -> int:
    """Check what is called NAME against its contract, rule by rule; exit code 4 where a rule is broken.

    These are the checks of crbench.testing, run on the CPU: aligners are fitted on made-up features, backbones get
    random images, data sets are read below the data root.

    \b
    crbench plugins check ridge
    crbench plugins check vpfa/light --set vpfa.epochs=1 --set vpfa.draws=64
    crbench plugins check mlr-viper --data-root ~/reid-data
    """
    from crbench.config.paths import data_root as find_root
    from crbench.errors import ConfigError
    from crbench.testing.installed import check_installed

    kinds = _kinds(name, kind)
    if weights is not None and "backbone" not in kinds:
        raise ConfigError(f"--weights {weights}: only a backbone has weights, and {name!r} is none; leave it out")
    changes = _changes(settings, name, kinds)
    rows: list[tuple[str, str, str, str]] = []
    for one in kinds:
        for outcome in check_installed(one, name, changes[one], weights=weights, root=find_root(data_root)):
            rows.append((one, str(outcome.check), outcome.result, outcome.reason))
    failed = sum(result == "fails" for _, _, result, _ in rows)
    columns = ("kind", "check", "result", "reason")
    if form == "json":
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
    else:
        click.echo(list_table(columns, rows, kept=columns, text="reason", width=table_width(wide=False)))
        click.echo(f"crbench: {len(rows)} checks, {failed} fail", err=True)
    return _FAILED if failed else 0


def _changes(settings: tuple[str, ...], name: str, kinds: tuple[Kind, ...]) -> dict[Kind, dict[str, Any]]:
    """The parameters that settings change, by kind."""
    from crbench.config.settings import parse_setting
    from crbench.errors import ConfigError
    from crbench.registry.request import Request

    own = Request.parse(name).name
    changes: dict[Kind, dict[str, Any]] = {kind: {} for kind in kinds}
    for text in settings:
        key, value = parse_setting(text)
        part, _, parameter = key.partition(".")
        if part not in (own, *kinds):
            raise ConfigError(f"--set {text}: expected PART.NAME=VALUE with PART one of {', '.join((*kinds, own))}")
        for kind in kinds:
            if part in (own, kind):
                changes[kind][parameter] = value
    return changes


def _kinds(name: str, kind: Kind | None) -> tuple[Kind, ...]:
    from crbench.registry.discovery import installed

    return installed().kinds_of(name) if kind is None else (kind,)


def _facts(item: Registered[Any]) -> dict[str, Any]:
    import attrs

    from crbench.registry.describe import parameters_of

    entry = item.entry
    facts = {"kind": item.kind, "name": entry.name, "summary": entry.summary, "source": entry.source}
    facts |= {"distribution": item.owner.distribution, "version": item.owner.version}
    if item.kind == "metric":
        names = ("formula", "needs", "unit", "higher_is_better", "default", "rules")
        return facts | {name: getattr(entry, name) for name in names}
    return facts | {
        "bibtex": entry.bibtex,
        "argument": entry.argument,
        "presets": {name: dict(values) for name, values in entry.presets.items()},
        "weights": {name: attrs.asdict(released) for name, released in entry.released.items()},
        "parameters": [attrs.asdict(parameter) for parameter in parameters_of(item)],
    }


def _page(plugin: Registered[Any], width: int | None) -> Iterator[str]:
    """All that there is to know, for people, in lines of `width` characters."""
    entry, owner = plugin.entry, plugin.owner
    yield broken(f"{plugin.kind} {entry.name}, of {owner.distribution} {owner.version}", width)
    lines = _of_metric(entry) if plugin.kind == "metric" else _of_method(entry)
    for line in filter(None, (entry.summary, entry.source and f"source: {entry.source}", *lines)):
        yield item(line, width)
    if plugin.kind == "metric":
        return
    yield from _parameters(plugin, width)
    yield from (item(line, width) for line in entry.bibtex.strip().splitlines())


def _of_metric(metric: Metric) -> Iterator[str]:
    yield metric.formula or "no formula is given"
    yield f"from {metric.needs}, {'higher' if metric.higher_is_better else 'lower'} is better, a {metric.unit}"


def _of_method(entry: Entry) -> Iterator[str]:
    if entry.argument:
        yield f"asked for as {entry.name}:{entry.argument.upper()}"
    for number, (preset, values) in enumerate(entry.presets.items()):
        changes = ", ".join(f"{name}={value}" for name, value in values.items()) or "the defaults below"
        yield f"{entry.name}/{preset}{' (taken by default)' if number == 0 else ''}: {changes}"
    for preset, released in entry.released.items():
        yield f"weights{f' of {preset}' if preset else ''}: {' or '.join(released.files)}, from {released.page}"


def _parameters(method: Registered[Entry], width: int | None) -> Iterator[str]:
    from tabulate import tabulate

    from crbench.registry.describe import parameters_of

    parameters = parameters_of(method)
    if not parameters:
        yield item("no parameters", width)
        return
    yield item(f"parameters, as in --set {method.kind}.{parameters[0].name}=...", width)
    side = _SIDE_WIDTH if width is None or width >= _BROAD else _SIDE_WIDTH // 2
    beside = max(len(one.name) for one in parameters) + 2 * side + 6
    meaning = _MEANING_WIDTH if width is None else max(side, min(_MEANING_WIDTH, width - beside))
    rows = [(one.name, one.type, _default(one), one.help) for one in parameters]
    yield tabulate(rows, ("name", "type", "default", "meaning"), maxcolwidths=[None, side, side, meaning])


def _default(parameter: Parameter) -> str:
    return "(needed)" if parameter.required else json.dumps(parameter.default)


def _few(presets: tuple[str, ...]) -> str:
    """The first presets; a table of all would be too wide to read."""
    more = f", and {len(presets) - _SHOWN_PRESETS} more" if len(presets) > _SHOWN_PRESETS else ""
    return ", ".join(presets[:_SHOWN_PRESETS]) + more

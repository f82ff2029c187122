"""``crbench data``: what is known of each data set, and whether the user's copy is whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.completed import PROTOCOL, SETTING
from crbench.cli.data_text import description, verification_text
from crbench.cli.lists import list_table
from crbench.cli.names import PluginName
from crbench.cli.numbers import INTEGER, IntegerRange
from crbench.cli.options import FILE, FILE_OR_FOLDER, FOLDER, format_option
from crbench.cli.terminal import table_width, wide_option

if TYPE_CHECKING:
    from crbench.api.interfaces import Dataset
    from crbench.protocol import EvalProtocol
    from crbench.registry.discovery import PluginRecord

_NAME = click.argument("name", type=PluginName("dataset"))
_SET = click.option(
    "--set", "settings", type=SETTING, multiple=True, metavar="PART.NAME=VALUE", help="Change one parameter or rule."
)
_ROOT = click.option(
    "--data-root",
    type=FOLDER,
    help="Folder of your data sets; else CRBENCH_DATA, config, platform.",
)
_INCOMPLETE = 3


@click.group()
def data() -> None:
    """Data sets: where they are, what they should hold, and what they do hold.

    \b
    crbench data list
    crbench data verify folder:~/people
    """


@data.command("list")
@_ROOT
@format_option()
@wide_option
def list_datasets(data_root: Path | None, form: str, wide: bool) -> None:
    """List the data sets that are known, and which of them lie below your data root.

    \b
    crbench data list --data-root ~/reid-data
    """
    from crbench.config.paths import data_root as find_root
    from crbench.registry.load import list_plugins

    root = find_root(data_root)
    records = [record for record in list_plugins() if record.kind == "dataset"]
    found = [_on_disk(record, root) for record in records]
    if form == "json":
        rows = [
            {"name": r.asked, "summary": r.summary, "status": r.status, "on_disk": state, "folder": folder}
            for r, (state, folder) in zip(records, found, strict=True)
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    table = [(r.asked, folder or state, r.summary, r.status) for r, (state, folder) in zip(records, found, strict=True)]
    headers = ("name", "on disk", "what it is", "status")
    click.echo(list_table(headers, table, kept=headers[:3], text="what it is", width=table_width(wide)))
    click.echo(f"crbench: looked in {root}; `crbench data verify NAME` counts the images of a copy", err=True)


def _on_disk(record: PluginRecord, root: Path) -> tuple[str, str | None]:
    """``found``, ``not found``, what must be set before the data are looked for, or nothing; and the folder."""
    from crbench.api.data_capabilities import LocatesFolder
    from crbench.errors import CrbenchError, DataError
    from crbench.registry.load import load_dataset

    if record.status != "ok" or record.argument:
        return "", None
    try:
        dataset = load_dataset(record.name)
        if not isinstance(dataset, LocatesFolder):
            return "", None
        asked = dataset.info.opt_in
        if asked is not None and os.environ.get(asked) != "1":
            return f"set {asked}=1 to use it", None
        return "found", str(dataset.locate(root))
    except DataError:
        return "not found", None
    except CrbenchError as error:
        return f"cannot be looked for: {error}", None


@data.command()
@_NAME
@_SET
@format_option()
def info(name: str, settings: tuple[str, ...], form: str) -> None:
    """Show layout, counts, protocols, terms and privacy of a data set.

    \b
    crbench data info mlr-cuhk03
    crbench data info folder:~/people --format json
    """
    import attrs

    dataset = _load(name, settings)
    if form == "json":
        protocols = {
            key: {**protocol.flat(), "fingerprint": protocol.fingerprint()}
            for key, protocol in dataset.protocols.items()
        }
        click.echo(json.dumps({**attrs.asdict(dataset.info), "protocols": protocols}, indent=2))
        return
    click.echo(description(name, dataset.info, dataset.protocols))


@data.command()
def rules() -> None:
    """Print all rules of a protocol with their values and meaning, as Markdown.

    \b
    crbench data rules
    """
    from crbench.protocol.page import protocol_page

    click.echo(protocol_page(), nl=False)


@data.command()
@_NAME
@_SET
@_ROOT
@format_option()
@click.pass_context
def verify(ctx: click.Context, name: str, settings: tuple[str, ...], data_root: Path | None, form: str) -> None:
    """Count, open and compare every image of your copy; exit code 3 if it is not as published.

    \b
    crbench data verify mlr-market1501
    crbench data verify folder:~/people
    """
    import attrs

    from crbench.api.data_capabilities import VerifiesFiles
    from crbench.cli.progress import progress
    from crbench.config.paths import data_root as find_root

    dataset = _load(name, settings)
    if not isinstance(dataset, VerifiesFiles):
        raise click.UsageError(f"data set {name!r} cannot be verified: it offers no verify()")
    found = dataset.verify(root=find_root(data_root), track=progress)
    if form == "json":
        click.echo(json.dumps({**attrs.asdict(found), "ok": found.ok}, indent=2))
    else:
        click.echo(verification_text(name, found))
    ctx.exit(0 if found.ok else _INCOMPLETE)


@data.command()
@click.argument("name", type=PluginName("dataset"), required=False)
@_SET
@_ROOT
def path(name: str | None, settings: tuple[str, ...], data_root: Path | None) -> None:
    """Print the data root, or the folder in which a data set was found.

    \b
    crbench data path
    crbench data path mlr-viper
    """
    from crbench.api.data_capabilities import LocatesFolder
    from crbench.config.paths import data_root as find_root

    root = find_root(data_root)
    dataset = _load(name, settings) if name else None
    click.echo(dataset.locate(root) if isinstance(dataset, LocatesFolder) else root)


@data.command()
@_NAME
@click.option("-o", "--output", type=FILE_OR_FOLDER, required=True, help="New or empty folder.")
@click.option("--protocol", type=PROTOCOL, help="One of the data set's protocols; default: its first.")
@click.option("--trial", type=INTEGER, default=0, show_default=True, help="Trial whose split is written.")
@_SET
@_ROOT
def export(
    name: str, output: Path, protocol: str | None, trial: int, settings: tuple[str, ...], data_root: Path | None
) -> None:
    """Write the images of one split, LR copies included, as folders in the manner of Market-1501.

    \b
    crbench data export mlr-viper --trial 0 -o viper-0
    """
    from crbench.cli.progress import progress
    from crbench.config.paths import data_root as find_root
    from crbench.images.export import export as write
    from crbench.images.export import itself_note

    dataset = _load(name, settings)
    rules = _choose_protocol(name, dataset, protocol, settings)
    split = write(dataset, rules, trial, root=find_root(data_root), output=output, track=progress)
    counts = ", ".join(f"{len(getattr(split, role))} {role}" for role in ("train", "query", "gallery"))
    click.echo(f"crbench: wrote {counts} images of {name}, protocol {rules.name}, trial {trial}", err=True)
    if (note := itself_note(split, rules)) is not None:
        click.echo(f"crbench: {note}", err=True)
    click.echo(output)


@data.command()
@_NAME
@click.option("-o", "--output", type=FILE, required=True, help="Image file.")
@click.option("--protocol", type=PROTOCOL, help="One of the data set's protocols; default: its first.")
@click.option("--people", type=IntegerRange(min=1), default=6, show_default=True, help="People to show.")
@click.option("--seed", type=INTEGER, default=0, show_default=True, help="Chooses the people.")
@_SET
@_ROOT
def preview(
    name: str,
    output: Path,
    protocol: str | None,
    people: int,
    seed: int,
    settings: tuple[str, ...],
    data_root: Path | None,
) -> None:
    """Draw a contact sheet: people in HR and their LR copies side by side.

    \b
    crbench data preview mlr-synthetic -o people.png
    """
    import PIL.Image

    from crbench.config.paths import data_root as find_root
    from crbench.errors import ConfigError
    from crbench.images.contact_sheet import contact_sheet
    from crbench.store.files import write_whole

    dataset = _load(name, settings)
    rules = _choose_protocol(name, dataset, protocol, settings)
    sheet = contact_sheet(dataset, rules, root=find_root(data_root), people=people, seed=seed)
    form = PIL.Image.registered_extensions().get(output.suffix.lower())
    if form not in PIL.Image.SAVE:
        raise ConfigError(f"output {output}: no kind of image file has that suffix; expected e.g. .png or .jpg")
    write_whole(output, lambda file: sheet.save(file, form))
    click.echo(output)


def _load(name: str, settings: tuple[str, ...]) -> Dataset:
    from crbench.errors import ConfigError
    from crbench.registry.load import load_dataset
    from crbench.registry.request import Request

    changes, own = _parsed(settings), Request.parse(name).name
    unknown = sorted(set(changes) - {"dataset", "protocol", own})
    if unknown:
        raise ConfigError(f"--set {unknown[0]}.*: expected PART.NAME with PART one of dataset, protocol, {own}")
    return load_dataset(name, **{**changes.get("dataset", {}), **changes.get(own, {})})


def _parsed(settings: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Values by part and name; a part may be ``dataset``, ``protocol`` or the data set's own name."""
    from crbench.config.settings import parse_setting

    parts: dict[str, dict[str, Any]] = {}
    for text in settings:
        key, value = parse_setting(text)
        part, _, field = key.partition(".")
        parts.setdefault(part, {})[field] = value
    return parts


def _choose_protocol(name: str, dataset: Dataset, request: str | None, settings: tuple[str, ...]) -> EvalProtocol:
    from crbench.harness.plan import choose_protocol

    return choose_protocol(name, dataset, request, _parsed(settings).get("protocol", {}))

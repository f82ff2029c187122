"""The user's data sets, weights and plugins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from crbench.api.data_capabilities import CountsImages, LocatesFolder
from crbench.config.paths import data_root as find_root
from crbench.config.paths import data_root_source, weights_root
from crbench.data.info import deviations
from crbench.doctor.finding import Finding
from crbench.errors import CrbenchError, DataError
from crbench.registry.discovery import installed
from crbench.registry.load import list_plugins, load_dataset
from crbench.registry.weight_files import find_released


def data_sets(data_root: Path | None) -> Iterator[Finding]:
    """Each folder below the data root in which a data set was found, with counts beside the published ones."""
    root = find_root(data_root)
    if root.exists() and not root.is_dir():
        yield Finding("data root", "fault", f"{root} is a file", "set CRBENCH_DATA to the folder of your data sets")
        return
    named = [record for record in list_plugins() if record.kind == "dataset" and record.status == "ok"]
    found: dict[Path, Finding] = {}
    for record in named:
        if not record.argument and (finding := _data_set(record.name, root)) is not None:
            folder, one = finding
            found.setdefault(folder, one)  # mlr-NAME and NAME share a folder; the first is shown
    where = "crbench data list says where each data set is looked for; mlr-synthetic needs none"
    if root.is_dir():
        yield Finding("data root", "ok", f"{root}: {len(found)} copies found", "" if found else where)
    elif source := data_root_source(data_root):
        advice = f"make the folder, or mend what {source} says"
        yield Finding("data root", "fault", f"{root}: {source} names it, and there is no such folder", advice)
    else:
        yield Finding("data root", "ok", f"{root}: no such folder", where)
    yield from found.values()


def _data_set(name: str, root: Path) -> tuple[Path, Finding] | None:
    subject = f"data: {name}"
    try:
        dataset = load_dataset(name)
        if not isinstance(dataset, LocatesFolder) or (
            dataset.info.opt_in is not None and os.environ.get(dataset.info.opt_in) != "1"
        ):
            return None
        folder = dataset.locate(root)
    except DataError:
        return None  # not there
    except CrbenchError as error:
        return root / name, Finding(subject, "fault", str(error).splitlines()[0], "see crbench plugins")
    try:
        counts = dataset.counts(root=root) if isinstance(dataset, CountsImages) else {}
    except CrbenchError as error:
        return folder, Finding(
            subject, "fault", str(error).splitlines()[0], f"crbench data info {name} shows the layout"
        )
    listed = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "not counted"
    differing = deviations(counts, dataset.info.counts) if counts else ()
    if differing:
        advice = f"not the published set ({', '.join(differing)}): crbench data verify {name}"
        return folder, Finding(subject, "note", f"{folder}: {listed}", advice)
    return folder, Finding(subject, "ok", f"{folder}: {listed}")


def weights() -> Iterator[Finding]:
    """What lies in the weights folder, and which released weights are among it."""
    root = weights_root()
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".json"] if root.is_dir() else []
    size = sum(path.stat().st_size for path in files)
    released = []
    for item in installed().entries:
        if item.kind == "backbone":
            for preset, one in item.entry.released.items():
                if find_released(one) is not None:
                    released.append(f"{item.entry.name}/{preset}" if preset else item.entry.name)
    known = f", released: {', '.join(released)}" if released else ""
    yield Finding("weights", "ok", f"{root}: {len(files)} files, {size / 1e6:.0f} MB{known}")


def plugins() -> Iterator[Finding]:
    """Plugins that are broken, clash or are slow; and how many there are."""
    records = list_plugins()
    for record in records:
        if record.status == "clash":
            advice = "or uninstall one of the two"
            yield Finding(f"plugin: {record.name}", "fault", f"{record.status}: {record.error}", advice)
        elif record.status != "ok":
            advice = f"update or uninstall {record.distribution}; crbench plugins --strict-plugins shows more"
            yield Finding(f"plugin: {record.name}", "fault", f"{record.status}: {record.error}", advice)
    for line in installed().slow:
        found, _, advice = line.partition("; ")
        yield Finding("plugin", "note", found, advice)
    working = sum(record.status == "ok" for record in records)
    yield Finding("plugins", "ok", f"{working} of {len(records)} can be used")

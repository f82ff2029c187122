"""Write the images of a split to a folder in the manner of Market-1501, for use with other tools."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import numpy as np

from crbench.api.context import Progress, RunContext
from crbench.api.interfaces import Dataset
from crbench.data.degrade import degrade, write_image
from crbench.errors import ConfigError
from crbench.protocol import Codec, EvalProtocol, ImageRules
from crbench.records import Row, Samples, Split
from crbench.store.files import write_folder

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
"""Folder by role; LR copies of training images go to ``bounding_box_train_2x`` and so on."""

MANIFEST = "manifest.tsv"
_THREADS = min(8, (os.cpu_count() or 1) + 1)


@attrs.frozen
class _Item:
    """One file to write: a row, its path below the output folder, and its tracklet, if it is of one."""

    role: str
    row: Row
    path: str
    group: str


def export(
    dataset: Dataset,
    protocol: EvalProtocol,
    index: int,
    *,
    root: Path,
    output: Path,
    track: Progress | None = None,
) -> Split:
    """Write the images of trial `index` as the protocol shows them; returns the split that was written.

    Files are named ``0002_c1s1_000451_00.png``: person, camera, running number within the folder; LR images have
    the suffix ``_2x`` of their rate. Pixels are kept exactly: PNG, or JPEG where that is the protocol's codec. Beside
    the folders lie ``manifest.tsv`` (path, role, key, pid, camid, rate, native_rate; group, where images are of
    tracklets) and ``protocol.txt``. The output folder appears whole or not at all.

    Raises:
        ConfigError: `output` is a file, or a folder that is not empty.
        DataError: the data are missing or an image cannot be read.
        SystemFaultError: `output` cannot be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"output {output} is not an empty folder; nothing was written")
    split = dataset.split(protocol, index, root=root)
    items = list(_items(split, protocol))

    def fill(folder: Path) -> None:
        for name in {str(Path(item.path).parent) for item in items}:
            (folder / name).mkdir(parents=True)
        _write_images(dataset, protocol.images, items, root, folder, track or RunContext().progress)
        (folder / MANIFEST).write_text(_manifest(items), encoding="utf-8")
        (folder / "protocol.txt").write_text(_statement(dataset, protocol, index, split), encoding="utf-8")

    write_folder(output, fill)
    return split


def _items(split: Split, protocol: EvalProtocol) -> Iterator[_Item]:
    hr = split.train.take(split.train.rates == 1)
    train_lr = [(f"{FOLDERS['train']}_{rate:g}x", "train", hr.at_rate(rate)) for rate in protocol.split.train_rates]
    listed = [(folder, role, getattr(split, role)) for role, folder in FOLDERS.items()]
    for folder, role, rows in [*listed, *train_lr]:
        yield from _folder_items(folder, role, rows, protocol.images)


def _folder_items(folder: str, role: str, rows: Samples, rules: ImageRules) -> Iterator[_Item]:
    """Rows in order of their keys, so that the numbering does not depend on the order of the split."""
    for number, position in enumerate(np.argsort(rows.keys, kind="stable").tolist(), start=1):
        row = rows.row(position)
        person = f"{row.pid:04d}" if row.pid >= 0 else str(row.pid)
        shrunk = f"_{row.rate:g}x" if row.rate > 1 else ""
        name = f"{person}_c{max(row.camid, 0)}s1_{number:06d}_00{shrunk}.{_suffix(row, rules)}"
        group = "" if rows.groups is None else str(rows.groups[position])
        yield _Item(role, row, f"{folder}/{name}", group)


def _suffix(row: Row, rules: ImageRules) -> str:
    return "jpg" if _file_codec(row, rules).form == "jpeg" else "png"


def _file_codec(row: Row, rules: ImageRules) -> Codec:
    """The codec of a row's file: the protocol's where it applies, else PNG, which keeps pixels exactly."""
    applies = row.rate != row.native_rate or rules.encode_hr
    return (rules.codec if applies else None) or Codec("png")


def _write_images(
    dataset: Dataset, rules: ImageRules, items: list[_Item], root: Path, folder: Path, progress: Progress
) -> None:
    # The file itself passes the codec, so that its reader sees exactly the protocol's pixels.
    without_codec = attrs.evolve(rules, encoder="none")

    def write(item: _Item) -> None:
        stored = dataset.read(item.row.key, root=root)
        shown = degrade(stored.image, item.row.rate / item.row.native_rate, without_codec, stored.digest)
        write_image(shown, folder / item.path, _file_codec(item.row, rules))

    pool = ThreadPoolExecutor(_THREADS)
    try:
        with progress(len(items), "export", "image") as tracker:
            for _ in pool.map(write, items):
                tracker.advance()
    finally:
        pool.shutdown(cancel_futures=True)


def _manifest(items: list[_Item]) -> str:
    grouped = any(item.group for item in items)
    lines = [
        "\t".join(
            (
                item.path,
                item.role,
                item.row.key,
                str(item.row.pid),
                str(item.row.camid),
                f"{item.row.rate:g}",
                f"{item.row.native_rate:g}",
                *([item.group] if grouped else []),
            )
        )
        for item in items
    ]
    header = "path\trole\tkey\tpid\tcamid\trate\tnative_rate" + ("\tgroup" if grouped else "")
    return "\n".join([header, *sorted(lines)]) + "\n"


def _statement(dataset: Dataset, protocol: EvalProtocol, index: int, split: Split) -> str:
    note = itself_note(split, protocol)
    return (
        f"data set: {dataset.info.name}\ntrial: {index}\nprotocol: {protocol.describe()}\n"
        f"fingerprint: {protocol.fingerprint()}\nsplit checksum: {split.checksum}\n"
    ) + (f"note: {note}\n" if note else "")


def itself_note(split: Split, protocol: EvalProtocol) -> str | None:
    """What to say where an exported query would find the file of its own image; None = nothing.

    An image that is query and gallery does not meet itself in a run. Its two files no longer say that they are one,
    and no camera rule keeps them apart where cameras do not count.
    """
    rows = split.query
    unseen = (rows.camids == -1) | (protocol.scoring.same_camera == "keep")
    count = int((np.isin(rows.keys, split.gallery.keys) & unseen).sum())
    if not count:
        return None
    return (
        f"{count} of {len(rows)} query images are in the gallery, too, as other files; whoever scores this folder has "
        "to leave them out, or a query finds its own image"
    )

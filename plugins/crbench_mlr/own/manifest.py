"""A manifest: a table in CSV that says of every image who is seen, by which camera, and what the image is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from statistics import mean

import attrs

from crbench.api import Meta, from_heights, load_meta, parse_number
from crbench.errors import DataError
from crbench_mlr.own.listing import Listing, OwnImage

NAMES = ("manifest.csv", "manifest.tsv")
"""Looked for directly in the folder, where no other is named."""

_ROLES = ("train", "query", "gallery")
_HEIGHT_RATES = tuple(range(2, 9))
"""Rates that a height may stand for, beside 1; as many as protocols and methods know."""

_MOST = 100_000

Tracklet = tuple[str, str]
"""What rows of a tracklet have in common: its name and their role."""


def find_manifest(folder: Path, name: str) -> Path | None:
    """The manifest of a folder: the one that is named, or the one that is there.

    Raises:
        DataError: the named one is not there.
    """
    if name:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: there is no such manifest; expected a CSV file below the folder")
        return folder / name
    return next((folder / known for known in NAMES if (folder / known).is_file()), None)


def read_manifest(folder: Path, path: Path, full_height: int) -> Listing:
    """The images that a manifest names.

    Columns: ``path`` (else ``key``), below the manifest's folder, and ``pid``; ``camid``, ``role`` (train, query,
    gallery), ``rate`` or ``height`` where known, and ``group``, the tracklet of an image. Other columns do not matter.

    Args:
        full_height: height in pixels of a person at rate 1, for the column ``height``.

    Raises:
        DataError: a column is missing, or a cell is not what it should be; the message names the line.
    """
    table = load_meta(path)
    columns = {name: column.tolist() for name, column in table.columns.items()}
    place = "key" if "key" in columns and "path" not in columns else "path"
    for name in (place, "pid"):
        if name not in columns:
            slip = next((f", so write {name} in place of {one}" for one in columns if one.lower() == name), "")
            raise DataError(
                f"{path}: no column {name!r}; expected at least path (or key) and pid, found {', '.join(columns)}{slip}"
            )
    rates = _rates(table, columns, full_height)
    images, missing = [], []
    taken: set[tuple[str, str]] = set()
    groups = _Groups(set(columns[place]))
    for number, line in enumerate(table.lines):
        row = {name: column[number] for name, column in columns.items()}
        key, role = row[place], row.get("role", "any") or "any"
        faults = _faults(key, role, row, (key, role) in taken)
        fault = next(faults, None) or groups.fault(row, rates[number], line)
        if fault is not None:
            raise DataError(f"{path}: line {line}, {fault}")
        taken.add((key, role))
        file = path.parent / key
        if not file.exists():
            missing.append(key)
            continue
        images.append(OwnImage(key, file, row["pid"], row.get("camid", ""), role, rates[number], row.get("group", "")))
    if not images:
        raise DataError(f"{path}: none of its {len(missing)} files is there; expected {path.parent / missing[0]}")
    cameras = {image.camera for image in images}
    if cameras == {"-1"}:  # as crbench data export writes a camera that is not known
        images = [attrs.evolve(image, camera="") for image in images]
    return Listing(folder, f"the manifest {path.name}", images, missing=tuple(missing))


@attrs.frozen
class _Groups:
    """What the rows of each tracklet have in common; found row by row.

    Rows of one name in two roles are two tracklets of one person and camera, so each has a rate of its own: an export
    holds LR queries beside gallery images that were recorded with them.

    Args:
        keys: of all images; a tracklet is not called like one.
    """

    keys: set[str]
    _known: dict[tuple[str, Tracklet], tuple[int, str | float]] = attrs.field(factory=dict, init=False)

    def fault(self, row: Mapping[str, str], rate: float, line: int) -> str | None:
        """Why the row of this line cannot be of its group, if so."""
        group = row.get("group", "")
        if not group:
            return None
        if group in self.keys:
            return f"column 'group': {group!r} is the path of an image; give the tracklet another name"
        anywhere, here = (group, ""), (group, row.get("role", ""))
        for name, whose, mine in (
            ("pid", anywhere, row["pid"]),
            ("camid", anywhere, row.get("camid", "")),
            ("rate", here, rate),
        ):
            first, other = self._known.setdefault((name, whose), (line, mine))
            if mine != other:
                return (
                    f"column {name!r}: {mine!r}, but line {first} of the same group {group!r} has {other!r}; "
                    "a tracklet shows one person to one camera at one rate"
                )
        return None


def _faults(key: str, role: str, row: dict[str, str], again: bool) -> Iterator[str]:
    if not key or PurePosixPath(key).is_absolute() or ".." in PurePosixPath(key).parts:
        yield f"path {key!r}: expected a path below the folder"
    if not row["pid"]:
        yield "no pid"
    if role not in (*_ROLES, "any"):
        yield f"column 'role': {role!r} is not one of {', '.join(_ROLES)}"
    if again:
        yield f"{key!r} is listed again in the same role"


def _rates(table: Meta, columns: Mapping[str, list[str]], full_height: int) -> list[float]:
    """The rate of each row, 1 where the table says nothing of it."""
    if "rate" in columns and "height" in columns:
        raise DataError(f"{table.path}: columns 'rate' and 'height' both say how small a person is; leave one out")
    if "rate" in columns:
        return _numbers(table, "rate", columns["rate"], least=1)
    if "height" in columns:
        tracklets = _tracklets(columns, len(table.lines))
        heights = _tracklet_means(_numbers(table, "height", columns["height"], least=1), tracklets)
        return [float(rate) for rate in from_heights(heights, full_height, _HEIGHT_RATES)]
    return [1.0] * len(table.lines)


def _tracklets(columns: Mapping[str, list[str]], count: int) -> list[Tracklet]:
    """The tracklet of each row: its name and role."""
    none = [""] * count
    return list(zip(columns.get("group", none), columns.get("role", none), strict=True))


def _tracklet_means(values: list[float], tracklets: list[Tracklet]) -> list[float]:
    """The values, those of a tracklet replaced by their mean.

    Example:
        >>> _tracklet_means([1.0, 2.0, 5.0, 7.0], [("", "query"), ("t", "query"), ("t", "query"), ("t", "gallery")])
        [1.0, 3.5, 3.5, 7.0]
    """
    members: dict[Tracklet, list[float]] = {}
    for value, tracklet in zip(values, tracklets, strict=True):
        members.setdefault(tracklet, []).append(value)
    return [mean(members[one]) if one[0] else value for value, one in zip(values, tracklets, strict=True)]


def _numbers(table: Meta, name: str, column: list[str], *, least: float) -> list[float]:
    found = []
    for line, cell in zip(table.lines, column, strict=True):
        try:
            found.append(parse_number(cell))
        except ValueError as error:
            raise DataError(f"{table.path}: line {line}, column {name!r}: {error}") from None
        if not least <= found[-1] < _MOST:
            raise DataError(f"{table.path}: line {line}, column {name!r}: {cell} is not between {least} and {_MOST}")
    return found

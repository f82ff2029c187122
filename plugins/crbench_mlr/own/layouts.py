"""How a folder of the user's is read: the first of these layouts that is there is taken, whole.

- ``manifest.csv`` or ``manifest.tsv``, or another table that is named, see `crbench_mlr.own.manifest`;
- ``bounding_box_train``, ``query``, ``bounding_box_test`` with names such as ``0001_c1s1_000151_00.jpg``;
- ``train``, ``query``, ``gallery`` with a folder for each person: ``train/ann/1.jpg``;
- a folder for each person: ``ann/1.jpg``.

With a pattern, names of images tell person and camera in place of folders, see `crbench_mlr.own.pattern`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from crbench.api import files_below, is_image
from crbench.errors import DataError
from crbench_mlr.own.listing import Listing, OwnImage
from crbench_mlr.own.manifest import find_manifest, read_manifest
from crbench_mlr.own.pattern import EXAMPLE, Pattern

_MARKET = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
_BY_ROLE = {role: role for role in ("train", "query", "gallery")}
_MARKET_NAMES = "{pid}_c{camid}s{any}"


def read_folder(folder: Path, pattern: Pattern | None, manifest: str, full_height: int) -> Listing:
    """The images of a folder.

    Raises:
        DataError: there is no such folder, no image, or no way to tell who is seen; see `read_manifest` too.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder; expected folder:PATH with the folder of your images")
    if (path := find_manifest(folder, manifest)) is not None:
        return read_manifest(folder, path, full_height)
    for layout, roles in (("Market-style folders", _MARKET), ("folders train, query and gallery", _BY_ROLE)):
        if all((folder / name).is_dir() for name in roles):
            names = pattern or (Pattern(_MARKET_NAMES) if roles is _MARKET else None)
            return _listing(folder, layout, names, roles)
    layout = "a folder for each person" if pattern is None else f"names like {pattern.text}"
    return _listing(folder, layout, pattern, {".": "any"})


def _listing(folder: Path, layout: str, pattern: Pattern | None, roles: Mapping[str, str]) -> Listing:
    images, others = [], []
    for name, role in roles.items():
        for path in files_below(folder / name):
            inside = path.relative_to(folder / name).as_posix()
            told = _told(inside, pattern) if is_image(path) else None
            if told is None:
                others.append(path)
            else:
                images.append(OwnImage(path.relative_to(folder).as_posix(), path, *told, role))
    if not images:
        raise DataError(f"{folder}: {_nothing(others, layout, pattern)}")
    return Listing(folder, layout, images, tuple(others))


def _told(inside: str, pattern: Pattern | None) -> tuple[str, str] | None:
    """Person and camera of the image at a path below its folder."""
    if pattern is not None:
        return pattern.match(inside)
    person, slash, _ = inside.partition("/")
    return (person, "") if slash else None


def _nothing(others: list[Path], layout: str, pattern: Pattern | None) -> str:
    named = next((path for path in others if is_image(path)), None)
    if named is None:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in others)
        found = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common(3)) or "no file at all"
        return f"no images; expected files .jpg, .jpeg, .png or .bmp, found {found}"
    if pattern is not None:
        where = "" if pattern.text in layout else f" ({layout})"
        return f"no image is named like {pattern.text}{where}; the first is {named.name}"
    return (
        f"images lie in it directly, such as {named.name}, so nothing says who is seen; make a folder for each person, "
        f"or say how names are made: --set dataset.pattern={EXAMPLE} (partner.pattern, where aligners are fitted on it)"
    )

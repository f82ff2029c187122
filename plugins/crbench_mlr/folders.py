"""Find a data set's folder under the names that users have, and list its images; never by directory order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from crbench.errors import DataError

_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
_SHRUNK = re.compile(r"_\dx\.[a-z]+$", re.IGNORECASE)


def descend(folder: Path, path: str) -> Iterator[Path]:
    """Everything at `path` below `folder`: spelled exactly first, then in any case, with or without hyphens."""
    name, _, rest = path.partition("/")
    if name == ".":
        matches = [folder]
    else:
        children = sorted(folder.iterdir()) if folder.is_dir() else []
        matches = [child for child in children if fnmatchcase(_plain(child.name), _plain(name))]
        matches.sort(key=lambda child: child.name != name)
    for match in matches:
        if rest:
            yield from descend(match, rest)
        else:
            yield match


def child(folder: Path, path: str) -> Path:
    """The one thing at `path` below `folder`, spelled in any case; `folder / path` where there is none."""
    return next(descend(folder, path), folder / path)


def images(folder: Path) -> tuple[list[Path], list[Path]]:
    """ImageFile files directly in a folder, and the other files there; both sorted by name.

    Hidden files (``._0001.jpg``, ``.DS_Store``) and ``Thumbs.db`` count as other files; folders are passed over.

    Raises:
        DataError: a name ends in ``_2x.jpg`` or the like, so the folder is a ready-made LR copy.
    """
    found, others = [], []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _IMAGES and not path.name.startswith("."):
            found.append(path)
        elif not path.is_dir():
            others.append(path)
    shrunk = next((path for path in found if _SHRUNK.search(path.name)), None)
    if shrunk is not None:
        raise DataError(
            f"{shrunk}: the suffix says that this is a ready-made LR copy; crbench makes LR images in memory, "
            "please give it the originals"
        )
    return found, others


def matching(
    folder: Path, pattern: re.Pattern[str], example: str
) -> tuple[list[tuple[Path, re.Match[str]]], list[Path]]:
    """Images of a folder whose name matches `pattern` wholly, and all other files there.

    Raises:
        DataError: there are images, but none of them matches.
    """
    found, others = images(folder)
    matches = [(path, match) for path in found if (match := pattern.fullmatch(path.name))]
    if found and not matches:
        raise DataError(f"{folder}: no image is named like {example}; the first is {found[0].name}")
    matched = {path for path, _ in matches}
    return matches, sorted([*others, *(path for path in found if path not in matched)])


def is_image(path: Path) -> bool:
    """Whether a file that was left out looks like a image of the data set (and not like a system's own file)."""
    return path.suffix.lower() in _IMAGES and not path.name.startswith(".")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")

"""Find a data set's folder under the names that users give it; never by directory order."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path


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


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")

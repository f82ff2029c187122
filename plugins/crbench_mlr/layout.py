"""Where users keep a data set, and how such a folder is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from crbench_mlr.folders import descend
from crbench_mlr.inventory import Inventory


@attrs.frozen
class Layout:
    """One way in which users keep a data set.

    Attributes:
        places: folders below the data root where it may be, best first; ``.`` is the root itself. Case, hyphens and
            underscores do not matter.
        holds: paths that such a folder must have; a name may hold the wildcards ``*`` and ``?``.
        scan: lists the images of a folder that holds them all.
    """

    places: tuple[str, ...]
    holds: tuple[str, ...]
    scan: Callable[[Path], Inventory]

    def find(self, root: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Each candidate folder with what it lacks (all of `holds` where there is no such folder)."""
        for place in self.places:
            folders = list(descend(root, place))
            for folder in folders:
                yield folder, tuple(path for path in self.holds if next(descend(folder, path), None) is None)
            if not folders:
                yield root / place, self.holds

"""A gallery of several files: each is read when its turn comes, and none is held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import attrs

from crbench.errors import DataError
from crbench.files.feature_files import Loaded, load_features
from crbench.records import Features


@attrs.frozen
class GalleryFiles(Sequence[Features]):
    """The features of each file, mapped into memory where `crbench.files.feature_files.load_features` can.

    Attributes:
        paths: at least one; either all name their rows, or none does.
    """

    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Features: ...

    @overload
    def __getitem__(self, index: slice) -> GalleryFiles: ...

    def __getitem__(self, index: int | slice) -> Features | GalleryFiles:
        if isinstance(index, slice):
            return GalleryFiles(self.paths[index])
        return load_features(self.paths[index], role="gallery").features

    def __iter__(self) -> Iterator[Features]:
        """The features of one file after the other.

        Raises:
            DataError: a file that cannot be read, or one that names its rows where another does not.
        """
        first: bool | None = None
        for path in self.paths:
            features = load_features(path, role="gallery").features
            first = features.rows.named if first is None else first
            self.check_named(path, features.rows.named, first)
            yield features

    def check_named(self, path: Path, named: bool, first: bool) -> None:
        """Refuse a file that names its rows where the first one does not, or the other way round.

        Raises:
            DataError: that is so.
        """
        if named != first:
            raise DataError(
                f"{path}: has {'' if named else 'no '}keys, {self.paths[0]} has {'keys' if first else 'none'}; give "
                "all files of a gallery keys, or none of them"
            )


def load_query_and_shards(query: Path, gallery: Sequence[Path]) -> tuple[Loaded, GalleryFiles]:
    """Features of the queries, and those of a gallery of several files.

    Raises:
        DataError: a file cannot be read; a file is named twice; the queries are in the gallery, and nothing names rows.
    """
    seen = set()
    for path in gallery:
        if path.exists():
            if (file := (path.stat().st_dev, path.stat().st_ino)) in seen:
                raise DataError(f"{path}: a file of the gallery that is named twice; name each once")
            seen.add(file)
    side = load_features(query, role="query")
    if not side.features.rows.named and any(query.samefile(path) for path in gallery if path.exists()):
        raise DataError(
            f"{query}: query and gallery, and its rows have no keys, so that a query would meet itself; add keys"
        )
    return side, GalleryFiles(gallery)

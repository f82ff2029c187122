"""The positives of each query, wherever in a gallery they lie."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.evaluation.masks import Pairs


@attrs.frozen(eq=False)
class Matches:
    """The positives of each query, query by query, and those of a query in the order of the gallery.

    Attributes:
        shards: intp[P], the shard of the gallery in which each positive lies, from 0.
        rows: intp[P], its row there.
        starts: intp[q + 1]; those of query i are from ``starts[i]`` to ``starts[i + 1]``.
        dims: i64[P], how many leading columns of it count.
        seeds: u64[P], what draws make of its name; None where nothing is drawn.
    """

    shards: NDArray[np.intp]
    rows: NDArray[np.intp]
    starts: NDArray[np.intp]
    dims: NDArray[np.int64]
    seeds: NDArray[np.uint64] | None

    @classmethod
    def of(
        cls, queries: int, pairs: Pairs, dims: NDArray[np.int64], seeds: NDArray[np.uint64] | None = None
    ) -> Matches:
        """The positives in one shard.

        Args:
            queries: number of queries.
            dims, seeds: i64[P] and u64[P], of the gallery image of each pair.
        """
        found = cls(np.zeros_like(pairs.positives), pairs.positives, _starts(queries, pairs.owners), dims, seeds)
        return found._at(np.argsort(pairs.owners, kind="stable"), found.starts)

    @classmethod
    def joined(cls, parts: Sequence[Matches], counts: Sequence[int]) -> Matches:
        """The positives of the same queries in several parts of a gallery; `counts` are the shards of each part."""
        owners = np.concatenate([part.owners for part in parts])
        first = np.cumsum(counts) - counts
        seeds = [part.seeds for part in parts if part.seeds is not None]
        found = cls(
            np.concatenate([part.shards + before for part, before in zip(parts, first, strict=True)]),
            np.concatenate([part.rows for part in parts]),
            _starts(len(parts[0].sizes), owners),
            np.concatenate([part.dims for part in parts]),
            np.concatenate(seeds) if seeds else None,
        )
        return found._at(np.argsort(owners, kind="stable"), found.starts)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """intp[q], positives of each query."""
        return np.diff(self.starts)

    @property
    def owners(self) -> NDArray[np.intp]:
        """intp[P], the query of each."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        arrays = (self.shards, self.rows, self.starts, self.dims, self.seeds)
        return sum(array.nbytes for array in arrays if array is not None)

    def take(self, queries: NDArray[np.intp]) -> Matches:
        """The positives of some queries intp[b], in their order."""
        sizes = self.sizes[queries]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        return self._at(np.arange(starts[-1]) + np.repeat(self.starts[queries] - starts[:-1], sizes), starts)

    def distinct(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Gallery images that are positives, each once: where it occurs first; and intp[P], the image of each positive.

        Images are in the order of the gallery.
        """
        images = self.shards.astype(np.int64) << 32 | self.rows
        _, first, image = np.unique(images, return_index=True, return_inverse=True)
        return first, image

    def _at(self, order: NDArray[np.intp], starts: NDArray[np.intp]) -> Matches:
        seeds = None if self.seeds is None else self.seeds[order]
        return Matches(self.shards[order], self.rows[order], starts, self.dims[order], seeds)


def _starts(queries: int, owners: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=queries))])

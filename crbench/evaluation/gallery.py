"""A gallery in shards: which of its images are positives of which query, wherever they lie.

A gallery of many files is looked at file by file. What is ahead of a positive is counted in each shard, and the counts
add up (`crbench.evaluation.ranks`). So of several shards at once only the positives are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.arrays import to_features
from crbench.errors import EvaluationError
from crbench.evaluation.masks import Pairs, check_some_match
from crbench.protocol import EvalProtocol
from crbench.records import Features, Samples, row_numbers

MAX_ROWS = 2**31 - 1
"""Longest list; the engines count in 32 bits."""


@attrs.frozen(eq=False)
class Gallery:
    """All gallery images, one shard after the other.

    Attributes:
        shards: at least one; each is asked for anew whenever it is needed, so what is read from files need not be held.
        numbered: rows without names are numbered through all shards, as draws take the number for the name; where
            nobody asks for names, this would take as long as the ranking.
    """

    shards: Sequence[Features]
    numbered: bool = True

    @classmethod
    def of(cls, gallery: Features | Sequence[Features], *, numbered: bool = True) -> Gallery:
        """A gallery of one shard or of several.

        Raises:
            EvaluationError: of none.
        """
        shards = (gallery,) if isinstance(gallery, Features) else gallery
        if not len(shards):
            raise EvaluationError("the gallery has no shards; expected at least one")
        return cls(shards, numbered)

    @property
    def whole(self) -> bool:
        """Whether it is in one shard."""
        return len(self.shards) == 1

    @property
    def rows(self) -> Samples:
        """The images of all shards."""
        return Samples.concat([shard.rows for shard in self])

    def __len__(self) -> int:
        """Images in all shards."""
        return sum(map(len, self))

    def __iter__(self) -> Iterator[Features]:
        """The shards, from the first to the last."""
        if self.whole:
            yield self.shards[0]
            return
        first = 0
        for shard in self.shards:
            rows = shard.rows
            if self.numbered and not rows.named:
                rows = attrs.evolve(rows, keys=row_numbers(len(rows), first))
            first += len(rows)
            if first > MAX_ROWS:
                raise EvaluationError(f"the gallery has more than {MAX_ROWS} rows, which ranks do not count")
            yield attrs.evolve(shard, rows=rows)


@attrs.frozen(eq=False)
class Matches:
    """The positives of each query.

    Attributes:
        shards: intp[P], the shard of the gallery in which each positive lies, from 0.
        rows: intp[P], its row there.
        starts: intp[q + 1]; those of query i are from ``starts[i]`` to ``starts[i + 1]``, in the order of the gallery.
    """

    shards: NDArray[np.intp]
    rows: NDArray[np.intp]
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, query: Samples, pairs: Sequence[Pairs]) -> Matches:
        """The positives among the pairs with each shard."""
        owners = np.concatenate([found.owners for found in pairs])
        shards = np.repeat(np.arange(len(pairs)), [len(found.owners) for found in pairs])
        rows = np.concatenate([found.positives for found in pairs])
        order = np.argsort(owners, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(query)))])
        return cls(shards[order], rows[order], starts)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """intp[q], positives of each query."""
        return np.diff(self.starts)


@attrs.frozen(eq=False)
class Positives:
    """All positives of a gallery in several shards, with their features.

    Attributes:
        features: each of them once, shard after shard, in host memory.
        matches: of the queries.
        places: intp[P], where each match is among `features`.
        wide: some shard is float64, see `crbench.arrays.to_features`; then so are `features`.
    """

    features: Features
    matches: Matches
    places: NDArray[np.intp]
    wide: bool

    @classmethod
    def of(cls, query: Samples, gallery: Gallery, protocol: EvalProtocol) -> Positives:
        """Those that the protocol's rules leave, from one pass through the gallery.

        Raises:
            EvaluationError: no query has a positive; the shards have features of several lengths.
        """
        import torch

        pairs, found, samples, dims, wide = [], [], [], [], False
        for shard in gallery:
            pairs.append(Pairs.of(query, shard.rows, protocol))
            mine, x = np.unique(pairs[-1].positives), to_features(shard.x)
            wide |= x.dtype == torch.float64
            found.append(x[torch.from_numpy(mine).to(x.device)].cpu())
            samples.append(shard.rows.take(mine))
            columns = np.full(len(shard), x.shape[1]) if shard.dims is None else np.asarray(shard.dims)
            dims.append(columns[mine].astype(np.int64))
        check_some_match(query, pairs, protocol)
        if len(lengths := {x.shape[1] for x in found}) > 1:
            raise EvaluationError(
                f"shards of the gallery have features of {', '.join(map(str, sorted(lengths)))} columns; expected "
                "equal lengths"
            )
        x = torch.cat([one.double() if wide else one for one in found])
        features = Features(x=x, rows=Samples.concat(samples), dims=np.concatenate(dims))
        matches = Matches.of(query, pairs)
        return cls(features, matches, _places(matches, [len(one) for one in found], pairs), wide)


def _places(matches: Matches, counts: Sequence[int], pairs: Sequence[Pairs]) -> NDArray[np.intp]:
    """intp[P], where each match is among the distinct positives of all shards, of which each has so many."""
    places, first = np.empty(len(matches.rows), dtype=np.intp), 0
    for shard, (count, found) in enumerate(zip(counts, pairs, strict=True)):
        mine = matches.shards == shard
        places[mine] = first + np.searchsorted(np.unique(found.positives), matches.rows[mine])
        first += count
    return places

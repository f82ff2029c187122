"""A gallery in shards, and the features of the positives in all of them.

A gallery of many files is looked at file by file. What is ahead of a positive is counted in each shard, and the counts
add up (`crbench.evaluation.ranks`). So of several shards at once only the positives are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.arrays import to_features
from crbench.errors import EvaluationError
from crbench.evaluation.labels import LabelFacts, joined_in_turn
from crbench.evaluation.matches import Matches
from crbench.protocol import EvalProtocol
from crbench.ranking.interface import RankRows
from crbench.records import Features, Samples, row_numbers

if TYPE_CHECKING:
    import torch

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
            yield placed_after(shard, first, numbered=self.numbered)
            first += len(shard)


def placed_after(shard: Features, first: int, *, numbered: bool) -> Features:
    """A shard as it is in the whole gallery.

    Args:
        first: number of rows in the shards before it.
        numbered: see `Gallery`.

    Raises:
        EvaluationError: with it, the gallery has more rows than ranks count.
    """
    if first + len(shard) > MAX_ROWS:
        raise EvaluationError(f"the gallery has more than {MAX_ROWS} rows, which ranks do not count")
    rows = shard.rows
    if numbered and not rows.named:
        rows = attrs.evolve(rows, keys=row_numbers(len(rows), first))
    return attrs.evolve(shard, rows=rows)


def columns_that_count(feats: Features) -> NDArray[np.int64]:
    """i64[n], how many leading columns of each row count; nothing is checked here."""
    return np.full(len(feats), feats.x.shape[1]) if feats.dims is None else np.asarray(feats.dims).astype(np.int64)


@attrs.frozen(eq=False)
class Positives:
    """The positives of some queries, wherever in the gallery they lie.

    Attributes:
        rows: each image once, in the order of the gallery; in host memory.
        places: intp[P], where each match is among them.
    """

    rows: RankRows
    places: NDArray[np.intp]

    @classmethod
    def of(cls, query: Samples, matches: Matches, found: Sequence[torch.Tensor]) -> Positives:
        """Args: the features of the images that `Matches.distinct` gives, by shard in the order of the gallery."""
        import torch

        from crbench.ranking.norms import row_norms

        check_lengths({x.shape[1] for x in found})
        first, places = matches.distinct()
        x = torch.cat(list(widened(found)))
        return cls(RankRows(x, query.pids[matches.owners[first]], matches.dims[first], row_norms(x)), places)

    @classmethod
    def collected(
        cls, query: Samples, gallery: Gallery, protocol: EvalProtocol, stream: str
    ) -> tuple[LabelFacts, Positives, bool]:
        """What the labels say, all positives, and whether some shard is float64, from one pass through the gallery.

        Raises:
            EvaluationError: no query has a positive; the shards have features of several lengths.
        """
        import torch

        found, wide = [], False

        def shards() -> Iterator[LabelFacts]:
            nonlocal wide
            for shard in gallery:
                facts, x = (
                    LabelFacts.of(query, shard.rows, protocol, stream, columns_that_count(shard)),
                    to_features(shard.x),
                )
                wide |= x.dtype == torch.float64
                mine = np.unique(facts.matches.rows)
                found.append(x[torch.from_numpy(mine).to(x.device)].cpu())
                yield facts

        facts = joined_in_turn(shards(), LabelFacts.joined)
        facts.check_some_match(query, protocol)
        return facts, cls.of(query, facts.matches, found), wide


def check_lengths(lengths: set[int]) -> None:
    """Refuse shards of several lengths of features.

    Raises:
        EvaluationError: there are some.
    """
    if len(lengths) > 1:
        raise EvaluationError(
            f"shards of the gallery have features of {', '.join(map(str, sorted(lengths)))} columns; expected equal "
            "lengths"
        )


def widened(parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """All as float64 where one is, see `crbench.arrays.to_features`."""
    import torch

    wide = any(x.dtype == torch.float64 for x in parts)
    return (x.double() if wide else x for x in parts)

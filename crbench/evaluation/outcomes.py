"""What an evaluation found for each query: the integers and curves that every score follows from."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.metrics.cmc import CURVE_LENGTH, match_curve


@attrs.frozen(eq=False)
class Ranks:
    """Where the positives of each query are among all its valid gallery images.

    Attributes:
        ranks: i64[P], places from 1, query by query and ascending within a query.
        starts: i64[q + 1]; those of query i are ``ranks[starts[i]:starts[i + 1]]``.
        candidates: i64[q], valid gallery images of each query, positives included.

    Raises:
        ValueError: lengths that do not belong together.
    """

    ranks: NDArray[np.int64]
    starts: NDArray[np.int64]
    candidates: NDArray[np.int64]

    def __attrs_post_init__(self) -> None:
        if len(self.starts) != len(self.candidates) + 1 or self.starts[0] != 0 or self.starts[-1] != len(self.ranks):
            raise ValueError(
                f"{len(self.ranks)} ranks, {len(self.starts)} starts and {len(self.candidates)} candidates do not match"
            )

    @property
    def sizes(self) -> NDArray[np.int64]:
        """i64[q], positives of each query."""
        return np.diff(self.starts)

    def take(self, rows: NDArray[np.intp]) -> Ranks:
        """The ranks of some queries, in the order of the rows intp[b]."""
        sizes = self.sizes[rows]
        starts = _starts(sizes)
        places = np.arange(starts[-1]) + np.repeat(self.starts[:-1][rows] - starts[:-1], sizes)
        return Ranks(self.ranks[places], starts, self.candidates[rows])

    @classmethod
    def joined(cls, parts: Sequence[Ranks]) -> Ranks:
        """The queries of all parts, part by part."""
        return cls(
            np.concatenate([part.ranks for part in parts]),
            _starts(np.concatenate([part.sizes for part in parts])),
            np.concatenate([part.candidates for part in parts]),
        )


@attrs.frozen(eq=False)
class Outcomes:
    """What became of each query, in the order of the query rows; all scores follow from it, see `crbench.metrics`.

    Attributes:
        ranks: of the positives among all gallery images; None where a single-shot protocol does not ask for them
            (``ap_gallery=drawn``).
        cmc: f64[q, length] of a single-shot gallery; entry k-1 is the probability that a match is among the k nearest;
            NaN for a query without a match. None for a multi-shot gallery, whose curves follow from `ranks`.
        candidates: i64[q], valid gallery images of each query, positives included; None = not known.
        length: entries of each curve.

    Raises:
        ValueError: neither ranks nor curves, or of different numbers of queries, or curves of another length.
    """

    ranks: Ranks | None
    cmc: NDArray[np.float64] | None
    candidates: NDArray[np.int64] | None = attrs.field(
        default=attrs.Factory(lambda found: found.ranks and found.ranks.candidates, takes_self=True)
    )
    length: int = CURVE_LENGTH

    def __attrs_post_init__(self) -> None:
        counts = {
            *(() if self.cmc is None else (len(self.cmc),)),
            *(() if self.ranks is None else (len(self.ranks.candidates),)),
            *(() if self.candidates is None else (len(self.candidates),)),
        }
        if len(counts) != 1 or (self.ranks is None and self.cmc is None):
            raise ValueError("outcomes are ranks, curves or both, of the same queries")
        if self.cmc is not None and self.cmc.shape[1:] != (self.length,):
            raise ValueError(f"cmc: shape {self.cmc.shape}; expected one curve of {self.length} entries per query")

    @property
    def valid(self) -> NDArray[np.bool_]:
        """bool[q], whether the query has a match in the gallery under the protocol's rules."""
        return ~np.isnan(self.curves()[:, 0])

    def curves(self) -> NDArray[np.float64]:
        """f64[q, length], the CMC curve of each query: `cmc` as it is, or the curve that `ranks` give."""
        if self.ranks is None or self.cmc is not None:
            return np.asarray(self.cmc)
        return match_curve(self.ranks.ranks, self.ranks.starts, self.length)

    def take(self, rows: NDArray[np.intp]) -> Outcomes:
        """The outcomes of some queries, in the order of the rows intp[b]."""
        return Outcomes(
            ranks=None if self.ranks is None else self.ranks.take(rows),
            cmc=None if self.cmc is None else self.cmc[rows],
            candidates=None if self.candidates is None else self.candidates[rows],
            length=self.length,
        )

    def with_curves(self, length: int) -> Outcomes:
        """The same with curves of fewer entries."""
        return attrs.evolve(self, cmc=None if self.cmc is None else self.cmc[:, :length], length=length)

    @classmethod
    def joined(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """The queries of all parts under one protocol, part by part."""
        ranks = [part.ranks for part in parts if part.ranks is not None]
        curves = [part.cmc for part in parts if part.cmc is not None]
        counts = [part.candidates for part in parts if part.candidates is not None]
        return cls(
            ranks=Ranks.joined(ranks) if ranks else None,
            cmc=np.concatenate(curves) if curves else None,
            candidates=np.concatenate(counts) if len(counts) == len(parts) else None,
            length=parts[0].length,
        )


def check_found(outcomes: Outcomes) -> None:
    """Compare outcomes that were read from a file with what an evaluation can find.

    Raises:
        ValueError: arrays of other types, ranks beyond the candidates or out of order, falling curves.
    """
    if outcomes.ranks is not None:
        _check_ranks(outcomes.ranks)
    if outcomes.cmc is not None:
        curves = outcomes.cmc[~np.isnan(outcomes.cmc).all(axis=1)]
        if curves.dtype != np.float64 or not ((curves >= 0) & (curves <= 1)).all() or (np.diff(curves) < 0).any():
            raise ValueError("cmc: expected float64 curves that rise from 0 to 1, or NaN")


def _check_ranks(found: Ranks) -> None:
    for array in (found.ranks, found.starts, found.candidates):
        if array.dtype != np.int64 or array.ndim != 1:
            raise ValueError("ranks, starts and candidates: expected int64 in one row")
    if (found.sizes < 0).any():
        raise ValueError("starts: expected ascending numbers")
    bounds = np.repeat(found.candidates, found.sizes)
    rising = np.diff(found.ranks, prepend=0) > 0
    rising[found.starts[:-1][found.sizes > 0]] = True
    if not (rising & (found.ranks >= 1) & (found.ranks <= bounds)).all():
        raise ValueError("ranks: expected places from 1 to the number of candidates, ascending within a query")


def _starts(sizes: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)], dtype=np.int64)

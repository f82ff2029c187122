"""k-reciprocal encoding (Zhong et al., CVPR 2017), sparse: memory grows with the number of rows, not with its square.

Queries and gallery images form one list of n rows. This follows the authors' published code, from which the numbers of
the paper and of nearly everybody else come, where that departs from the equations of the paper:

1. Distances are squared Euclidean, each row's divided by its largest. (Ports that are handed squared distances and
   square them again are another method.)
2. The neighbours of a row are looked for among all rows, other queries included, and the row itself comes first.
   N(i, k) are the first k + 1 of the list, so that k others take part; the mean over k2 rows (local query expansion),
   however, counts the row itself. By the paper's text both would be lists of k gallery images.
3. R(i, k1), the rows j in N(i, k1) that have i in N(j, k1), is joined by R(j, k1 / 2) of each of its rows j if it
   shares *more* than 2/3 of that set (the paper: at least). Half of an odd k1 is rounded to the even number.
4. The encoding of i gives these rows the weights ``exp(-distance)``, divided by their sum. With sums of 1, the Jaccard
   distance 1 - sum of minima / sum of maxima is ``1 - m / (2 - m)``, m being the sum of minima.
5. The final distance is ``(1 - lambda) * Jaccard + lambda * distance``.

A row may be missing from its own list if there are more than k copies of it. Where all distances of a row are 0, they
stay 0. All is float64 in a fixed order of operations (the exponential too), so that every machine gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from crbench.ranking.rerank.neighbours import Neighbours, PooledRows, neighbours

_ROWS = 4096
"""Rows that are expanded in one go."""

_TERMS = 24
"""Terms of the exponential series on [-1, 0]; the rest is below 2**-79."""


@attrs.frozen
class KReciprocal:
    """Parameters, by the names of the paper.

    Attributes:
        k1: neighbours that may be reciprocal.
        k2: neighbours over which encodings are averaged, the row itself included.
        weight: lambda, the share of the original distance in the final one.
    """

    k1: int
    k2: int
    weight: float


@attrs.frozen(eq=False)
class Encoding:
    """What the final distances are made of.

    Attributes:
        queries: sparse f64[q, n], encodings of the queries.
        gallery: sparse f64[g, n] by column, encodings of the gallery images.
        largest: f64[q], the largest distance of each query; 1 where it is 0.
    """

    queries: sparse.csr_matrix
    gallery: sparse.csc_matrix
    largest: NDArray[np.float64]

    def jaccard(self, query: int) -> NDArray[np.float64]:
        """f64[g], Jaccard distances of a query's encoding to those of all gallery images."""
        start, stop = self.queries.indptr[query : query + 2]
        columns, weights = self.queries.indices[start:stop], self.queries.data[start:stop]
        first, sizes = self.gallery.indptr[columns], np.diff(self.gallery.indptr)[columns]
        ends = np.cumsum(sizes)
        entries = np.arange(sizes.sum()) + np.repeat(first - (ends - sizes), sizes)
        minima = np.minimum(np.repeat(weights, sizes), self.gallery.data[entries])
        # bincount adds in the order of the entries.
        total = np.bincount(self.gallery.indices[entries], weights=minima, minlength=self.gallery.shape[0])
        return 1 - total / (2 - total)


def encoded(pool: PooledRows, how: KReciprocal, advance: Callable[[int], object]) -> Encoding:
    """The k-reciprocal encodings of all rows.

    Memory: about k2 times the (at most ``(k1 + 1) (k1 / 2 + 1)``, usually one or two dozen) rows of an expanded
    neighbourhood, 12 bytes each, per row.

    Args:
        advance: told how many rows were searched.
    """
    near = neighbours(pool, max(how.k1 + 1, how.k2), advance)
    largest = np.where(near.farthest > 0, near.farthest, 1.0)
    weights = _weights(pool, near, _expanded(near, how.k1), largest)
    if how.k2 > 1:
        lists = near.index[:, : how.k2]
        weights = _membership(lists) @ weights
        weights.data /= lists.shape[1]
    weights.sort_indices()
    return Encoding(
        queries=weights[: pool.queries], gallery=weights[pool.queries :].tocsc(), largest=largest[: pool.queries]
    )


def _expanded(near: Neighbours, k1: int) -> sparse.csr_matrix:
    """bool[n, n], the expanded k-reciprocal neighbourhood of each row; sparse, columns rising."""
    reciprocal = _reciprocal(near.index[:, : k1 + 1])
    half = _reciprocal(near.index[:, : round(k1 / 2) + 1])
    sizes = np.diff(half.indptr)
    blocks = []
    for start in range(0, reciprocal.shape[0], _ROWS):
        block = reciprocal[start : start + _ROWS]
        # [b, n], how many rows R(i, k1) and R(j, k1 / 2) have in common, for each j in R(i, k1).
        shared = (block @ half.T).multiply(block).tocoo()
        joining = 3 * shared.data > 2 * sizes[shared.col]
        chosen = (np.ones(joining.sum(), dtype=np.int32), (shared.row[joining], shared.col[joining]))
        blocks.append(block + sparse.csr_matrix(chosen, shape=block.shape) @ half)
    found = sparse.vstack(blocks, format="csr")
    found.sort_indices()
    return found


def _reciprocal(lists: NDArray[np.intp]) -> sparse.csr_matrix:
    """i32[n, n], 1 where two rows are in each other's lists intp[n, k]."""
    member = _membership(lists).astype(np.int32)
    return member.multiply(member.T).tocsr()


def _membership(lists: NDArray[np.intp]) -> sparse.csr_matrix:
    """f64[n, n], 1 at the rows in each row's list."""
    count, size = lists.shape
    columns = np.sort(lists, axis=1).reshape(-1)  # Sorted, so that sums have a fixed order.
    return sparse.csr_matrix((np.ones(lists.size), columns, np.arange(0, lists.size + 1, size)), shape=(count, count))


def _weights(
    pool: PooledRows, near: Neighbours, members: sparse.csr_matrix, largest: NDArray[np.float64]
) -> sparse.csr_matrix:
    """f64[n, n], the encodings: weights of the neighbourhood's members, which sum to 1 per row."""
    rows = np.repeat(np.arange(len(pool)), np.diff(members.indptr))
    weights = _exponential(-_distances(pool, near, rows, members.indices) / largest[rows])
    weights /= np.bincount(rows, weights=weights, minlength=len(pool))[rows]
    return sparse.csr_matrix((weights, members.indices, members.indptr), shape=members.shape)


def _distances(
    pool: PooledRows, near: Neighbours, rows: NDArray[np.intp], others: NDArray[np.integer]
) -> NDArray[np.float64]:
    """f64[m], distances of pairs of rows; most are known from the lists of neighbours."""
    count = len(pool)
    known = (np.arange(count)[:, None] * count + near.index).reshape(-1)
    order = np.argsort(known)
    wanted = rows * count + others
    place = order[np.searchsorted(known, wanted, sorter=order).clip(max=len(known) - 1)]
    found: NDArray[np.float64] = near.distances.reshape(-1)[place]
    missing = np.flatnonzero(known[place] != wanted)
    pair = (torch.from_numpy(side[missing].astype(np.int64)).to(pool.device) for side in (rows, others))
    found[missing] = pool.distances(*pair).cpu().numpy()
    return found


def _exponential(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """e**x for x in [-1, 0] by its series; the last bit of a library's exp differs from machine to machine."""
    total = np.ones_like(x)
    for term in range(_TERMS, 0, -1):
        total = 1 + total * x / term
    return total

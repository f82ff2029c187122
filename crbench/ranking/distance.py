"""The definition of a distance: float64 with a fixed order of summation, the same bits from every library and machine.

A float64 sum depends on the order of its terms, and libraries choose that order by block size, thread count and device.
Here the order is fixed: the elementwise products (or squared differences) are padded with zeros to a power of two and
folded in halves. Only elementwise multiplication, addition, division and square root remain, which IEEE 754 rounds
correctly everywhere. Features have the range of float32, so no square or sum can leave that of float64.

The functions take NumPy arrays and torch tensors alike, as they use operators only.
"""

from __future__ import annotations

from crbench.arrays import Array, sqrt

DISTANCES = ("cosine", "euclidean", "sqeuclidean")


def tree_sum(terms: Array) -> Array:
    """Sum over the last axis by folding halves; overwrites `terms` f64[..., n].

    Example:
        >>> import numpy as np
        >>> float(tree_sum(np.array([1.0, 2.0, 3.0])))
        6.0
    """
    length = terms.shape[-1]
    while length > 1:
        half = 1 << (length - 1).bit_length() - 1
        # The missing terms of the upper half are zeros, and adding zero changes nothing.
        terms[..., : length - half] += terms[..., half:length]
        length = half
    return terms[..., 0]


def norms(x: Array) -> Array:
    """Euclidean norm of each row of f64[..., n]."""
    return sqrt(tree_sum(x * x))


def unit(x: Array) -> Array:
    """Rows of f64[..., n] divided by their norms; no row may be zero."""
    return x / norms(x)[..., None]


def distances(query: Array, gallery: Array, *, dot: bool) -> Array:
    """Row-wise distance by which items are ranked, smaller is nearer; shapes broadcast.

    Args:
        query, gallery: f64[..., n].
        dot: minus the inner product, which ranks as the cosine distance does; otherwise the squared Euclidean distance.
            Two distances are equal, a tie, if and only if these float64 numbers are.
    """
    if dot:
        return -tree_sum(query * gallery)
    difference = query - gallery
    difference *= difference
    return tree_sum(difference)

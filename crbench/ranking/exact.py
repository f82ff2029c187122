"""Query and gallery rows as the definition's float64, and exact distances of single pairs."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from crbench.ranking.distance import distances, norms
from crbench.records import Features

_CHUNK = 1 << 20
"""Elements per float64 work array."""

_ROUNDOFF = 2.0**-53


class ExactRows:
    """Rows of the definition: f64, divided by their norms where the protocol says so."""

    def __init__(self, feats: Features, *, unit: bool) -> None:
        self.x: torch.Tensor = feats.x
        self.unit = unit

    def exact(self, index: torch.Tensor, prefix: int) -> torch.Tensor:
        """f64[m, cut], the first `prefix` columns of some rows, where the rows lie."""
        rows = self.x[:, :prefix][index.to(self.x.device)].double()
        return rows / norms(rows)[:, None] if self.unit else rows


def exact_distances(
    query: ExactRows, gallery: ExactRows, rows: torch.Tensor, items: torch.Tensor, *, prefix: int, dot: bool
) -> torch.Tensor:
    """f64[m], the definition for each pair of a query row and a gallery row, i64[m] each."""
    found = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    for part in chunks(len(rows), prefix):
        found[part] = distances(query.exact(rows[part], prefix), gallery.exact(items[part], prefix), dot=dot)
    return found


def squared_distances(a: torch.Tensor, b: torch.Tensor, *, dot: bool) -> tuple[torch.Tensor, float]:
    """Distances f64[m, n] of rows f64[m, D] and f64[n, D] by a matrix product, and a bound of their error.

    Args:
        dot: minus the inner product instead, see `crbench.ranking.distance.distances`.
    """
    squares = (a * a).sum(dim=1), (b * b).sum(dim=1)
    size = float((squares[0].max().sqrt() + squares[1].max().sqrt()) ** 2)
    # a sum of n products errs by less than n roundings of the product of the norms (Higham, section 3.1), in the
    # product and in the definition; the squares err likewise
    error_bound = 4 * (a.shape[1] + 8) * _ROUNDOFF * size
    found = a @ b.T
    if dot:
        return found.neg_(), error_bound
    return found.mul_(-2).add_(squares[0][:, None]).add_(squares[1]), error_bound


def chunks(count: int, columns: int) -> Iterator[slice]:
    """Row ranges small enough for float64 work arrays."""
    size = max(1, _CHUNK // columns)
    return (slice(start, start + size) for start in range(0, count, size))

"""Query and gallery rows as the definition's float64, and exact distances of single pairs."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from crbench.evaluation.distance import distances, norms
from crbench.records import Features

_CHUNK = 1 << 20
"""Elements per float64 work array."""


class Side:
    """Rows of the definition: f64, divided by their norms where the protocol says so."""

    def __init__(self, feats: Features, *, unit: bool) -> None:
        self.x: torch.Tensor = feats.x
        self.unit = unit

    def exact(self, index: torch.Tensor, cut: int) -> torch.Tensor:
        """f64[m, cut], the first `cut` columns of some rows."""
        rows = self.x[:, :cut][index].double()
        return rows / norms(rows)[:, None] if self.unit else rows


def exact_distances(
    query: Side, gallery: Side, rows: torch.Tensor, items: torch.Tensor, *, cut: int, dot: bool
) -> torch.Tensor:
    """f64[m], the definition for each pair of a query row and a gallery row, i64[m] each."""
    found = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    for part in parts(len(rows), cut):
        found[part] = distances(query.exact(rows[part], cut), gallery.exact(items[part], cut), dot=dot)
    return found


def parts(count: int, columns: int) -> Iterator[slice]:
    """Row ranges small enough for float64 work arrays."""
    size = max(1, _CHUNK // columns)
    return (slice(start, start + size) for start in range(0, count, size))

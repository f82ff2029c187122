"""A block of queries that a tile is counted for: compared by its features, or by distances that are there already."""

from __future__ import annotations

from typing import Protocol

import attrs
import torch

from crbench.ranking.backends.interface import ApproximateDistances, Products
from crbench.ranking.filter import Comparison, error_bound
from crbench.ranking.gemm.products import ROUNDOFF, Operand, product


@attrs.frozen(eq=False)
class Items:
    """Gallery items of one tile: a slice or rows i64[g], of which `dims` columns count."""

    index: slice | torch.Tensor
    dims: int


@attrs.frozen(eq=False)
class TileScores:
    """How the scores of a tile are made, and by how much they may be wrong.

    Attributes:
        products, rows, factors, terms: see `crbench.ranking.backends.interface.Tile`.
        prefix: how many leading columns are compared.
        error: f64[b], the error bound of a score, per query.
    """

    products: Products
    rows: torch.Tensor
    factors: torch.Tensor
    terms: torch.Tensor
    prefix: int
    error: torch.Tensor

    @property
    def pairs(self) -> int:
        """Queries times items."""
        return len(self.rows) * len(self.factors)


@attrs.frozen(eq=False)
class PositiveScores:
    """Scores of positives f32[p], and f64[], by how much rounding them and their bounds to float32 may change these."""

    scores: torch.Tensor
    slack: torch.Tensor


class QueryBlock(Protocol):
    """What the engine asks of a block.

    `owners` i64[m] are places in the block, `items` i64[m] gallery rows, `positives` i64[m] rows of the positives.
    """

    def approximate_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> ApproximateDistances:
        """Distances f64[m] of positives with their errors."""

    def exact_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
        """f64[m], distances of positives by the definition."""

    def approximate(self, owners: torch.Tensor, items: torch.Tensor, prefix: int) -> ApproximateDistances:
        """Distances f64[m] of pairs with their errors."""

    def exact(self, owners: torch.Tensor, items: torch.Tensor, prefix: int) -> torch.Tensor:
        """f64[m], distances of pairs by the definition."""

    def prefetch(self, items: Items) -> None:
        """Get some gallery items ready, see `crbench.ranking.streaming.RowStream.prefetch`."""

    def score(self, items: Items, precision: str) -> TileScores:
        """The tile of this block and some gallery items."""

    def positive_scores(self, prefix: int, owners: torch.Tensor, distances: torch.Tensor) -> PositiveScores:
        """Scores of positives at these distances f64[p] from their queries."""

    def bounds(
        self, tile: TileScores, owners: torch.Tensor, positives: PositiveScores
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """f32[p] each: a score below the first is certainly behind a positive, one above the second certainly ahead."""


@attrs.frozen(eq=False)
class FeatureBlock:
    """A block of query rows that is compared by its features; see `QueryBlock`.

    Attributes:
        index: a slice or rows i64[b].
        rows: i64[b], the same.
        dims: how many of their columns count.
    """

    comparison: Comparison
    index: slice | torch.Tensor
    rows: torch.Tensor
    dims: int
    _operands: dict[tuple[int, str], Operand] = attrs.field(factory=dict, init=False)

    def approximate_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> ApproximateDistances:
        rows = self.rows[owners]
        distances, errors = (torch.empty(len(rows), dtype=torch.float64, device=rows.device) for _ in range(2))
        for prefix, same in self._by_prefix(positives):
            found = self.comparison.positives.approximate(rows[same], positives[same], prefix)
            distances[same], errors[same] = found.distances, found.errors
        return ApproximateDistances(distances, errors)

    def exact_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
        rows = self.rows[owners]
        found = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
        for prefix, same in self._by_prefix(positives):
            found[same] = self.comparison.positives.exact(rows[same], positives[same], prefix)
        return found

    def approximate(self, owners: torch.Tensor, items: torch.Tensor, prefix: int) -> ApproximateDistances:
        return self.comparison.approximate(self.rows[owners], items, prefix)

    def exact(self, owners: torch.Tensor, items: torch.Tensor, prefix: int) -> torch.Tensor:
        return self.comparison.exact(self.rows[owners], items, prefix)

    def prefetch(self, items: Items) -> None:
        self.comparison.gallery.stream.prefetch(items.index, min(self.dims, items.dims))

    def score(self, items: Items, precision: str) -> TileScores:
        comparison, prefix = self.comparison, min(self.dims, items.dims)
        centroid = comparison.centroids.of(prefix)
        if (prefix, precision) not in self._operands:
            self._operands[prefix, precision] = comparison.query.operand(self.index, prefix, precision, centroid)
        a = self._operands[prefix, precision]
        b = comparison.gallery.operand(items.index, prefix, precision, centroid)
        return TileScores(
            products=lambda rows, scratch: product(a, rows, b, precision, scratch),
            rows=a.scale.float(),
            factors=b.scale.float(),
            terms=(comparison.gallery.squares(items.index, prefix, centroid) / -2).float(),
            prefix=prefix,
            error=error_bound(a, b, precision),
        )

    def positive_scores(self, prefix: int, owners: torch.Tensor, distances: torch.Tensor) -> PositiveScores:
        squares = self.comparison.query.squares(self.rows[owners], prefix, self.comparison.centroids.of(prefix))
        exact = (squares - self.comparison.squared(distances)) / 2
        # A score and its bound are each rounded to float32, by half a unit at most: together one unit. Another unit is
        # for the rounded sum of the error bound.
        return PositiveScores(exact.float(), slack=exact.abs().max() * 4 * ROUNDOFF)

    def bounds(
        self, tile: TileScores, owners: torch.Tensor, positives: PositiveScores
    ) -> tuple[torch.Tensor, torch.Tensor]:
        error = ((tile.error + positives.slack) * (1 + 16 * ROUNDOFF)).float()[owners]
        return positives.scores - error, positives.scores + error

    def _by_prefix(self, positives: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
        prefixes = self.comparison.positives.gallery.dims[positives].clamp(max=self.dims)
        return [(prefix, (prefixes == prefix).nonzero()[:, 0]) for prefix in torch.unique(prefixes).tolist()]


@attrs.frozen(eq=False)
class DistanceBlock:
    """A block of query rows with given distances f32[b, g], which are compared as they are; see `QueryBlock`.

    The score of an item is minus its distance, without error, so only equal distances are uncertain.
    """

    distances: torch.Tensor

    def approximate_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> ApproximateDistances:
        return self.approximate(owners, positives, 0)

    def exact_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
        return self.exact(owners, positives, 0)

    def approximate(self, owners: torch.Tensor, items: torch.Tensor, prefix: int) -> ApproximateDistances:
        found = self.exact(owners, items, prefix)
        return ApproximateDistances(found, torch.zeros_like(found))

    def exact(self, owners: torch.Tensor, items: torch.Tensor, prefix: int) -> torch.Tensor:
        return self.distances[owners, items].double()

    def prefetch(self, items: Items) -> None:
        return None

    def score(self, items: Items, precision: str) -> TileScores:
        products = self.distances[:, items.index].contiguous()
        rows, factors = (
            products.new_full((count,), value) for count, value in zip(products.shape, (-1, 1), strict=True)
        )
        return TileScores(
            products=lambda some, _scratch: products[some],
            rows=rows,
            factors=factors,
            terms=torch.zeros_like(factors),
            prefix=0,
            error=torch.zeros_like(rows),
        )

    def positive_scores(self, prefix: int, owners: torch.Tensor, distances: torch.Tensor) -> PositiveScores:
        return PositiveScores(-distances.float(), slack=torch.zeros((), device=distances.device))

    def bounds(
        self, tile: TileScores, owners: torch.Tensor, positives: PositiveScores
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return positives.scores, positives.scores

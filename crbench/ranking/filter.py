"""A block of queries: distances of its positives, tiles of scores, and bounds that hold.

Distances are known at three levels, and only what one level leaves in doubt goes on to the next:

1. Tiles: a fast product (`crbench.ranking.gemm.products`) of points (`crbench.ranking.operands`), which are
   rows divided by their norms, or by a power of two that brings all norms below 1, and perhaps moved by
   one vector. The score of an item is ``z = a.b - |b|**2 / 2``; the squared distance of the points is ``|a|**2 - 2 z``.
2. Pairs: inner products in float64 in any order, each wrong by at most ``n 2**-53 |a| |b|``. Where rows are normalised,
   minus the cosine (or 2 minus twice the cosine) differs from the definition by less than ``4 (n + 32) 2**-53``.
   Otherwise ``|a|**2 + |b|**2 - 2 a.b`` does by less than ``(n + 32) 2**-53 (|a| + |b|)**2``. The definition's own
   roundings, at most 20 levels of a tree sum, are within the 32.
3. The definition, `crbench.ranking.distance`.

A score differs from that of the true distance by at most the band: with M the largest length of a tile's items and g as
in `products`, that is ``g |a| M`` for the product, where lengths are those of the parts that are multiplied,
``g(6) M**2`` for ``|b|**2 / 2``, which is rounded once, and the sum, the rests' share, and 2**-40 plus four times the
error of level 2 for all that happens in float64. So an item whose score is above ``T + band`` is surely nearer than a
positive of score T, and one below ``T - band`` surely farther; the band is widened for bounds in float32.
"""

from __future__ import annotations

import attrs
import torch

from crbench.ranking.backends.interface import ApproximateDistances, CountingBackend, Products
from crbench.ranking.exact import ExactRows, exact_distances
from crbench.ranking.gemm.products import ROUNDINGS, ROUNDOFF, Operand, accumulated, product, rounded
from crbench.ranking.operands import NormalisedRows
from crbench.ranking.streaming import dots

_SLACK = 2.0**-40


@attrs.frozen(eq=False)
class Items:
    """Gallery items of one tile: a slice or rows i64[g], of which `dims` columns count."""

    index: slice | torch.Tensor
    dims: int


@attrs.frozen(eq=False)
class Scored:
    """Products of a tile with what makes scores of them (see `crbench.ranking.backends.interface.Tile`), and how wrong.

    Attributes:
        prefix: columns compared.
        error_bound: f64[b].
    """

    products: Products
    rows: torch.Tensor
    factors: torch.Tensor
    terms: torch.Tensor
    prefix: int
    error_bound: torch.Tensor

    @property
    def pairs(self) -> int:
        """Rows times items."""
        return len(self.rows) * len(self.factors)


@attrs.frozen(eq=False)
class Targets:
    """Scores of positives, f32[p], and f64[], by how much a bound made of them may be wrong."""

    scores: torch.Tensor
    slack: torch.Tensor


@attrs.frozen(eq=False)
class Geometry:
    """Both sides of an evaluation, and how they are compared.

    Attributes:
        query, gallery: rows of the definition.
        query_points, gallery_operands: the same rows, as they are multiplied.
        dot: see `crbench.ranking.distance.distances`.
        backend: gives inner products of pairs where the rows lie.
    """

    query: ExactRows
    gallery: ExactRows
    query_operands: NormalisedRows
    gallery_operands: NormalisedRows
    dot: bool
    backend: CountingBackend
    _centroids: dict[int, torch.Tensor | None] = attrs.field(factory=dict, init=False)

    def centroid(self, prefix: int) -> torch.Tensor | None:
        """f32[cut], by what the points of both sides are moved."""
        if prefix not in self._centroids:
            in_safe_range = self.query_operands.in_safe_range(prefix) and self.gallery_operands.in_safe_range(prefix)
            self._centroids[prefix] = self.gallery_operands.centroid(prefix) if in_safe_range else None
        return self._centroids[prefix]

    def squared(self, distances: torch.Tensor) -> torch.Tensor:
        """Squared distances of points, from distances by the definition."""
        if self.gallery_operands.scale is not None:
            return distances / self.gallery_operands.scale**2
        return 2 + 2 * distances if self.dot else distances

    def approximate(self, rows: torch.Tensor, items: torch.Tensor, prefix: int) -> ApproximateDistances:
        """Distances of pairs of a query row and a gallery row, i64[m] each, at level 2."""
        a, b = self.query_operands.norms(prefix)[rows], self.gallery_operands.norms(prefix)[items]
        products = dots(self.backend, self.query.x, self.gallery.x, rows, items, prefix)
        roundings = (prefix + 32) * 2.0**-53
        if self.query.unit:
            cosines = products / (a * b)
            return ApproximateDistances(
                -cosines if self.dot else 2 - 2 * cosines, torch.full_like(cosines, 4 * roundings)
            )
        return ApproximateDistances(a * a + b * b - 2 * products, roundings * (a + b) ** 2)

    def exact(self, rows: torch.Tensor, items: torch.Tensor, prefix: int) -> torch.Tensor:
        """f64[m], distances by the definition."""
        return exact_distances(self.query, self.gallery, rows, items, prefix=prefix, dot=self.dot)


@attrs.frozen(eq=False)
class FeatureRows:
    """A block of query rows, compared by their features.

    Attributes:
        index: a slice or rows i64[b].
        rows: i64[b], the same.
        dims: how many of their columns count.
    """

    geometry: Geometry
    index: slice | torch.Tensor
    rows: torch.Tensor
    dims: int
    _operands: dict[tuple[int, str], Operand] = attrs.field(factory=dict, init=False)

    def approximate_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> ApproximateDistances:
        """Distances of positives; owners i64[p] are places in the block."""
        rows = self.rows[owners]
        found = ApproximateDistances(
            *(torch.empty(len(rows), dtype=torch.float64, device=rows.device) for _ in range(2))
        )
        for prefix, same in self._by_prefix(positives):
            approximate = self.geometry.approximate(rows[same], positives[same], prefix)
            found.distances[same], found.errors[same] = approximate.distances, approximate.errors
        return found

    def exact_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
        """f64[p], distances of positives by the definition."""
        rows = self.rows[owners]
        found = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
        for prefix, same in self._by_prefix(positives):
            found[same] = self.geometry.exact(rows[same], positives[same], prefix)
        return found

    def approximate(self, owners: torch.Tensor, items: torch.Tensor, prefix: int) -> ApproximateDistances:
        """Distances of pairs of the block and the gallery at level 2."""
        return self.geometry.approximate(self.rows[owners], items, prefix)

    def exact(self, owners: torch.Tensor, items: torch.Tensor, prefix: int) -> torch.Tensor:
        """f64[m], distances of pairs of the block and the gallery by the definition."""
        return self.geometry.exact(self.rows[owners], items, prefix)

    def prefetch(self, items: Items) -> None:
        """Get some gallery items ready, see `RowStream.prefetch`."""
        self.geometry.gallery_operands.stream.prefetch(items.index, min(self.dims, items.dims))

    def score(self, items: Items, precision: str) -> Scored:
        """The tile against some gallery items."""
        geometry, prefix = self.geometry, min(self.dims, items.dims)
        centroid = geometry.centroid(prefix)
        if (prefix, precision) not in self._operands:
            self._operands[prefix, precision] = geometry.query_operands.operand(self.index, prefix, precision, centroid)
        a = self._operands[prefix, precision]
        b = geometry.gallery_operands.operand(items.index, prefix, precision, centroid)
        return Scored(
            products=lambda rows, scratch: product(a, rows, b, precision, scratch),
            rows=a.scale.float(),
            factors=b.scale.float(),
            terms=(geometry.gallery_operands.squares(items.index, prefix, centroid) / -2).float(),
            prefix=prefix,
            error_bound=_error_bound(a, b, precision),
        )

    def targets(self, prefix: int, owners: torch.Tensor, distances: torch.Tensor) -> Targets:
        """Scores of positives at these distances from their queries."""
        squares = self.geometry.query_operands.squares(self.rows[owners], prefix, self.geometry.centroid(prefix))
        exact = (squares - self.geometry.squared(distances)) / 2
        # float32 twice rounds by half a unit, of scores and of bounds; as much again for the band, whose sum is rounded
        return Targets(exact.float(), slack=exact.abs().max() * 4 * ROUNDOFF)

    def bounds(self, scored: Scored, owners: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
        """f32[p] each: scores below and above which an item is surely behind and ahead of a positive."""
        error_bound = ((scored.error_bound + targets.slack) * (1 + 16 * ROUNDOFF)).float()[owners]
        return targets.scores - error_bound, targets.scores + error_bound

    def _by_prefix(self, positives: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
        prefixes = self.geometry.gallery_operands.dims[positives].clamp(max=self.dims)
        return [(prefix, (prefixes == prefix).nonzero()[:, 0]) for prefix in torch.unique(prefixes).tolist()]


@attrs.frozen(eq=False)
class DistanceRows:
    """A block of query rows with their distances f32[b, n] by a metric, which are compared as they are."""

    distances: torch.Tensor

    def approximate_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> ApproximateDistances:
        """Distances of positives."""
        return self.approximate(owners, positives, 0)

    def exact_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
        """f64[p], distances of positives."""
        return self.exact(owners, positives, 0)

    def approximate(self, owners: torch.Tensor, items: torch.Tensor, prefix: int) -> ApproximateDistances:
        """Distances of pairs, without error."""
        found = self.exact(owners, items, prefix)
        return ApproximateDistances(found, torch.zeros_like(found))

    def exact(self, owners: torch.Tensor, items: torch.Tensor, prefix: int) -> torch.Tensor:
        """f64[m], distances of pairs."""
        return self.distances[owners, items].double()

    def prefetch(self, items: Items) -> None:
        """Nothing is to be got ready."""

    def score(self, items: Items, precision: str) -> Scored:
        """The tile against some gallery items; only equal distances are in doubt."""
        products = self.distances[:, items.index].contiguous()
        rows, factors = (
            products.new_full((count,), value) for count, value in zip(products.shape, (-1, 1), strict=True)
        )
        return Scored(
            products=lambda some, _room: products[some],
            rows=rows,
            factors=factors,
            terms=torch.zeros_like(factors),
            prefix=0,
            error_bound=torch.zeros_like(rows),
        )

    def targets(self, prefix: int, owners: torch.Tensor, distances: torch.Tensor) -> Targets:
        """Scores of positives at these distances."""
        return Targets(-distances.float(), slack=torch.zeros((), device=distances.device))

    def bounds(self, scored: Scored, owners: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
        """f32[p] each, the scores themselves."""
        return targets.scores, targets.scores


def _error_bound(a: Operand, b: Operand, precision: str) -> torch.Tensor:
    """f64[b], by how much a score may differ from that of the true distance."""
    prefix = a.parts[0].shape[1]
    longest, longest_rest, longest_low = (part.max() for part in (b.norms, b.rest, b.low))
    multiplied = (a.norms + a.rest + a.low) * (b.norms + b.rest + b.low).max()
    return (
        accumulated(prefix, precision) * multiplied
        + rounded(ROUNDINGS) * longest**2
        + a.rest * (longest + longest_rest)
        + a.norms * longest_rest
        + a.low * longest_low
        + _SLACK
        + 16 * (prefix + 32) * 2.0**-53
    )

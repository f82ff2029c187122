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

from crbench.ranking.backends.interface import Counter, Near, Products
from crbench.ranking.exact import Side, exact_distances
from crbench.ranking.gemm.products import ROUNDINGS, ROUNDOFF, Operand, accumulated, product, rounded
from crbench.ranking.operands import Points
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
        cut: columns compared.
        band: f64[b].
    """

    products: Products
    rows: torch.Tensor
    factors: torch.Tensor
    terms: torch.Tensor
    cut: int
    band: torch.Tensor

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
        query_points, gallery_points: the same rows, as they are multiplied.
        dot: see `crbench.ranking.distance.distances`.
        counter: gives inner products of pairs where the rows lie.
    """

    query: Side
    gallery: Side
    query_points: Points
    gallery_points: Points
    dot: bool
    counter: Counter
    _middles: dict[int, torch.Tensor | None] = attrs.field(factory=dict, init=False)

    def middle(self, cut: int) -> torch.Tensor | None:
        """f32[cut], by what the points of both sides are moved."""
        if cut not in self._middles:
            tame = self.query_points.tame(cut) and self.gallery_points.tame(cut)
            self._middles[cut] = self.gallery_points.middle(cut) if tame else None
        return self._middles[cut]

    def squared(self, distances: torch.Tensor) -> torch.Tensor:
        """Squared distances of points, from distances by the definition."""
        if self.gallery_points.scale is not None:
            return distances / self.gallery_points.scale**2
        return 2 + 2 * distances if self.dot else distances

    def near(self, rows: torch.Tensor, items: torch.Tensor, cut: int) -> Near:
        """Distances of pairs of a query row and a gallery row, i64[m] each, at level 2."""
        a, b = self.query_points.norms(cut)[rows], self.gallery_points.norms(cut)[items]
        products = dots(self.counter, self.query.x, self.gallery.x, rows, items, cut)
        roundings = (cut + 32) * 2.0**-53
        if self.query.unit:
            cosines = products / (a * b)
            return Near(-cosines if self.dot else 2 - 2 * cosines, torch.full_like(cosines, 4 * roundings))
        return Near(a * a + b * b - 2 * products, roundings * (a + b) ** 2)

    def exact(self, rows: torch.Tensor, items: torch.Tensor, cut: int) -> torch.Tensor:
        """f64[m], distances by the definition."""
        return exact_distances(self.query, self.gallery, rows, items, cut=cut, dot=self.dot)


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

    def near_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> Near:
        """Distances of positives; owners i64[p] are places in the block."""
        rows = self.rows[owners]
        found = Near(*(torch.empty(len(rows), dtype=torch.float64, device=rows.device) for _ in range(2)))
        for cut, same in self._by_cut(positives):
            near = self.geometry.near(rows[same], positives[same], cut)
            found.distances[same], found.errors[same] = near.distances, near.errors
        return found

    def exact_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
        """f64[p], distances of positives by the definition."""
        rows = self.rows[owners]
        found = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
        for cut, same in self._by_cut(positives):
            found[same] = self.geometry.exact(rows[same], positives[same], cut)
        return found

    def near(self, owners: torch.Tensor, items: torch.Tensor, cut: int) -> Near:
        """Distances of pairs of the block and the gallery at level 2."""
        return self.geometry.near(self.rows[owners], items, cut)

    def exact(self, owners: torch.Tensor, items: torch.Tensor, cut: int) -> torch.Tensor:
        """f64[m], distances of pairs of the block and the gallery by the definition."""
        return self.geometry.exact(self.rows[owners], items, cut)

    def expect(self, items: Items) -> None:
        """Get some gallery items ready, see `Shelf.expect`."""
        self.geometry.gallery_points.shelf.expect(items.index, min(self.dims, items.dims))

    def score(self, items: Items, precision: str) -> Scored:
        """The tile against some gallery items."""
        geometry, cut = self.geometry, min(self.dims, items.dims)
        middle = geometry.middle(cut)
        if (cut, precision) not in self._operands:
            self._operands[cut, precision] = geometry.query_points.operand(self.index, cut, precision, middle)
        a = self._operands[cut, precision]
        b = geometry.gallery_points.operand(items.index, cut, precision, middle)
        return Scored(
            products=lambda rows, room: product(a, rows, b, precision, room),
            rows=a.scale.float(),
            factors=b.scale.float(),
            terms=(geometry.gallery_points.squares(items.index, cut, middle) / -2).float(),
            cut=cut,
            band=_band(a, b, precision),
        )

    def targets(self, cut: int, owners: torch.Tensor, distances: torch.Tensor) -> Targets:
        """Scores of positives at these distances from their queries."""
        squares = self.geometry.query_points.squares(self.rows[owners], cut, self.geometry.middle(cut))
        exact = (squares - self.geometry.squared(distances)) / 2
        # float32 twice rounds by half a unit, of scores and of bounds; as much again for the band, whose sum is rounded
        return Targets(exact.float(), slack=exact.abs().max() * 4 * ROUNDOFF)

    def bounds(self, scored: Scored, owners: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
        """f32[p] each: scores below and above which an item is surely behind and ahead of a positive."""
        band = ((scored.band + targets.slack) * (1 + 16 * ROUNDOFF)).float()[owners]
        return targets.scores - band, targets.scores + band

    def _by_cut(self, positives: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
        cuts = self.geometry.gallery_points.dims[positives].clamp(max=self.dims)
        return [(cut, (cuts == cut).nonzero()[:, 0]) for cut in torch.unique(cuts).tolist()]


@attrs.frozen(eq=False)
class MetricRows:
    """A block of query rows with their distances f32[b, n] by a metric, which are compared as they are."""

    distances: torch.Tensor

    def near_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> Near:
        """Distances of positives."""
        return self.near(owners, positives, 0)

    def exact_positives(self, owners: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
        """f64[p], distances of positives."""
        return self.exact(owners, positives, 0)

    def near(self, owners: torch.Tensor, items: torch.Tensor, cut: int) -> Near:
        """Distances of pairs, without error."""
        found = self.exact(owners, items, cut)
        return Near(found, torch.zeros_like(found))

    def exact(self, owners: torch.Tensor, items: torch.Tensor, cut: int) -> torch.Tensor:
        """f64[m], distances of pairs."""
        return self.distances[owners, items].double()

    def expect(self, items: Items) -> None:
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
            cut=0,
            band=torch.zeros_like(rows),
        )

    def targets(self, cut: int, owners: torch.Tensor, distances: torch.Tensor) -> Targets:
        """Scores of positives at these distances."""
        return Targets(-distances.float(), slack=torch.zeros((), device=distances.device))

    def bounds(self, scored: Scored, owners: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
        """f32[p] each, the scores themselves."""
        return targets.scores, targets.scores


def _band(a: Operand, b: Operand, precision: str) -> torch.Tensor:
    """f64[b], by how much a score may differ from that of the true distance."""
    cut = a.parts[0].shape[1]
    longest, longest_rest, longest_low = (part.max() for part in (b.norms, b.rest, b.low))
    multiplied = (a.norms + a.rest + a.low) * (b.norms + b.rest + b.low).max()
    return (
        accumulated(cut, precision) * multiplied
        + rounded(ROUNDINGS) * longest**2
        + a.rest * (longest + longest_rest)
        + a.norms * longest_rest
        + a.low * longest_low
        + _SLACK
        + 16 * (cut + 32) * 2.0**-53
    )

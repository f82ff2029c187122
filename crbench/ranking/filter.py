"""Approximate, bound, decide exactly: how a fast product gives exact comparisons. Derived here once, used everywhere.

A distance is known at three levels. A comparison that one level leaves uncertain goes on to the next.

1. **Tiles.** A fast product (`crbench.ranking.gemm`) of operands a and b (`crbench.ranking.operands`) gives the score
   ``z = a.b - |b|**2 / 2`` of a pair. The squared distance of the operands is ``|a|**2 - 2 z``.
2. **Pairs.** Inner products in float64, summed in any order, are wrong by at most ``(n + 1) 2**-53 |a| |b|`` for n
   columns; the 1 is for products of float64 features, as those of float32 are exact.
   Where rows are normalised, minus the cosine (and 2 minus twice the cosine) differs from the definition by less than
   ``4 (n + 32) 2**-53``. Otherwise ``|a|**2 + |b|**2 - 2 a.b`` does by less than ``(n + 32) 2**-53 (|a| + |b|)**2``.
   The definition's own roundings, at most 20 levels of a tree sum, are within the 32.
3. **The definition**, `crbench.ranking.distance`: float64 in a fixed order.

The error bound of a score (`error_bound`) is the sum of these. M is the largest length of a tile's items, and g(k) the
share by which k float32 roundings may change a value (`crbench.ranking.gemm.products.rounded`).

- ``g |a| M`` for the product, where lengths are those of the parts that are multiplied;
- ``g(6) M**2`` for ``|b|**2 / 2``, which is rounded once, and for adding it;
- what rounding float64 features to float32 changes (`crbench.ranking.operands`);
- what the product leaves out (`crbench.ranking.gemm.products.Operand.rest` and ``lo . lo``);
- ``2**-40`` and four times the error of level 2 for all that happens in float64.

An item whose score is above ``T + bound`` is certainly nearer than a positive of score T, one below ``T - bound``
certainly farther. The ranking engine compares scores in this way. Where distances themselves are wanted
(re-ranking, verification), `Comparison.tile` turns scores into distances with bounds, and `place_among` runs values
through the levels until each is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs
import torch

from crbench.ranking.backends.interface import ApproximateDistances, CountingBackend
from crbench.ranking.distance import distances
from crbench.ranking.gemm.products import (
    ROUNDINGS,
    Operand,
    accumulated,
    floats,
    matmul_precision,
    product,
    rounded,
)
from crbench.ranking.interface import RankInputs
from crbench.ranking.operands import NormalisedRows
from crbench.ranking.streaming import dots
from crbench.ranking.threads import ScratchBuffer, Workers

_SLACK = 2.0**-40

_CHUNK = 1 << 20
"""Elements per float64 work array."""

_DISTANCE_ROUNDINGS = 12
"""Float32 roundings, at the size of the largest term, that make a distance of a product; four are made."""


def error_bound(a: Operand, b: Operand, precision: str) -> torch.Tensor:
    """f64[b], by how much the score of any item of `b` may differ from that of the true distance, per row of `a`."""
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


@attrs.frozen(eq=False)
class Centroids:
    """What is subtracted from the operands of two sides: the gallery's centroid, where that is safe and worth it."""

    query: NormalisedRows
    gallery: NormalisedRows
    _known: dict[int, torch.Tensor | None] = attrs.field(factory=dict, init=False)

    def of(self, prefix: int) -> torch.Tensor | None:
        """f32[prefix], or None = nothing."""
        if prefix not in self._known:
            safe = self.query.in_safe_range(prefix) and self.gallery.in_safe_range(prefix)
            self._known[prefix] = self.gallery.centroid(prefix) if safe else None
        return self._known[prefix]


@attrs.frozen(eq=False)
class Comparison:
    """Two sides and how their rows are compared, at each of the three levels.

    Attributes:
        query, gallery: the rows.
        centroids: of both sides; rows that are compared with several sides have the same one for all.
        dot: see `crbench.ranking.distance.distances`.
        backend: gives inner products of pairs where the rows lie.
        apart: of the queries with positives that are no gallery rows; None = they are.
    """

    query: NormalisedRows
    gallery: NormalisedRows
    centroids: Centroids
    dot: bool
    backend: CountingBackend
    apart: Comparison | None = None

    @classmethod
    def of(
        cls, inputs: RankInputs, backend: CountingBackend | None = None, workers: Workers | None = None
    ) -> Comparison:
        """The comparison of an evaluation.

        Args:
            backend: for rows that lie on ``inputs.device``; None = by that device.
            workers: share out what is computed on the CPU; None = by that device.
        """
        home = inputs.query.x.device
        if backend is None or home != inputs.device:
            backend = _backend_where_rows_lie(home, inputs.query.x.shape[1])
        query, gallery, positives = NormalisedRows.sides(inputs, backend, workers or Workers.on(inputs.device))
        centroids = Centroids(query, gallery)
        apart = None if positives is gallery else cls(query, positives, centroids, dot=inputs.dot, backend=backend)
        return cls(query, gallery, centroids, dot=inputs.dot, backend=backend, apart=apart)

    @property
    def positives(self) -> Comparison:
        """The comparison of the queries with their positives."""
        return self if self.apart is None else self.apart

    def squared(self, distances: torch.Tensor) -> torch.Tensor:
        """Squared distances of the operands f64[m], from distances by the definition."""
        factor, offset = self._from_squared()
        return (distances - offset) / factor

    def of_squared(self, found: ApproximateDistances) -> ApproximateDistances:
        """Distances by the definition f64[m], from squared distances of the operands; the inverse of `squared`."""
        factor, offset = self._from_squared()
        return ApproximateDistances(factor * found.distances.double() + offset, factor * found.errors)

    def tile(
        self, rows: slice | torch.Tensor, items: slice | torch.Tensor, prefix: int, precision: str
    ) -> ApproximateDistances:
        """Level 1: squared distances f32[r, g] of the operands, with one error per row f64[r, 1].

        They stay in this unit because float32 might not hold the distances of large rows; see `of_squared`.

        Args:
            precision: of the product; see `crbench.ranking.gemm.precision.for_tiles`.
        """
        centroid = self.centroids.of(prefix)
        a = self.query.operand(rows, prefix, precision, centroid)
        b = self.gallery.operand(items, prefix, precision, centroid)
        with matmul_precision("ieee"):
            found = floats(product(a, slice(None), b, precision, ScratchBuffer()))
        found.mul_((-2 * a.scale).float()[:, None]).mul_(b.scale.float())
        found.add_(self.query.squares(rows, prefix, centroid).float()[:, None])
        found.add_(self.gallery.squares(items, prefix, centroid).float())
        largest = (a.norms + a.rest + b.norms.max() + b.rest.max()) ** 2
        errors = 2 * error_bound(a, b, precision) + rounded(_DISTANCE_ROUNDINGS) * largest
        return ApproximateDistances(found, errors[:, None])

    def approximate(self, rows: torch.Tensor, items: torch.Tensor, prefix: int) -> ApproximateDistances:
        """Level 2: distances f64[m] of pairs of a query row and a gallery row, i64[m] each, with their errors."""
        a, b = self.query.norms(prefix)[rows], self.gallery.norms(prefix)[items]
        products = dots(self.backend, self.query.stream.x, self.gallery.stream.x, rows, items, prefix)
        return self._from_products(products, a, b, prefix)

    def approximate_tile(self, rows: torch.Tensor, items: torch.Tensor, prefix: int) -> ApproximateDistances:
        """Level 2 for query rows i64[r] and gallery rows i64[g]: distances f64[r, g], with one error per row f64[r, 1].

        Faster than `approximate` where most pairs of a tile are uncertain.
        """
        a, b = self.query.norms(prefix)[rows], self.gallery.norms(prefix)[items]
        x, y = (
            side.stream.x[at.to(side.stream.x.device), :prefix]
            for side, at in ((self.query, rows), (self.gallery, items))
        )
        products = x.to(rows.device).double() @ y.to(rows.device).double().T
        found = self._from_products(products, a[:, None], b, prefix)
        return ApproximateDistances(found.distances, found.errors.max(dim=1, keepdim=True).values)

    def _from_products(
        self, products: torch.Tensor, a: torch.Tensor, b: torch.Tensor, prefix: int
    ) -> ApproximateDistances:
        """Distances f64 and errors from inner products in float64 and norms that fit their shape."""
        roundings = (prefix + 32) * 2.0**-53
        if self.query.unit:
            cosines = products / (a * b)
            errors = torch.full_like(cosines, 4 * roundings)
            return ApproximateDistances(-cosines if self.dot else 2 - 2 * cosines, errors)
        return ApproximateDistances(a * a + b * b - 2 * products, roundings * (a + b) ** 2)

    def exact(self, rows: torch.Tensor, items: torch.Tensor, prefix: int) -> torch.Tensor:
        """Level 3: f64[m], the definition for each pair."""
        found = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
        for chunk in chunks(len(rows), prefix):
            # A row often meets many items in turn.
            mine, place = torch.unique_consecutive(rows[chunk], return_inverse=True)
            queries = self.query.exact(mine, prefix)[place.to(self.query.stream.x.device)]
            found[chunk] = distances(queries, self.gallery.exact(items[chunk], prefix), dot=self.dot)
        return found

    def _from_squared(self) -> tuple[float, float]:
        """Factor and offset that turn squared distances of operands into distances by the definition."""
        if self.gallery.scale is not None:
            return self.gallery.scale**2, 0.0
        return (0.5, -1.0) if self.dot else (1.0, 0.0)


Level = Callable[[torch.Tensor], ApproximateDistances]
"""Gives the values f64[m] of some of the items, i64[m], and by how much each may be wrong; the last level by 0."""


def place_among(limits: torch.Tensor, levels: Sequence[Level], count: int, *, right: bool) -> tuple[torch.Tensor, int]:
    """Place values among sorted limits exactly, although most are known approximately only.

    Args:
        limits: f64[k], rising.
        levels: from the cheapest to the exact one; each is asked for what the one before it left uncertain.
        count: number of values.
        right: as in `torch.searchsorted`: a value equal to a limit comes after it.

    Returns:
        i64[count], how many limits come before each value; and how many values the first level left uncertain.

    Example:
        >>> near = ApproximateDistances(torch.tensor([0.9, 2.5]), torch.tensor([0.2, 0.2]))
        >>> exact = ApproximateDistances(torch.tensor([1.0, 2.5]), torch.zeros(2))
        >>> levels = [lambda index: near.take(index), lambda index: exact.take(index)]
        >>> place_among(torch.tensor([1.0, 2.0]), levels, 2, right=False)
        (tensor([0, 2]), 1)
    """
    slots = torch.empty(count, dtype=torch.int64, device=limits.device)
    left, uncertain = torch.arange(count, device=limits.device), 0
    for number, level in enumerate(levels):
        if len(left) == 0:
            break
        found = level(left)
        lower, upper = (
            torch.searchsorted(limits, values.contiguous(), right=right)
            for values in (found.distances - found.errors, found.distances + found.errors)
        )
        slots[left] = lower
        left = left[lower != upper]
        if number == 0:
            uncertain = len(left)
    return slots, uncertain


def chunks(count: int, columns: int) -> Iterator[slice]:
    """Row ranges small enough for float64 work arrays."""
    size = max(1, _CHUNK // max(1, columns))
    return (slice(start, start + size) for start in range(0, count, size))


def _backend_where_rows_lie(device: torch.device, columns: int) -> CountingBackend:
    if device.type == "cpu":
        from crbench.ranking.backends.numba import NumbaBackend

        return NumbaBackend(Workers.on(device), columns)
    from crbench.ranking.backends.torch import TorchBackend

    return TorchBackend()

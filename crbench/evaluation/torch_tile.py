"""One tile of the torch engine: a float32 product whose doubtful comparisons are decided by the float64 definition.

Why the band holds. Let u = 2**-24, g(k) = k u / (1 - k u), n the number of columns compared, a and b the float64 rows
of the definition (normalised where the protocol says so), and M the largest norm of the tile's gallery rows. Where rows
are not normalised, both sides are first multiplied by one power of two that brings all norms below 1; that is exact.

1. Rounding a and b to float32 changes each element by a factor 1 + d, abs(d) <= u. The product in float32, in whatever
   order the library sums and with or without fused multiply-add, adds at most n more such factors per term (Higham,
   Accuracy and Stability of Numerical Algorithms, section 3.1). With the Cauchy-Schwarz inequality the computed s has
   ``abs(s - a.b) <= g(n + 2) |a| |b| <= g(n + 2) |a| M``.
2. Items are ranked by the score ``z = a.b`` (cosine) or ``z = a.b - |b|**2 / 2`` (Euclidean: the squared distance is
   ``|a|**2 - 2 z``). In the latter, rounding ``|b|**2 / 2`` and the difference to float32 add at most
   ``u (|a| M + M**2)`` and terms of order u**2, so ``abs(z' - z) <= g(n + 4) (|a| M + M**2)`` with room to spare; the
   second summand falls away for the cosine.
3. What remains is absolute, as norms are below 1 or equal to 1 up to rounding: the float64 rounding of the definition
   and of the thresholds below, each under 2**-44 for up to 2**20 columns (a tree sum has 20 levels), and underflow in
   float32, flushed to zero or not, under n 2**-123. 2**-40 covers them.

So let ``band = g(n + 4) (|a| M [+ M**2]) + 2**-40`` and T be the score that belongs to the positive's exact distance.
By the definition an item with ``z' > T + band`` is surely nearer than the positive, and one with ``z' < T - band``
surely farther; both bounds are rounded outwards to float32. Everything between is looked up in float64.

The product must be IEEE float32, so TF32, bfloat16 products and autocast are switched off around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.evaluation.distance import distances, norms
from crbench.records import Features

_CHUNK = 1 << 20
"""Elements per float64 work array."""

_ROUNDOFF = 2.0**-24
_SLACK = 2.0**-40


class Side:
    """Query or gallery rows, as the definition's float64 and as float32 for the product."""

    def __init__(self, feats: Features, *, unit: bool, scale: float = 1.0) -> None:
        self.x: torch.Tensor = feats.x
        self.scale = scale
        self._unit = unit
        self._norms: dict[int, torch.Tensor] = {}

    def norms(self, cut: int) -> torch.Tensor:
        """f64[n], norms of the first `cut` columns."""
        if cut not in self._norms:
            parts = [norms(self.x[part, :cut].double()) for part in _parts(len(self.x), cut)]
            self._norms[cut] = torch.cat(parts)
        return self._norms[cut]

    def exact(self, index: torch.Tensor, cut: int) -> torch.Tensor:
        """f64[m, cut], rows of the definition."""
        rows = self.x[:, :cut][index].double()
        return rows / self.norms(cut)[index, None] if self._unit else rows

    def fast(self, index: torch.Tensor, cut: int) -> torch.Tensor:
        """f32[m, cut], scaled and rounded rows."""
        rows = torch.empty(len(index), cut, dtype=torch.float32, device=self.x.device)
        for part in _parts(len(index), cut):
            rows[part] = self.exact(index[part], cut) * self.scale
        return rows

    def lengths(self, index: torch.Tensor, cut: int) -> torch.Tensor:
        """f64[m], norms of the scaled rows; 1 where rows are normalised."""
        found = self.norms(cut)[index] * self.scale
        return torch.ones_like(found) if self._unit else found


def common_scale(sides: Iterable[tuple[Features, NDArray[np.int64]]]) -> float:
    """The power of two that brings all norms below 1; each side with its dims, beyond which nothing is looked at."""
    largest = 0.0
    for feats, dims in sides:
        side = Side(feats, unit=False)
        for cut in np.unique(dims).tolist():
            rows = torch.from_numpy(np.flatnonzero(dims == cut))
            largest = max(largest, float(side.norms(cut)[rows.to(side.x.device)].max()))
    return 2.0 ** -math.frexp(largest)[1]


def exact_distances(
    query: Side, gallery: Side, rows: torch.Tensor, items: torch.Tensor, *, cut: int, dot: bool
) -> torch.Tensor:
    """f64[m], the definition for each pair of a query row and a gallery row, i64[m] each."""
    found = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    for part in _parts(len(rows), cut):
        found[part] = distances(query.exact(rows[part], cut), gallery.exact(items[part], cut), dot=dot)
    return found


@attrs.frozen(eq=False)
class Tile:
    """Some queries against some gallery items.

    Attributes:
        scores: f32[b, g], larger is nearer.
        low, high: f32[p], below and above which an item is surely farther and surely nearer than a positive.
        exact: f64[m] distances by the definition, from row and column numbers i64[m] each.
    """

    scores: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    exact: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@attrs.frozen(eq=False)
class FeatureRows:
    """A block of query rows, to be compared by their features.

    Attributes:
        query, gallery: both sides, of one scale.
        rows: i64[b], query rows.
        dims: how many of their columns count.
        gallery_dims: i64[n].
        dot: see `crbench.evaluation.distance.distances`.
    """

    query: Side
    gallery: Side
    rows: torch.Tensor
    dims: int
    gallery_dims: torch.Tensor
    dot: bool = attrs.field(kw_only=True)

    def limits(self, owners: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
        """f64[p], distances of positives by the definition; owners i64[p] are places in `rows`."""
        found = torch.empty(len(positives), dtype=torch.float64, device=positives.device)
        cuts = self.gallery_dims[positives].clamp(max=self.dims)
        for cut in torch.unique(cuts).tolist():
            same = (cuts == cut).nonzero()[:, 0]
            rows, items = self.rows[owners[same]], positives[same]
            found[same] = exact_distances(self.query, self.gallery, rows, items, cut=cut, dot=self.dot)
        return found

    def tile(self, items: torch.Tensor, dims: int, owners: torch.Tensor, limits: torch.Tensor) -> Tile:
        """The tile against gallery `items` i64[g], of which `dims` columns count.

        Args:
            owners: i64[p], places in `rows` to which positives belong.
            limits: f64[p], see `limits`.
        """
        cut = min(self.dims, dims)
        scores = _product(self.query.fast(self.rows, cut), self.gallery.fast(items, cut))
        lengths, item_lengths = self.query.lengths(self.rows, cut), self.gallery.lengths(items, cut)
        longest = item_lengths.max()
        if self.dot:
            targets, size = -limits, lengths * longest
        else:
            scores -= (item_lengths**2 / 2).float()
            targets = (lengths[owners] ** 2 - limits * self.query.scale**2) / 2
            size = lengths * longest + longest**2
        roundings = (cut + 4) * _ROUNDOFF
        band = (roundings / (1 - roundings) * size + _SLACK)[owners]
        return Tile(
            scores=scores,
            low=_outwards(targets - band, -torch.inf),
            high=_outwards(targets + band, torch.inf),
            exact=lambda r, i: exact_distances(self.query, self.gallery, self.rows[r], items[i], cut=cut, dot=self.dot),
        )


@attrs.frozen(eq=False)
class MetricRows:
    """A block of query rows with their distances f32[b, n] by a metric, which are compared as they are."""

    distances: torch.Tensor

    def limits(self, owners: torch.Tensor, positives: torch.Tensor) -> torch.Tensor:
        """f64[p], distances of positives."""
        return self.distances[owners, positives].double()

    def tile(self, items: torch.Tensor, dims: int, owners: torch.Tensor, limits: torch.Tensor) -> Tile:
        """The tile against gallery `items` i64[g]; only equal distances are in doubt."""
        distances = self.distances[:, items]
        targets = -limits.float()
        return Tile(
            scores=-distances,
            low=targets,
            high=targets,
            exact=lambda r, i: distances[r, i].double(),
        )


def _parts(count: int, columns: int) -> Iterator[slice]:
    """Row ranges small enough for float64 work arrays."""
    size = max(1, _CHUNK // columns)
    return (slice(start, start + size) for start in range(0, count, size))


def _outwards(bounds: torch.Tensor, towards: float) -> torch.Tensor:
    rounded = bounds.float()
    return rounded.nextafter(torch.full_like(rounded, towards))


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    with ieee_float32(), torch.autocast(a.device.type, enabled=False):
        return a @ b.T


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Matrix products of float32 without TF32 or bfloat16 inside, whatever the process has chosen."""
    if not hasattr(torch.backends.mkldnn, "matmul"):  # torch < 2.9
        chosen = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(chosen)
        return
    backends = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    precisions = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, precisions, strict=True):
            backend.fp32_precision = precision

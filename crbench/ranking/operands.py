"""Feature rows as points whose products are small: divided by their norms or by one scale, and moved to their middle.

Distances between points do not change if all are moved by the same vector, but what a product may be wrong by shrinks
with the lengths of what is multiplied. Features after a ReLU, or of a network that was not trained, lie close together
and far from 0; moved by their mean, several times fewer of their comparisons are in doubt.
"""

from __future__ import annotations

import math

import attrs
import torch

from crbench.ranking.backends.interface import CountingBackend
from crbench.ranking.gemm.products import Operand, in_safe_range, operand, powers
from crbench.ranking.interface import RankInputs
from crbench.ranking.streaming import RowStream, dots
from crbench.ranking.threads import Workers

_SAMPLE = 128
"""Rows of which the middle is taken."""

_WORTH = 0.25
"""Share of the mean squared length that the middle must have; with less, moving costs more than it saves."""

_CENTRING_ERROR = 2.0**-21
"""By how much a point may be wrong after it was moved, in norm: eight roundings, where lengths are 1 at most."""

_ROUNDOFF = 2.0**-53


class NormalisedRows:
    """The rows of one side as points.

    Attributes:
        stream: the rows, f32[n, D].
        dims: i64[n], how many columns count; nothing that is said of a row holds for a longer cut.
        scale: a power of two by which all rows are divided; None = each row is divided by its own norm.
    """

    def __init__(
        self, stream: RowStream, norms: torch.Tensor, dims: torch.Tensor, backend: CountingBackend, workers: Workers
    ) -> None:
        """Points on the stream's device.

        Args:
            stream, dims: see above.
            norms: f64[n], of whole rows.
            backend: gives inner products where the rows lie.
            workers: share out what is computed on the CPU.
        """
        self.stream = stream
        self.dims = dims
        self.scale: float | None = None
        self._backend = backend
        self._workers = workers
        self._norms = {stream.x.shape[1]: norms}
        self._in_safe_range: dict[int, bool] = {}
        self._products: dict[int, torch.Tensor] = {}

    @classmethod
    def both(
        cls, inputs: RankInputs, backend: CountingBackend, workers: Workers
    ) -> tuple[NormalisedRows, NormalisedRows]:
        """The points of queries and gallery; where rows are not normalised, the scale brings all norms below 1."""
        device = inputs.device
        query, gallery = (
            cls(RowStream(x, device), norms.to(device), torch.from_numpy(dims).to(device), backend, workers)
            for x, norms, dims in (
                (inputs.query.x, inputs.query_norms, inputs.query_dims),
                (inputs.gallery.x, inputs.gallery_norms, inputs.gallery_dims),
            )
        )
        if not inputs.unit:
            query.scale = gallery.scale = 2.0 ** math.frexp(max(query.longest(), gallery.longest()))[1]
        return query, gallery

    def longest(self) -> float:
        """The largest norm."""
        return max(float(self.norms(prefix)[self.dims == prefix].max()) for prefix in torch.unique(self.dims).tolist())

    def in_safe_range(self, prefix: int) -> bool:
        """Whether rows may be divided in float32."""
        if prefix not in self._in_safe_range:
            self._in_safe_range[prefix] = in_safe_range(self.units(self.dims >= prefix, prefix))
        return self._in_safe_range[prefix]

    def norms(self, prefix: int) -> torch.Tensor:
        """f64[n], norms of the first `prefix` columns of the rows."""
        if prefix not in self._norms:
            rows = torch.arange(len(self.dims), device=self.dims.device)
            self._norms[prefix] = dots(self._backend, self.stream.x, self.stream.x, rows, rows, prefix).sqrt()
        return self._norms[prefix]

    def units(self, index: slice | torch.Tensor, prefix: int) -> torch.Tensor:
        """f64[m], what some rows are divided by."""
        norms = self.norms(prefix)[index]
        return norms if self.scale is None else torch.full_like(norms, self.scale)

    def centroid(self, prefix: int) -> torch.Tensor | None:
        """f32[cut], the mean of some points; None where moving by it is not worth it."""
        some = (self.dims >= prefix).nonzero()[:, 0]
        some = some[:: -(-len(some) // _SAMPLE)]
        units = self.units(some, prefix)
        # one product, as any vector near the mean serves; quotients in float64 took as long as a small evaluation
        mean = (1 / (len(some) * units)).float() @ self.stream.fetch(some, prefix)
        worth = mean.square().sum() > _WORTH * (self.norms(prefix)[some] / units).square().mean()
        return mean if bool(worth) else None

    def squares(self, index: slice | torch.Tensor, prefix: int, centroid: torch.Tensor | None) -> torch.Tensor:
        """f64[m], squared lengths of some points."""
        units = self.units(index, prefix)
        squares = (self.norms(prefix)[index] / units) ** 2
        if centroid is not None:
            squares += centroid.double().square().sum() - 2 * self._along(prefix, centroid)[index] / units
        return squares

    def operand(
        self, index: slice | torch.Tensor, prefix: int, precision: str, centroid: torch.Tensor | None
    ) -> Operand:
        """Some points, ready to be multiplied."""
        x, units = self.stream.fetch(index, prefix), self.units(index, prefix)
        if centroid is not None:
            centred = (x * (1 / units).float()[:, None]).sub_(centroid)
            norms = (self.squares(index, prefix, centroid).clamp(min=0) + 16 * (prefix + 32) * _ROUNDOFF).sqrt()
            found = operand(centred, norms, precision, None, self._workers)
            return attrs.evolve(found, rest=found.rest + _CENTRING_ERROR)
        norms = self.norms(prefix)[index]
        scales = None if self.in_safe_range(prefix) else powers(norms) if self.scale is None else units
        found = operand(x, norms, precision, scales, self._workers)
        return attrs.evolve(
            found,
            scale=found.scale / units,
            norms=found.norms / units,
            rest=found.rest / units,
            low=found.low / units,
        )

    def _along(self, prefix: int, centroid: torch.Tensor) -> torch.Tensor:
        """f64[n], inner products of the rows and the middle, of which there is one per cut."""
        if prefix not in self._products:
            rows = torch.arange(len(self.dims), device=self.dims.device)
            self._products[prefix] = dots(
                self._backend, self.stream.x, centroid[None], rows, torch.zeros_like(rows), prefix
            )
        return self._products[prefix]

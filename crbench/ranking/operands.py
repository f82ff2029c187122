"""Feature rows ready to be compared: exactly, in float64, and as operands of a fast product.

The operands of a product are the rows divided by their norms, or by one power of two where the protocol does not
normalise. Where the rows lie close together and far from the origin, as features after a ReLU do, their centroid is
subtracted as well. That changes no distance, but what a product may be wrong by shrinks with the lengths of what is
multiplied, so several times fewer comparisons stay uncertain.
"""

from __future__ import annotations

import math

import attrs
import torch

from crbench.ranking.backends.interface import CountingBackend
from crbench.ranking.distance import norms as exact_norms
from crbench.ranking.gemm.products import Operand, in_safe_range, operand, powers
from crbench.ranking.interface import RankInputs, RankRows
from crbench.ranking.streaming import RowStream, dots
from crbench.ranking.threads import Workers

_SAMPLE = 128
"""Rows whose mean is the centroid."""

_WORTH = 0.25
"""Share of the mean squared length that the centroid must have; with less, centring costs more than it saves."""

_CENTRING_ERROR = 2.0**-21
"""By how much a centred row may be wrong, in norm: eight roundings, where lengths are 1 at most."""

_ROUNDOFF = 2.0**-53

_NARROWING, _LEAST = 2.0**-23, 2.0**-149
"""What rounding a float64 row to float32 may change: two roundings of its norm, and the least number in each column."""


class NormalisedRows:
    """The rows of one side.

    Attributes:
        stream: brings rows f32[n, D] to the device.
        dims: i64[n], how many columns count; what is said of a row holds for no longer prefix.
        unit: the definition divides rows by their norms.
        scale: a power of two by which all operands are divided; None = each by its own norm.
    """

    def __init__(
        self, rows: RankRows, device: torch.device, *, unit: bool, backend: CountingBackend, workers: Workers
    ) -> None:
        """Args: the rows, where they are compared, the definition's rule, and who computes where they lie."""
        self.stream = RowStream(rows.x, device)
        self.dims = torch.from_numpy(rows.dims).to(device)
        self.unit = unit
        self.scale: float | None = None
        self._backend = backend
        self._workers = workers
        self._norms = {rows.x.shape[1]: rows.norms.to(device)}
        self._in_safe_range: dict[int, bool] = {}
        self._along: dict[int, torch.Tensor] = {}

    @classmethod
    def sides(
        cls, inputs: RankInputs, backend: CountingBackend, workers: Workers
    ) -> tuple[NormalisedRows, NormalisedRows, NormalisedRows]:
        """Queries, gallery and positives; where rows are not normalised, one scale brings all norms below 1."""
        query, gallery, *apart = (
            cls(rows, inputs.device, unit=inputs.unit, backend=backend, workers=workers)
            for rows in (inputs.query, inputs.gallery, inputs.positives)
            if rows is not None
        )
        sides = query, gallery, apart[0] if apart else gallery
        if not inputs.unit:
            scale = 2.0 ** math.frexp(max(side.longest() for side in sides))[1]
            for side in sides:
                side.scale = scale
        return sides

    def exact(self, index: torch.Tensor, prefix: int) -> torch.Tensor:
        """f64[m, prefix], some rows as the definition compares them, where the features lie."""
        x = self.stream.x
        rows = x[:, :prefix][index.to(x.device)].double()
        return rows / exact_norms(rows)[:, None] if self.unit else rows

    def longest(self) -> float:
        """The largest norm."""
        return max(float(self.norms(end)[self.dims == end].max()) for end in torch.unique(self.dims).tolist())

    def in_safe_range(self, prefix: int) -> bool:
        """Whether float32 products of these rows neither overflow nor underflow."""
        if prefix not in self._in_safe_range:
            self._in_safe_range[prefix] = in_safe_range(self.divisors(self.dims >= prefix, prefix))
        return self._in_safe_range[prefix]

    def norms(self, prefix: int) -> torch.Tensor:
        """f64[n], norms of the first `prefix` columns of the rows."""
        if prefix not in self._norms:
            rows = torch.arange(len(self.dims), device=self.dims.device)
            self._norms[prefix] = dots(self._backend, self.stream.x, self.stream.x, rows, rows, prefix).sqrt()
        return self._norms[prefix]

    def divisors(self, index: slice | torch.Tensor, prefix: int) -> torch.Tensor:
        """f64[m], what some rows are divided by."""
        norms = self.norms(prefix)[index]
        return norms if self.scale is None else torch.full_like(norms, self.scale)

    def centroid(self, prefix: int) -> torch.Tensor | None:
        """f32[prefix], the mean of some operands; None where subtracting it is not worth it."""
        some = (self.dims >= prefix).nonzero()[:, 0]
        some = some[:: -(-len(some) // _SAMPLE)]
        divisors = self.divisors(some, prefix)
        # Any vector near the mean serves, so one float32 product is enough.
        mean = (1 / (len(some) * divisors)).float() @ self.stream.fetch(some, prefix).float()
        worth = mean.square().sum() > _WORTH * (self.norms(prefix)[some] / divisors).square().mean()
        return mean if bool(worth) else None

    def squares(self, index: slice | torch.Tensor, prefix: int, centroid: torch.Tensor | None) -> torch.Tensor:
        """f64[m], squared lengths of some operands."""
        divisors = self.divisors(index, prefix)
        squares = (self.norms(prefix)[index] / divisors) ** 2
        if centroid is not None:
            along = self._along_centroid(prefix, centroid)[index]
            squares += centroid.double().square().sum() - 2 * along / divisors
        return squares

    def operand(
        self, index: slice | torch.Tensor, prefix: int, precision: str, centroid: torch.Tensor | None
    ) -> Operand:
        """Some rows, ready to be multiplied."""
        x, divisors = self.stream.fetch(index, prefix), self.divisors(index, prefix)
        if centroid is not None:
            centred = (x * (1 / divisors).to(x.dtype)[:, None]).sub_(centroid).float()
            norms = (self.squares(index, prefix, centroid).clamp(min=0) + 16 * (prefix + 32) * _ROUNDOFF).sqrt()
            found = operand(centred, norms, precision, None, self._workers)
            return attrs.evolve(found, rest=found.rest + _CENTRING_ERROR)
        norms = self.norms(prefix)[index]
        scales = None if self.in_safe_range(prefix) else powers(norms) if self.scale is None else divisors
        found = operand(x, norms, precision, scales, self._workers)
        rest = found.rest
        if x.dtype == torch.float64:
            rest = rest + (norms * _NARROWING + prefix**0.5 * _LEAST)
        return attrs.evolve(
            found,
            scale=found.scale / divisors,
            norms=found.norms / divisors,
            rest=rest / divisors,
            low=found.low / divisors,
        )

    def _along_centroid(self, prefix: int, centroid: torch.Tensor) -> torch.Tensor:
        """f64[n], inner products of the rows and the centroid, of which there is one per prefix."""
        if prefix not in self._along:
            rows = torch.arange(len(self.dims), device=self.dims.device)
            found = dots(self._backend, self.stream.x, centroid[None], rows, torch.zeros_like(rows), prefix)
            self._along[prefix] = found
        return self._along[prefix]

"""Feature rows as points whose products are small: divided by their norms or by one scale, and moved to their middle.

Distances between points do not change if all are moved by the same vector, but what a product may be wrong by shrinks
with the lengths of what is multiplied. Features after a ReLU, or of a network that was not trained, lie close together
and far from 0; moved by their mean, several times fewer of their comparisons are in doubt.
"""

from __future__ import annotations

import math

import attrs
import torch

from crbench.ranking.backends.interface import Counter
from crbench.ranking.gemm.products import Operand, operand, powers, tame
from crbench.ranking.interface import Inputs
from crbench.ranking.streaming import Shelf, dots
from crbench.ranking.threads import Workers

_SAMPLE = 128
"""Rows of which the middle is taken."""

_WORTH = 0.25
"""Share of the mean squared length that the middle must have; with less, moving costs more than it saves."""

_MOVED = 2.0**-21
"""By how much a point may be wrong after it was moved, in norm: eight roundings, where lengths are 1 at most."""

_ROUNDOFF = 2.0**-53


class Points:
    """The rows of one side as points.

    Attributes:
        shelf: the rows, f32[n, D].
        dims: i64[n], how many columns count; nothing that is said of a row holds for a longer cut.
        scale: a power of two by which all rows are divided; None = each row is divided by its own norm.
    """

    def __init__(
        self, shelf: Shelf, norms: torch.Tensor, dims: torch.Tensor, counter: Counter, workers: Workers
    ) -> None:
        """Points on the shelf's device.

        Args:
            shelf, dims: see above.
            norms: f64[n], of whole rows.
            counter: gives inner products where the rows lie.
            workers: share out what is computed on the CPU.
        """
        self.shelf = shelf
        self.dims = dims
        self.scale: float | None = None
        self._counter = counter
        self._workers = workers
        self._norms = {shelf.x.shape[1]: norms}
        self._tame: dict[int, bool] = {}
        self._products: dict[int, torch.Tensor] = {}

    @classmethod
    def both(cls, inputs: Inputs, counter: Counter, workers: Workers) -> tuple[Points, Points]:
        """The points of queries and gallery; where rows are not normalised, the scale brings all norms below 1."""
        device = inputs.device
        query, gallery = (
            cls(Shelf(x, device), norms.to(device), torch.from_numpy(dims).to(device), counter, workers)
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
        return max(float(self.norms(cut)[self.dims == cut].max()) for cut in torch.unique(self.dims).tolist())

    def tame(self, cut: int) -> bool:
        """Whether rows may be divided in float32."""
        if cut not in self._tame:
            self._tame[cut] = tame(self.units(self.dims >= cut, cut))
        return self._tame[cut]

    def norms(self, cut: int) -> torch.Tensor:
        """f64[n], norms of the first `cut` columns of the rows."""
        if cut not in self._norms:
            rows = torch.arange(len(self.dims), device=self.dims.device)
            self._norms[cut] = dots(self._counter, self.shelf.x, self.shelf.x, rows, rows, cut).sqrt()
        return self._norms[cut]

    def units(self, index: slice | torch.Tensor, cut: int) -> torch.Tensor:
        """f64[m], what some rows are divided by."""
        norms = self.norms(cut)[index]
        return norms if self.scale is None else torch.full_like(norms, self.scale)

    def middle(self, cut: int) -> torch.Tensor | None:
        """f32[cut], the mean of some points; None where moving by it is not worth it."""
        some = (self.dims >= cut).nonzero()[:, 0]
        some = some[:: -(-len(some) // _SAMPLE)]
        units = self.units(some, cut)
        # one product, as any vector near the mean serves; quotients in float64 took as long as a small evaluation
        mean = (1 / (len(some) * units)).float() @ self.shelf.take(some, cut)
        worth = mean.square().sum() > _WORTH * (self.norms(cut)[some] / units).square().mean()
        return mean if bool(worth) else None

    def squares(self, index: slice | torch.Tensor, cut: int, middle: torch.Tensor | None) -> torch.Tensor:
        """f64[m], squared lengths of some points."""
        units = self.units(index, cut)
        squares = (self.norms(cut)[index] / units) ** 2
        if middle is not None:
            squares += middle.double().square().sum() - 2 * self._along(cut, middle)[index] / units
        return squares

    def operand(self, index: slice | torch.Tensor, cut: int, precision: str, middle: torch.Tensor | None) -> Operand:
        """Some points, ready to be multiplied."""
        x, units = self.shelf.take(index, cut), self.units(index, cut)
        if middle is not None:
            moved = (x * (1 / units).float()[:, None]).sub_(middle)
            norms = (self.squares(index, cut, middle).clamp(min=0) + 16 * (cut + 32) * _ROUNDOFF).sqrt()
            found = operand(moved, norms, precision, None, self._workers)
            return attrs.evolve(found, rest=found.rest + _MOVED)
        norms = self.norms(cut)[index]
        scales = None if self.tame(cut) else powers(norms) if self.scale is None else units
        found = operand(x, norms, precision, scales, self._workers)
        return attrs.evolve(
            found,
            scale=found.scale / units,
            norms=found.norms / units,
            rest=found.rest / units,
            low=found.low / units,
        )

    def _along(self, cut: int, middle: torch.Tensor) -> torch.Tensor:
        """f64[n], inner products of the rows and the middle, of which there is one per cut."""
        if cut not in self._products:
            rows = torch.arange(len(self.dims), device=self.dims.device)
            self._products[cut] = dots(self._counter, self.shelf.x, middle[None], rows, torch.zeros_like(rows), cut)
        return self._products[cut]

"""Mean shift: the constant "panning" vector, VPFA's idea without a network."""

from __future__ import annotations

import attrs
from torch import Tensor

from crbench_baselines.affine import Affine
from crbench_baselines.paired import PairedAligner


@attrs.frozen
class MeanShift(PairedAligner):
    """x + mean(target - source)."""

    def solve(self, source: Tensor, target: Tensor) -> Affine:
        """The least-squares constant offset."""
        return Affine(bias=(target - source).mean(dim=0))

"""No alignment: the row that every gain is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs
from torch import Tensor

from crbench.api import RunContext, TrainFeatures
from crbench_baselines.affine import AffineTransform, from_state


@attrs.frozen
class Identity:
    """Leaves all features as they are."""

    any_length: ClassVar[bool] = True
    learns: ClassVar[bool] = False

    def fit(self, train: TrainFeatures, *, run: RunContext) -> AffineTransform:
        """A transform without any map."""
        return AffineTransform({})

    def restore(self, state: Mapping[str, Tensor]) -> AffineTransform:
        """The transform that had this (empty) state."""
        return from_state(state)

"""Diagonal: each feature dimension scaled and shifted on its own."""

from __future__ import annotations

import attrs
import torch
from attrs import validators as v
from torch import Tensor

from crbench_baselines.affine import Affine
from crbench_baselines.paired import PairedAligner


@attrs.frozen
class Diagonal(PairedAligner):
    """x * weight + bias, by least squares in each dimension.

    Attributes:
        alpha: pull of the weights towards 1, in units of the mean variance of a source dimension; it keeps
            dimensions that hardly vary from taking extreme weights.
    """

    alpha: float = attrs.field(default=0.01, converter=float, validator=v.ge(0))

    def solve(self, source: Tensor, target: Tensor) -> Affine:
        """With d = target - source: weight = 1 + cov(source, d) / (var(source) + penalty)."""
        centred, mean = source - source.mean(dim=0), source.mean(dim=0)
        gap = target - source
        variance = centred.square().mean(dim=0)
        covariance = (centred * (gap - gap.mean(dim=0))).mean(dim=0)
        scale = variance + self.alpha * variance.mean()
        weight = 1 + torch.where(scale > 0, covariance / scale, 0.0)
        return Affine(bias=target.mean(dim=0) - mean * weight, weight=weight)

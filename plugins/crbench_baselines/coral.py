"""CORAL: LR features take the mean and the covariance of HR features; no pairs are needed."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from attrs import validators as v
from torch import Tensor

from crbench.api import Domain, RunContext, TrainFeatures, check_alignable
from crbench.errors import DataError
from crbench_baselines.affine import Affine, AffineTransform, from_state


@attrs.frozen
class Coral:
    """(x - mean(S)) @ (C_S + e I)^(-1/2) @ (C_T + e I)^(1/2) + mean(T), for each source domain (Sun et al., 2016).

    Attributes:
        shrink: e in units of the mean variance of a target dimension; 1 is the paper's e for standardised features.
    """

    shrink: float = attrs.field(default=1.0, converter=float, validator=v.gt(0))

    def fit(self, train: TrainFeatures, *, run: RunContext) -> AffineTransform:
        """Fit in float64; the fitted maps are float32.

        Raises:
            DataError: NaN or infinite values, unequal lengths, no rows, or HR features that do not vary.
        """
        check_alignable(train)
        target = train.target.x.double()
        mean_t, covariance_t = _statistics(target)
        extra = float(self.shrink * covariance_t.diagonal().mean()) if len(target) else 0.0
        if not extra > 0:
            raise DataError(f"coral: {len(target)} HR training features without variation; it needs at least two")
        colour = _power(covariance_t, extra, 0.5)
        maps: dict[tuple[Domain, ...], Affine] = {}
        for domain, mask in train.source.rows.domains():
            mean_s, covariance_s = _statistics(train.source.x[torch.from_numpy(mask)].double())
            weight = _power(covariance_s, extra, -0.5) @ colour
            maps[(domain,)] = Affine(bias=mean_t - mean_s @ weight, weight=weight).float()
        return AffineTransform(maps)

    def restore(self, state: Mapping[str, Tensor]) -> AffineTransform:
        """The transform that had this state."""
        return from_state(state)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean f64[D] and covariance f64[D, D] of f64[n, D]."""
    mean = x.mean(dim=0)
    centred = x - mean
    return mean, centred.T @ centred / len(x)


def _power(covariance: Tensor, extra: float, exponent: float) -> Tensor:
    """(covariance + extra I) to a power, for a symmetric positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    power: Tensor = (vectors * (values.clamp_min(0) + extra) ** exponent) @ vectors.T
    return power

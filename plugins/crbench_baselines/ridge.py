"""Ridge: a regularised linear map with bias."""

from __future__ import annotations

import attrs
import torch
from attrs import validators as v
from torch import Tensor

from crbench_baselines.affine import Affine
from crbench_baselines.paired import PairedAligner


@attrs.frozen
class Ridge(PairedAligner):
    """x @ (I + W) + bias, with the W that minimises ||S W - (T - S)||^2 + penalty ||W||^2 for centred S and T.

    The penalty pulls the whole map towards the identity plus a constant shift, as VPFA's residual form does; plain
    ridge regression, which pulls it towards 0, would shrink LR features but not HR ones.

    Attributes:
        alpha: penalty, in units of the mean eigenvalue of S^T S; positive.
    """

    alpha: float = attrs.field(default=1.0, converter=float, validator=v.gt(0))

    def solve(self, source: Tensor, target: Tensor) -> Affine:
        """Normal equations by Cholesky: D x D, or n x n (dual form) when there are fewer rows than dimensions."""
        count, dim = source.shape
        s = source - source.mean(dim=0)
        gap = (target - target.mean(dim=0)) - s
        # A source without any variation leaves only the shift; the penalty must stay positive.
        penalty = (self.alpha * s.square().sum() / dim).clamp_min(torch.finfo(s.dtype).tiny)
        dual = count < dim
        w = s.T @ _solve(s @ s.T, penalty, gap) if dual else _solve(s.T @ s, penalty, s.T @ gap)
        weight = w + torch.eye(dim, dtype=w.dtype, device=w.device)
        return Affine(bias=target.mean(dim=0) - source.mean(dim=0) @ weight, weight=weight)


def _solve(gram: Tensor, penalty: Tensor, right: Tensor) -> Tensor:
    gram.diagonal().add_(penalty)
    return torch.cholesky_solve(right, torch.linalg.cholesky(gram))

"""Procrustes: a rotation between centred features, and their means."""

from __future__ import annotations

import attrs
import torch
from attrs import validators as v
from torch import Tensor

from crbench_baselines.affine import Affine
from crbench_baselines.paired import PairedAligner


@attrs.frozen
class Procrustes(PairedAligner):
    """(x - mean(S)) @ R + mean(T), with the orthogonal R that minimises ||S R - T||^2 for centred S and T.

    Attributes:
        shrink: pull of R towards the identity, in units of the root mean square of the singular values of S^T T. With
            fewer rows than dimensions R is not determined outside the span of the rows; a small pull makes it the
            identity there instead of something arbitrary. 0 gives the plain solution.
    """

    shrink: float = attrs.field(default=0.01, converter=float, validator=v.ge(0))

    def solve(self, source: Tensor, target: Tensor) -> Affine:
        """R = U V^T from the singular value decomposition of S^T T (Schoenemann 1966)."""
        mean_s, mean_t = source.mean(dim=0), target.mean(dim=0)
        product = (source - mean_s).T @ (target - mean_t)
        product.diagonal().add_(self.shrink * product.norm() / len(product) ** 0.5)
        u, _, vt = torch.linalg.svd(product)
        rotation = u @ vt
        return Affine(bias=mean_t - mean_s @ rotation, weight=rotation)

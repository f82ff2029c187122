"""`Embedder`: the model that `crbench.training.train` trains."""

from __future__ import annotations

from torch import Tensor, nn


class Embedder(nn.Module):
    """A network body and its BN neck (Luo et al., CVPRW 2019, Sec. 3.6).

    The triplet loss works on features before the neck, the ID loss on those after it. The neck's shift stays 0, so that
    the classifier's hyperplanes pass through the origin as the cosine of a comparison does.

    Args:
        body: gives f32[b, dim] of f32[b, 3, height, width].
        dim: feature length.
    """

    def __init__(self, body: nn.Module, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.body = body
        self.neck = nn.BatchNorm1d(dim)
        self.neck.bias.requires_grad_(False)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features before and after the neck, f32[b, dim] each."""
        before = self.body(inputs)
        return before, self.neck(before)

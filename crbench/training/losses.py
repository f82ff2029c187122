"""Losses on a batch of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from crbench.training.processes import gathered


def batch_hard_triplet(features: Tensor, labels: Tensor) -> Tensor:
    """Mean over anchors of ``log(1 + exp(d_ap - d_an))`` with the farthest positive and the nearest negative.

    Hermans et al., "In Defense of the Triplet Loss", arXiv 1703.07737, Eq. 5, with the soft margin of Sec. 2; d is the
    Euclidean distance of the features without normalisation, in float32 even under autocast. The anchor itself counts
    as a positive at distance (nearly) 0, so an anchor without another positive still pushes its nearest negative away.
    If several processes train, the anchors are the process's own rows; positives and negatives are those of the whole
    batch.

    Args:
        features: f32[b, D].
        labels: i64[b], with at least two different values.

    Example:
        >>> apart = torch.tensor([[0.0], [0.0], [100.0], [100.0]])
        >>> batch_hard_triplet(apart, torch.tensor([0, 0, 1, 1])).item() < 1e-6
        True
    """
    with torch.autocast(features.device.type, enabled=False):
        distance = _distances(features if features.dtype == torch.float64 else features.float())  # [b, all]
    same = labels[:, None] == gathered(labels)[None, :]
    positive = distance.masked_fill(~same, -torch.inf).amax(dim=1)
    negative = distance.masked_fill(same, torch.inf).amin(dim=1)
    return functional.softplus(positive - negative).mean()


def _distances(features: Tensor) -> Tensor:
    """Distances of this process's rows to all rows of the batch, f32[b / processes, b]."""
    squares = features.square().sum(dim=1)
    squared = squares[:, None] + gathered(squares)[None, :] - 2 * features @ gathered(features).T
    # The square root has no derivative at 0. The clamp gives the distance of an anchor to itself the gradient 0.
    return squared.clamp(min=1e-12).sqrt()


class CenterLoss(nn.Module):
    """Mean squared distance of features to the centre of their class; the centres follow the features.

    Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV 2016, Eq. 2 (here the mean
    over the batch, without the factor 1/2). Eq. 4 moves the centres; no optimizer does.

    Args:
        alpha: step of the centres.
    """

    centers: Tensor

    def __init__(self, classes: int, dim: int, alpha: float = 0.5) -> None:
        super().__init__()
        self._alpha = alpha
        self.register_buffer("centers", torch.zeros(classes, dim))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The loss of f32[b, D]; in training mode the centres of these classes move."""
        gaps = features.float() - self.centers[labels]
        if self.training:
            seen = gathered(labels)
            counts = torch.bincount(seen, minlength=len(self.centers))
            sums = torch.zeros_like(self.centers).index_add(0, seen, gathered(gaps.detach()))
            self.centers += self._alpha * sums / (1 + counts[:, None])
        return gaps.square().sum(dim=1).mean()

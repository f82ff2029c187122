"""Losses on whole features and the codes that cut them (Wu et al., TIP 2023, Sec. III-D)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Verifier(nn.Module):
    """Probability (as a logit) that a difference of two features is one of the same person: an MLP d -> hidden -> 1."""

    def __init__(self, dim: int, hidden: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, difference: Tensor) -> Tensor:
        """Logits f32[p] of differences f32[p, d]."""
        logits: Tensor = self.layers(difference)
        return logits[:, 0]


def sample_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Equal numbers of positive and negative pairs of a batch: all of the rarer kind, as many drawn of the other.

    The draw comes from torch's global generator of the CPU.

    Args:
        labels: i64[b].

    Returns:
        i64[p, 2], rows of the batch with the smaller first; bool[p], whether the two are one person.

    Example:
        >>> pairs, same = sample_pairs(torch.tensor([0, 0, 1, 1]))
        >>> pairs[same].tolist(), int((~same).sum())
        ([[0, 1], [2, 3]], 2)
    """
    labels = labels.cpu()
    together = labels[:, None] == labels[None, :]
    upper = torch.ones_like(together).triu(1)
    positive, negative = ((upper & kind).nonzero() for kind in (together, ~together))
    count = min(len(positive), len(negative))
    chosen = [kind if len(kind) == count else kind[torch.randperm(len(kind))[:count]] for kind in (positive, negative)]
    return torch.cat(chosen), torch.arange(2 * count) < count


def differences(features: Tensor, codes: Tensor, pairs: Tensor, *, padded: bool) -> Tensor:
    """What the verifier sees of pairs, in both orders: f32[2p, d].

    Both features are cut to the shorter code of the two; with `padded` each is cut to its own, as Eq. 4 reads, so that
    the tail of the longer one stays in the difference.
    """
    first, second = pairs.unbind(dim=1)
    if padded:
        ordered = features[first] * codes[first] - features[second] * codes[second]
    else:
        ordered = (features[first] - features[second]) * codes[first] * codes[second]
    return torch.cat([ordered, -ordered])


def verification_loss(logits: Tensor, same: Tensor, reduction: str) -> Tensor:
    """Binary cross-entropy (Eq. 4) over pairs in both orders.

    Args:
        logits: f32[2p].
        same: bool[p].
        reduction: ``mean`` or ``sum``.
    """
    target = torch.cat([same, same]).to(logits.device, torch.float32)
    return functional.binary_cross_entropy_with_logits(logits.float(), target, reduction=reduction)


def own_codes(codes: Tensor, levels: Tensor, lengths: Tensor) -> Tensor:
    """The code of the highest sub-vector alone, v_k: what Sec. III-D's sub-classifier of level k sees.

    Args:
        codes: [b, d], of whole prefixes.
        levels: i64[b], from 1.
        lengths: i64[m], prefix length of each level.
    """
    before = torch.cat([lengths.new_zeros(1), lengths[:-1]])[levels - 1]
    return codes * (torch.arange(codes.shape[1], device=codes.device) >= before[:, None])

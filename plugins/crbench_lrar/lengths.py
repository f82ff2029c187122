"""Mechanism 1: the leading part of a feature on which a resolution level is compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LENGTHS = ("cumulative", "equal", "full", "gumbel")


def prefix_lengths(dim: int, rates: Sequence[float], rule: str) -> tuple[int, ...]:
    """Length of the prefix of each level, lowest level first; the highest has all `dim` columns.

    Wu et al., TIP 2023, Sec. III-B, cut a feature into sub-vectors v_1 .. v_m; level k uses the first k. Their lengths
    are not given; Table II finds that queries at r = 2 do best on half of the vector.

    Args:
        dim: feature length d.
        rates: rate of each level, highest rate first.
        rule: ``cumulative`` (and ``gumbel``): d/r; ``equal``: sub-vectors of d/m; ``full``: no cut at all.

    Raises:
        ValueError: an unknown rule, or a level without a column of its own.

    Example:
        >>> prefix_lengths(2048, (4, 3, 2, 1), "cumulative")
        (512, 682, 1024, 2048)
        >>> prefix_lengths(2048, (4, 3, 2, 1), "equal")
        (512, 1024, 1536, 2048)
    """
    if rule not in LENGTHS:
        raise ValueError(f"length: {rule!r} is not one of {', '.join(LENGTHS)}")
    count = len(rates)
    if rule == "full":
        return (dim,) * count
    if rule == "equal":
        lengths = [dim * level // count for level in range(1, count + 1)]
    else:
        lengths = [int(dim / rate) for rate in rates[:-1]] + [dim]
    if any(low >= high for low, high in zip([0, *lengths[:-1]], lengths, strict=True)):
        raise ValueError(f"length: a feature of {dim} columns is too short for the rates {list(rates)}")
    return tuple(lengths)


def prefix_mask(ends: Tensor, dim: int) -> Tensor:
    """bool[b, dim]: which columns are before each end, i64[b].

    Example:
        >>> prefix_mask(torch.tensor([1, 3]), 3).int().tolist()
        [[1, 0, 0], [1, 1, 1]]
    """
    return torch.arange(dim, device=ends.device) < ends[:, None]

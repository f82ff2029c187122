"""Between steps 7 and 8: the features of a tracklet's images become one, which is ranked.

Aligners see images, each at its rate, as they do in training; a tracklet is what is asked for and found. So its images
are pooled after the transform and before distances, by the plain mean, as evaluations on MARS and iLIDS-VID do.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from crbench.records import Features

_ROWS = 8192
"""Rows, at most, that are widened to float64 in one go, but for a tracklet that is longer."""


def pooled(feats: Features) -> Features:
    """One feature for each group of rows: their mean; features without groups come back as they are.

    Features are taken as they are, not normalised, so that a longer one counts for more. Sums are in float64 and in the
    order of the rows. Where lengths vary, as many columns count as of the group's shortest row.

    Args:
        feats: torch tensors f32[n, D], i64[n].

    Returns:
        Their rows are those of `Samples.items`.

    Example:
        >>> from crbench.records import Samples
        >>> rows = Samples(keys=["a", "b", "c"], pids=[1, 2, 1], groups=["t1", "t2", "t1"])
        >>> pooled(Features(x=torch.tensor([[1.0, 0.0], [5.0, 5.0], [3.0, 2.0]]), rows=rows)).x.tolist()
        [[2.0, 1.0], [5.0, 5.0]]
    """
    if feats.rows.groups is None:
        return feats
    items, item = feats.rows.items()
    device = feats.x.device
    order = torch.from_numpy(np.argsort(item, kind="stable")).to(device)
    counts = torch.from_numpy(np.bincount(item)).to(device)
    means = []
    for groups, rows in _chunks(counts.tolist()):
        wide = feats.x[order[rows]].double()
        means.append(torch.segment_reduce(wide, "mean", lengths=counts[groups]).to(feats.x.dtype))
    dims = feats.dims
    if dims is not None:
        shortest = torch.segment_reduce(dims[order].double(), "min", lengths=counts)
        dims = shortest.to(dims.dtype)
    return Features(x=torch.cat(means), rows=items, dims=dims)


def _chunks(counts: list[int]) -> Iterator[tuple[slice, slice]]:
    """Groups that follow each other, and their rows in order of groups; as many as fit, at least one."""
    group = row = 0
    while group < len(counts):
        first, start = group, row
        while group < len(counts) and (group == first or row - start + counts[group] <= _ROWS):
            row += counts[group]
            group += 1
        yield slice(first, group), slice(start, row)

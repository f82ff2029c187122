"""Which LR and HR features VPFA is trained on: Eq. 2 of arXiv:2510.00936v1 and the options around it."""

from __future__ import annotations

import logging
from typing import Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crbench.api import Pairs, Samples, TrainFeatures

PairRule = Literal["id_mean", "id_mean_pooled", "image", "bootstrap"]


@attrs.frozen(eq=False)
class Drawn:
    """Training pairs of one module.

    Attributes:
        source, target: f32[m, D], row i with row i.
        order: i64[k] on the CPU, the rows that make up one epoch, before shuffling; rows may occur several times.
    """

    source: Tensor
    target: Tensor
    order: Tensor


def paired(train: TrainFeatures, rule: PairRule, min_count: int, logger: logging.Logger) -> Pairs:
    """Image pairs, or LR and HR means of each identity and LR domain (``id_mean``, ``bootstrap``) or of all domains.

    Identities with fewer than `min_count` LR or HR images have no mean; how many, is logged.
    """
    if rule == "image":
        return train.pairs("image")
    pairs = train.pairs("id_mean_pooled" if rule == "id_mean_pooled" else "id_mean", min_count=min_count)
    everybody = np.union1d(train.source.rows.pids, train.target.rows.pids)
    left_out = len(everybody) - len(np.unique(pairs.source.rows.pids))
    if left_out:
        logger.info(
            "vpfa: %d of %d identities have fewer than %d LR or HR images and are left out",
            left_out,
            len(everybody),
            min_count,
        )
    return pairs


def draw(pairs: Pairs, train: TrainFeatures, rule: PairRule, draws: int, generator: torch.Generator) -> Drawn:
    """Draw the pairs of one training run.

    Args:
        pairs: of `paired`, or a part of them.
        train: the features behind the means, for ``bootstrap``.
        rule: with ``bootstrap`` each draw is the mean of a random half of the identity's images on either side.
        draws: number of pairs; 0 takes every pair once.
        generator: of the CPU.
    """
    rows = pairs.source.rows
    order = cycle_identities(rows.pids, draws, generator) if draws else torch.arange(len(rows))
    if rule != "bootstrap":
        return Drawn(source=pairs.source.x, target=pairs.target.x, order=order)
    source, target = train.source.rows, train.target.rows
    picked = rows.take(order.numpy())
    return Drawn(
        source=_half_means(train.source.x, source, picked, same_rate=True, generator=generator),
        target=_half_means(train.target.x, target, picked, same_rate=False, generator=generator),
        order=torch.arange(len(order)),
    )


def cycle_identities(pids: NDArray[np.int64], draws: int, generator: torch.Generator) -> Tensor:
    """Row numbers i64[draws] that cycle through shuffled identities.

    Each cycle visits every identity once, in a new order; an identity with several rows (one per rate) shows them in
    turn, in an order drawn once. So identities occur equally often, up to one.
    """
    rows = [np.flatnonzero(pids == pid) for pid in np.unique(pids)]
    rows = [own[torch.randperm(len(own), generator=generator).numpy()] for own in rows]
    picked: list[int] = []
    cycle = 0
    while len(picked) < draws:
        order = torch.randperm(len(rows), generator=generator).tolist()
        picked += [int(rows[i][cycle % len(rows[i])]) for i in order]
        cycle += 1
    return torch.tensor(picked[:draws])


def _half_means(x: Tensor, rows: Samples, picked: Samples, *, same_rate: bool, generator: torch.Generator) -> Tensor:
    """The mean of a random half of each picked identity's images (of the picked rate): f32[k, D]."""
    means = []
    for pid, rate in zip(picked.pids, picked.rates, strict=True):
        own = rows.pids == pid
        index = np.flatnonzero(own & (rows.rates == rate)) if same_rate else np.flatnonzero(own)
        half = torch.randperm(len(index), generator=generator).numpy()[: max(1, len(index) // 2)]
        means.append(x[index[half]].mean(dim=0))
    return torch.stack(means)

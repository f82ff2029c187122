"""What the aligners that learn from pairs share: which pairs, and one map per rate or a shared one."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

import attrs
import numpy as np
from attrs import validators as v
from torch import Tensor

from crbench.api import Pairs, RunContext, Scope, TrainFeatures, by_scope, check_alignable
from crbench_baselines.affine import Affine, AffineTransform, from_state

PairRule = Literal["auto", "image", "id_mean"]


@attrs.frozen
class PairedAligner(ABC):
    """An affine map fitted to pairs of LR and HR features; a method adds `solve` and its own parameters.

    Attributes:
        pairs: ``image``: each LR image with its HR version; ``id_mean``: means of each identity; ``auto``: image
            pairs if any image occurs in LR and in HR, else identity means (CAVIAR). What ``auto`` chose is logged.
        scope: a map for each rate (``per_rate``), or one for all (``shared``).
    """

    pairs: PairRule = attrs.field(default="auto", validator=v.in_(("auto", "image", "id_mean")))
    scope: Scope = attrs.field(default="per_rate", validator=v.in_(("per_rate", "shared")))

    @abstractmethod
    def solve(self, source: Tensor, target: Tensor) -> Affine:
        """The map from source to target, f64[n, D] each, row i with row i."""

    def fit(self, train: TrainFeatures, *, run: RunContext) -> AffineTransform:
        """Fit in float64; the fitted maps are float32.

        Raises:
            DataError: NaN or infinite values, unequal lengths, or no such pairs.
        """
        check_alignable(train)
        maps = {
            domains: self.solve(part.source.x.double(), part.target.x.double()).float()
            for domains, part in by_scope(choose_pairs(train, self.pairs, run.logger), self.scope)
        }
        return AffineTransform(maps)

    def restore(self, state: Mapping[str, Tensor]) -> AffineTransform:
        """The transform that had this state."""
        return from_state(state)


def choose_pairs(train: TrainFeatures, rule: PairRule, logger: logging.Logger) -> Pairs:
    """Pairs by a rule of `PairedAligner`.

    Raises:
        DataError: there are no such pairs.
    """
    if rule != "auto":
        return train.pairs(rule)
    if np.isin(train.source.rows.keys, train.target.rows.keys).any():
        logger.info("pairs=auto: image pairs, as images occur in LR and in HR")
        return train.pairs("image")
    logger.info("pairs=auto: identity means, as no image occurs in LR and in HR")
    return train.pairs("id_mean")

"""The aligner `lrar`: the varying-length comparison of features that the backbone `lrar` gives."""

from __future__ import annotations

import math
from typing import ClassVar

import attrs
import torch
from attrs import validators as v

from crbench.api import RunContext, TestFeatures, TrainFeatures, Transform


@attrs.frozen
class LRAR:
    """Compares query i and gallery item j on the leading columns that count for both (Wu et al., TIP 2023, Eq. 2).

    The backbone does the learning and says how many columns count; distance and normalisation are the protocol's, after
    the cut.

    Attributes:
        query_length: share of the feature on which LR rows are compared whatever their level (Table II); 0 = by level.
    """

    any_length: ClassVar[bool] = True
    learns: ClassVar[bool] = False

    query_length: float = attrs.field(default=0.0, validator=[v.ge(0), v.le(1)])

    def fit(self, train: TrainFeatures, *, run: RunContext) -> Transform:
        """Nothing is learned here."""
        return self._cut

    def _cut(self, feats: TestFeatures) -> TestFeatures:
        if self.query_length == 0:
            return feats
        columns = feats.x.shape[1]
        lr = torch.from_numpy(feats.rows.rates > 1).to(feats.x.device)
        dims = torch.full((len(feats),), columns, device=feats.x.device) if feats.dims is None else feats.dims
        length = max(1, math.floor(columns * self.query_length + 1e-6))
        return attrs.evolve(feats, dims=torch.where(lr, length, dims))

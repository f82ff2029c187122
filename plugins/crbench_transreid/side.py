"""Side information of a batch: which embedding each image gets, and what happens where its label is not known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from attrs import validators as v
from torch import Tensor

from crbench.api import Samples
from crbench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("none", "camera", "view", "both")
POLICIES = ("error", "zero", "mean")


@attrs.frozen
class SideRule:
    """What side information a network was trained with, and what happens where a label is not known.

    Attributes:
        sie: one of `KINDS`.
        view_count: views per camera with ``both``.
        cameras: what a camera that the network was not trained with gets: an ``error``, no side information (``zero``),
            or the ``mean`` over all cameras. Cameras count from 1, as in the data sets.
        views: the same for views, which a batch does not carry, so that it decides for all images.

    Raises:
        ValueError: a value out of range.
    """

    sie: str = attrs.field(default="none", validator=v.in_(KINDS))
    view_count: int = attrs.field(default=1, validator=v.ge(1))
    cameras: str = attrs.field(default="error", validator=v.in_(POLICIES))
    views: str = attrs.field(default="error", validator=v.in_(POLICIES))

    def check_weights(self, path: Path, count: int) -> None:
        """Refuse a weights file with `count` embeddings of side information, unless they are of this kind.

        Raises:
            DataError: they are of another kind.
        """
        if (self.sie == "none") != (count == 0):
            found = f"{count} embeddings of side information" if count else "no side information"
            raise DataError(
                f"weights {path}: the file has {found}, which does not fit sie={self.sie}; "
                "choose the preset that it was trained with"
            )
        if self.sie == "both" and count % self.view_count:
            raise DataError(
                f"weights {path}: base.sie_embed has {count} rows, no multiple of view_count={self.view_count}; "
                "give the number of views that it was trained with"
            )

    def embeddings_to_train(self, rows: Samples) -> int:
        """How many embeddings a training on these rows needs: none, or as many as the largest camera number.

        Raises:
            DataError: the rows do not carry this side information.
        """
        if self.sie == "none":
            return 0
        if self.sie != "camera":
            raise DataError(
                f"transreid: sie={self.sie} needs view labels to train, which data sets do not carry; "
                "choose sie=camera or sie=none"
            )
        if rows.camids.min(initial=1) < 1:
            raise DataError("transreid: some training rows have no camera number; train with --set backbone.sie=none")
        return int(rows.camids.max(initial=1))


class SideInformation:
    """Camera numbers to embeddings.

    Args:
        embeddings: f32[n, width]; with ``both``, row ``camera * view_count + view``.
        rule: with any `sie` but ``none``.

    Attributes:
        camera_count: cameras that the embeddings tell apart; 0 with ``view``.
    """

    def __init__(self, embeddings: Tensor, rule: SideRule) -> None:
        mean = embeddings.mean(dim=0, keepdim=True)
        # one row per camera, then the row of all other cameras
        if rule.sie == "view":
            table = mean
        else:
            known = (
                embeddings.reshape(-1, rule.view_count, embeddings.shape[1]).mean(dim=1)
                if rule.sie == "both"
                else embeddings
            )
            table = torch.cat([known, mean if rule.cameras == "mean" else torch.zeros_like(mean)])
        self.camera_count = len(table) - 1
        self._strict = rule.cameras == "error" and rule.sie != "view"
        self._lacks_views = rule.sie != "camera" and rule.views == "error"
        self._table = torch.zeros_like(table) if rule.sie != "camera" and rule.views == "zero" else table

    def __call__(self, camids: NDArray[np.int64]) -> Tensor:
        """Side information f32[b, width] of images by their camera numbers, which start from 1.

        Raises:
            DataError: a policy is ``error`` and a label is not known.
        """
        if self._lacks_views:
            raise DataError(
                "transreid: this network was trained with view labels, which data sets do not carry; "
                "choose --set backbone.views=mean or backbone.views=zero"
            )
        known = (camids >= 1) & (camids <= self.camera_count)
        if self._strict and not known.all():
            strange = ", ".join(str(camid) for camid in np.unique(camids[~known])[:5])
            raise DataError(
                f"transreid: camera {strange} is not among cameras 1 to {self.camera_count} of the weights; "
                "choose --set backbone.cameras=mean or backbone.cameras=zero"
            )
        rows = np.where(known, camids - 1, self.camera_count)
        return self._table[torch.from_numpy(rows).to(self._table.device)]

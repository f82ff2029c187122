"""Side information of a batch: which embedding each image gets, and what happens where its label is not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from torch import Tensor

from crbench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("none", "camera", "view", "both")
POLICIES = ("error", "zero", "mean")


def _one_of(options: tuple[str, ...], parameter: str = "") -> Callable[[object, attrs.Attribute[str], str], None]:
    def check(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
        if value not in options:
            raise ValueError(f"{parameter or attribute.name}: {value!r} is not one of {', '.join(options)}")

    return check


@attrs.frozen
class SideRule:
    """What side information a network was trained with, and what happens where a label is not known.

    Attributes:
        kind: one of `KINDS`.
        view_count: views per camera with kind ``both``.
        cameras: what a camera that the network was not trained with gets: an ``error``, no side information (``zero``),
            or the ``mean`` over all cameras.
        views: the same for views, which a batch does not carry, so that it decides for all images.

    Raises:
        ValueError: a value out of range.
    """

    kind: str = attrs.field(validator=_one_of(KINDS, "sie"))
    view_count: int = 1
    cameras: str = attrs.field(default="error", validator=_one_of(POLICIES))
    views: str = attrs.field(default="error", validator=_one_of(POLICIES))

    def __attrs_post_init__(self) -> None:
        if self.view_count < 1:
            raise ValueError(f"view_count: {self.view_count} is out of range; expected at least 1")


class SideInformation:
    """Camera numbers to embeddings.

    Args:
        embeddings: f32[n, width]; with kind ``both``, row ``camera * view_count + view``.
        rule: of any kind but ``none``.

    Attributes:
        camera_count: cameras that the embeddings tell apart; 0 with kind ``view``.
    """

    def __init__(self, embeddings: Tensor, rule: SideRule) -> None:
        mean = embeddings.mean(dim=0, keepdim=True)
        # one row per camera, then the row of all other cameras
        if rule.kind == "view":
            table = mean
        else:
            known = (
                embeddings.reshape(-1, rule.view_count, embeddings.shape[1]).mean(dim=1)
                if rule.kind == "both"
                else embeddings
            )
            table = torch.cat([known, mean if rule.cameras == "mean" else torch.zeros_like(mean)])
        self.camera_count = len(table) - 1
        self._strict = rule.cameras == "error" and rule.kind != "view"
        self._lacks_views = rule.kind != "camera" and rule.views == "error"
        self._table = torch.zeros_like(table) if rule.kind != "camera" and rule.views == "zero" else table

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

"""`TransReIDBackbone`: a released checkpoint as a backbone."""

from __future__ import annotations

from pathlib import Path

import torch

from crbench.config import weights_root
from crbench.errors import DataError
from crbench.interfaces import Preprocess
from crbench.records import Batch, Encoded
from crbench_transreid.checkpoint import Checkpoint, load, read_checkpoint
from crbench_transreid.network import TransReID
from crbench_transreid.side import SideInformation, SideRule
from crbench_transreid.vit import ARCHITECTURES, PATCH

FEATURES = ("before", "after")
SOURCE = "https://github.com/damo-cv/TransReID#trained-models-and-logs"


class TransReIDBackbone:
    """TransReID with weights from a file.

    Args:
        weights: a released checkpoint, or any file with its key names; None is an error that tells where to get one.
        device: torch device name.
        architecture: a name of `crbench_transreid.vit.ARCHITECTURES`.
        size: (height, width) of the input in pixels.
        stride: distance of patches in pixels, 1 to 16.
        sie: side information that the network was trained with: ``none``, ``camera``, ``view`` or ``both``.
        sie_coefficient: its factor.
        view_count: number of views with ``sie="both"``.
        jpm: use the jigsaw patch module.
        shift: of the jigsaw patch module; see `crbench_transreid.network.jigsaw_order`.
        feature: ``before`` or ``after`` the necks.
        cameras: what a camera that the weights do not know gets: an ``error``, no side information (``zero``), or the
            ``mean`` over all cameras. Cameras count from 1, as in the data sets.
        views: the same for views; no batch carries them, so that it decides for all images.
        mean, std: per channel, on values in [0, 1].

    Attributes:
        dim: feature length.
        preprocess: how pictures become input.
        model: the network, in evaluation mode; its state dict has the official keys.
        report: how the file and the network went together.

    Raises:
        DataError: weights are missing or do not fit.
        ValueError: a parameter out of range.
    """

    def __init__(
        self,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        architecture: str = "vit-base",
        size: tuple[int, int] = (256, 128),
        stride: int = 16,
        sie: str = "none",
        sie_coefficient: float = 3.0,
        view_count: int = 1,
        jpm: bool = False,
        shift: int = 5,
        feature: str = "before",
        cameras: str = "error",
        views: str = "error",
        mean: tuple[float, float, float] = (0.5, 0.5, 0.5),
        std: tuple[float, float, float] = (0.5, 0.5, 0.5),
    ) -> None:
        _check_choice("architecture", architecture, tuple(ARCHITECTURES))
        _check_choice("feature", feature, FEATURES)
        _check_range("size", min(size), PATCH)
        _check_range("stride", stride, 1, PATCH)
        _check_range("shift", shift, 1)
        rule = SideRule(kind=sie, view_count=view_count, cameras=cameras, views=views)
        if weights is None:
            raise _no_weights()
        checkpoint = read_checkpoint(weights)
        _check_side(checkpoint, rule)
        model = TransReID(
            ARCHITECTURES[architecture],
            size,
            stride=stride,
            classes=checkpoint.classes,
            side=checkpoint.side,
            coefficient=sie_coefficient,
            jpm=jpm,
            shift=shift,
        )
        self.report = load(model, checkpoint)
        self.model = model.to(device).eval()
        self.dim = model.dim
        self.preprocess = Preprocess(size=size, mean=mean, std=std)
        self._feature = feature
        embeddings = self.model.base.sie_embed
        self._side = None if embeddings is None else SideInformation(embeddings.detach()[:, 0], rule)

    def extract(self, batch: Batch) -> Encoded:
        """Features f32[b, dim] of ``batch.inputs`` f32[b, 3, height, width], on the model's device.

        Raises:
            DataError: side information that is not known, where the parameters do not allow it.
        """
        side = None if self._side is None else self._side(batch.camids)
        with torch.inference_mode():
            before, after = self.model(batch.inputs.to(next(self.model.parameters()).device), side)
        # an ordinary tensor, so that an aligner may use it in a computation with gradients
        return Encoded(x=(after if self._feature == "after" else before).clone())


def _no_weights() -> DataError:
    return DataError(
        f"transreid needs weights: take the checkpoint of this configuration (transformer_120.pth) from {SOURCE}, "
        f"put it into {weights_root()} and give its path with --weights"
    )


def _check_side(checkpoint: Checkpoint, rule: SideRule) -> None:
    """Refuse side information of another kind than the file's."""
    path, count = checkpoint.path, checkpoint.side
    if (rule.kind == "none") != (count == 0):
        found = f"{count} embeddings of side information" if count else "no side information"
        raise DataError(
            f"weights {path}: the file has {found}, which does not fit sie={rule.kind}; "
            "choose the preset that it was trained with"
        )
    if rule.kind == "both" and count % rule.view_count:
        raise DataError(
            f"weights {path}: base.sie_embed has {count} rows, no multiple of view_count={rule.view_count}; "
            "give the number of views that it was trained with"
        )


def _check_choice(parameter: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(f"{parameter}: {value!r} is not one of {', '.join(options)}")


def _check_range(parameter: str, value: int, low: int, high: int | None = None) -> None:
    if value < low or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{parameter}: {value} is out of range; expected {limits}")

"""`TransReIDBackbone`: a released checkpoint as a backbone, or a network to train."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import attrs
import torch
from torch import Tensor

from crbench.api import Batch, Encoded, Preprocess, Reader, RunContext, Samples
from crbench.errors import DataError, MissingWeightsError
from crbench.training import Phase, Recipe, seeded, train_objective
from crbench_transreid.checkpoint import Checkpoint, Report, load, read_checkpoint
from crbench_transreid.imagenet import imagenet_file, load_imagenet
from crbench_transreid.network import Network, TransReID
from crbench_transreid.objective import TransReIDObjective
from crbench_transreid.side import SideInformation, SideRule
from crbench_transreid.vit import ARCHITECTURES, PATCH

FEATURES = ("before", "after")
PRETRAINED = ("imagenet", "hub", "none")


class TransReIDBackbone:
    """TransReID with weights from a file, or to be trained by the published recipe.

    Args:
        weights: a released checkpoint, or any file with its key names; None = not trained yet.
        device: torch device name.
        pretrained: what training starts from if no `weights` are given: ``imagenet`` (a file of the weights folder),
            the same from the ``hub``, or ``none`` (random weights from the run's seed).
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
        drop_path: probability that training leaves out a branch of the last block; it falls to 0 at the first.
        epochs, identities, images, optimizer, nesterov, lr, weight_decay, bias_lr_factor, warmup_epochs, warmup_start,
            schedule, final_lr, label_smoothing, triplet_weight, flip, pad, erase, erase_fill, amp, accumulate: see
            `crbench.training.Recipe`.

    Attributes:
        dim: feature length.
        preprocess: how images become input.
        model: the network, in evaluation mode; its state dict has the official keys. Without weights it knows no side
            information before it is trained.
        recipe: how `train` trains.
        report: how the file and the network went together; None without a file.

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
        pretrained: str = "imagenet",
        drop_path: float = 0.1,
        epochs: int = 120,
        identities: int = 16,
        images: int = 4,
        optimizer: str = "sgd",
        nesterov: bool = False,
        lr: float = 8e-3,
        weight_decay: float = 1e-4,
        bias_lr_factor: float = 2.0,
        warmup_epochs: float = 5.0,
        warmup_start: float = 0.01,
        schedule: str = "cosine-epochs",
        final_lr: float = 0.002,
        label_smoothing: float = 0.0,
        triplet_weight: float = 1.0,
        flip: float = 0.5,
        pad: int = 10,
        erase: float = 0.5,
        erase_fill: str = "noise",
        amp: str = "off",
        accumulate: int = 1,
    ) -> None:
        _check_choice("architecture", architecture, tuple(ARCHITECTURES))
        _check_choice("feature", feature, FEATURES)
        _check_choice("pretrained", pretrained, PRETRAINED)
        _check_range("size", min(size), PATCH)
        _check_range("stride", stride, 1, PATCH)
        _check_range("shift", shift, 1)
        self.recipe = Recipe(
            epochs=epochs,
            identities=identities,
            images=images,
            optimizer=optimizer,
            nesterov=nesterov,
            lr=lr,
            weight_decay=weight_decay,
            bias_lr_factor=bias_lr_factor,
            warmup_epochs=warmup_epochs,
            warmup_start=warmup_start,
            schedule=schedule,
            final_lr=final_lr,
            label_smoothing=label_smoothing,
            triplet_weight=triplet_weight,
            flip=flip,
            pad=pad,
            erase=erase,
            erase_fill=erase_fill,
            amp=amp,
            accumulate=accumulate,
        )
        self._rule = SideRule(kind=sie, view_count=view_count, cameras=cameras, views=views)
        self._feature = feature
        self._pretrained = pretrained
        self._network = Network(
            architecture, size, stride=stride, coefficient=sie_coefficient, jpm=jpm, shift=shift, drop_path=drop_path
        )
        self.preprocess = Preprocess(size=size, mean=mean, std=std)
        self.report: Report | None = None
        self._untrained = weights is None
        if weights is None:
            with seeded(0):
                model = self._start(cameras=0)
        else:
            model = self._loaded(weights)
        self.dim = model.dim
        self._place(model.to(device))

    def _loaded(self, weights: Path) -> TransReID:
        checkpoint = read_checkpoint(weights)
        _check_side(checkpoint, self._rule)
        model = self._network.build(classes=checkpoint.classes, side=checkpoint.side)
        self.report = load(model, checkpoint)
        return model

    def _start(self, cameras: int) -> TransReID:
        """A network to train, with so many embeddings of cameras; random numbers come from torch."""
        name = self._network.architecture
        if self._pretrained == "imagenet":
            _imagenet(name)
        model = self._network.build(side=cameras)
        if self._pretrained != "none":
            load_imagenet(model, name, self._pretrained, self._network.size, self._network.stride)
        return model

    def _place(self, model: TransReID) -> None:
        self.model = model.eval()
        embeddings = model.base.sie_embed
        self._side = None if embeddings is None else SideInformation(embeddings.detach()[:, 0], self._rule)

    def _holding(self, model: TransReID) -> TransReIDBackbone:
        """This backbone with a trained network."""
        found = copy.copy(self)
        found._untrained = False
        found._place(model)
        return found

    def _cameras(self, rows: Samples) -> int:
        """Embeddings of cameras to train: 0, or as many as the largest camera number of the rows.

        Raises:
            DataError: the rows do not carry the side information.
        """
        if self._rule.kind == "none":
            return 0
        if self._rule.kind != "camera":
            raise DataError(
                f"transreid: sie={self._rule.kind} needs view labels to train, which data sets do not carry; "
                "choose sie=camera or sie=none"
            )
        if rows.camids.min(initial=1) < 1:
            raise DataError("transreid: some training rows have no camera number; train with --set backbone.sie=none")
        count = int(rows.camids.max(initial=1))
        known = count if self._side is None else self._side.camera_count
        if count > known:
            raise DataError(f"transreid: the training rows have cameras up to {count}, the weights know {known}")
        return count

    @staticmethod
    def starting_file(*, architecture: str, pretrained: str, **_: object) -> Path | None:
        """The file that a training with these parameters starts from, None = no file.

        Raises:
            DataError: it is not there.
        """
        return _imagenet(architecture) if pretrained == "imagenet" else None

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

    def train(self, rows: Samples, read: Reader, *, run: RunContext) -> TransReIDBackbone:
        """A new backbone, trained by `recipe` on HR rows with a classifier per BN neck; `self` is unchanged.

        It starts from this backbone's weights if they came from a file, otherwise as `pretrained` says.

        Raises:
            DataError: side information that the rows do not have, or see `crbench.training.train_objective`.
            CrbenchError: see there.
        """
        cameras = self._cameras(rows)
        if self._untrained:
            with seeded(run.seed):
                model = self._start(cameras)
        else:
            model = copy.deepcopy(self.model)
        train_objective(
            lambda persons: TransReIDObjective(model, persons, self.recipe),
            rows,
            read,
            phases=[Phase("train", self.recipe)],
            preprocess=attrs.evolve(self.preprocess, interpolation="bicubic"),
            run=run,
            name="transreid",
            snapshot=lambda: self._holding(model),
        )
        return self._holding(model)

    def state(self) -> Mapping[str, Tensor]:
        """All parameters and buffers of `model` under the official keys, on the CPU."""
        return {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in self.model.state_dict().items()
        }


def _imagenet(architecture: str) -> Path:
    """The file of ImageNet weights; without it, how to get weights of either kind."""
    try:
        return imagenet_file(architecture)
    except DataError as error:
        raise MissingWeightsError(
            "transreid needs weights: give a checkpoint with --weights", f"or, to train: {error}"
        ) from error


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

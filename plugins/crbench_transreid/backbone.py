"""`TransReIDBackbone`: a released checkpoint as a backbone, or a network to train."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import attrs
import torch
from torch import Tensor

from crbench.api import Batch, Encoded, Flattened, Preprocess, Reader, RunContext, Samples, module_state
from crbench.errors import DataError, MissingWeightsError
from crbench.training import Phase, Recipe, seeded, train_objective
from crbench_transreid.checkpoint import Report, is_idle, load, read_checkpoint
from crbench_transreid.imagenet import imagenet_file, load_imagenet
from crbench_transreid.network import Network, TransReID
from crbench_transreid.objective import TransReIDObjective
from crbench_transreid.side import SideInformation, SideRule

FEATURES = ("before", "after")
PRETRAINED = ("imagenet", "hub", "none")

NETWORK, SIDE = Network(), SideRule()

OFFERED = Flattened(
    "epochs",
    "identities",
    "images",
    "optimizer",
    "nesterov",
    "lr",
    "weight_decay",
    "bias_lr_factor",
    "warmup_epochs",
    "warmup_start",
    "schedule",
    "final_lr",
    "label_smoothing",
    "triplet_weight",
    "flip",
    "pad",
    "erase",
    "erase_fill",
    "amp",
    "accumulate",
)
"""The fields of the recipe that are parameters of the method."""

RECIPE = Recipe(
    optimizer="sgd",
    nesterov=False,
    lr=8e-3,
    weight_decay=1e-4,
    bias_lr_factor=2.0,
    warmup_epochs=5.0,
    warmup_start=0.01,
    schedule="cosine-epochs",
    final_lr=0.002,
    label_smoothing=0.0,
    erase_fill="noise",
)
"""The published one; what it does not name is as in `crbench.training.Recipe`."""


class TransReIDBackbone:
    """TransReID with weights from a file, or to be trained by the published recipe.

    Args:
        weights: a released checkpoint, or any file with its key names; None = not trained yet.
        device: torch device name.
        pretrained: what training starts from if no `weights` are given: ``imagenet`` (a file of the weights folder),
            the same from the ``hub``, or ``none`` (random weights from the run's seed).
        network: the shape of the network, which the weights must have.
        side: the side information that the network was trained with, or is to be trained with.
        feature: ``before`` or ``after`` the necks.
        mean, std: per channel, on values in [0, 1].
        recipe: how `train` trains.

    Attributes:
        dim: feature length.
        preprocess: how images become input.
        model: the network, in evaluation mode; its state dict has the official keys. Without weights it knows no side
            information before it is trained.
        recipe: as given.
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
        pretrained: str = "imagenet",
        network: Annotated[Network, Flattened()] = NETWORK,
        side: Annotated[SideRule, Flattened()] = SIDE,
        feature: str = "before",
        mean: tuple[float, float, float] = (0.5, 0.5, 0.5),
        std: tuple[float, float, float] = (0.5, 0.5, 0.5),
        recipe: Annotated[Recipe, OFFERED] = RECIPE,
    ) -> None:
        _check_choice("feature", feature, FEATURES)
        _check_choice("pretrained", pretrained, PRETRAINED)
        self.recipe = recipe
        self._network, self._rule = network, side
        self._feature = feature
        self._pretrained = pretrained
        self.preprocess = Preprocess(size=network.size, mean=mean, std=std)
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
        self._rule.check_weights(checkpoint.path, checkpoint.side)
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

    def _trained(self, model: TransReID) -> TransReIDBackbone:
        """This backbone with a trained network, which lies in memory as one from a file: else last bits may differ."""
        found = copy.copy(self)
        found._untrained = False
        found._place(model.to(memory_format=torch.contiguous_format))
        return found

    def _cameras(self, rows: Samples) -> int:
        """Embeddings of cameras to train.

        Raises:
            DataError: the rows do not carry the side information, or given weights know fewer cameras.
        """
        count = self._rule.embeddings_to_train(rows)
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
            snapshot=lambda: self._trained(copy.deepcopy(model)),
        )
        return self._trained(model)

    @property
    def parameter_count(self) -> int:
        """Parameters on which features depend: without classifiers, ImageNet's too, and what branches replaced."""
        named = self.model.named_parameters()
        return sum(parameter.numel() for name, parameter in named if not is_idle(name, self.model))

    def state(self) -> Mapping[str, Tensor]:
        """All parameters and buffers of `model` under the official keys, on the CPU."""
        return module_state(self.model)


def _imagenet(architecture: str) -> Path:
    """The file of ImageNet weights; without it, how to get weights of either kind."""
    try:
        return imagenet_file(architecture)
    except DataError as error:
        raise MissingWeightsError(
            "transreid needs weights: give a checkpoint with --weights",
            f"or, to train: {error}; or take --backbone transreid-tiny, which trains from scratch in minutes",
        ) from error


def _check_choice(parameter: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(f"{parameter}: {value!r} is not one of {', '.join(options)}")

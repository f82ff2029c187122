"""`TimmBackbone`: a timm body with a BN neck as a trainable backbone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from crbench.api import (
    Batch,
    Encoded,
    Flattened,
    Reader,
    RunContext,
    Samples,
    find_imagenet,
    load_weights,
    module_state,
)
from crbench.training import Embedder, Recipe, train
from crbench_timm.architectures import ARCHITECTURES, build_embedder
from crbench_timm.inference import fast_form

FEATURES = ("before", "after")
PRETRAINED = ("none", "imagenet")

OFFERED = Flattened(
    "epochs",
    "identities",
    "images",
    "optimizer",
    "lr",
    "weight_decay",
    "warmup_epochs",
    "schedule",
    "milestones",
    "label_smoothing",
    "triplet_weight",
    "flip",
    "pad",
    "erase",
    "center_weight",
    "amp",
    "accumulate",
)
"""The fields of the recipe that are parameters of the method."""

RECIPE = Recipe(
    epochs=14,
    identities=8,
    optimizer="adamw",
    lr=8e-3,
    weight_decay=5e-2,
    warmup_epochs=2.0,
    schedule="cosine",
    milestones=(),
    pad=4,
    erase=0.0,
)
"""Trains ``resnet-tiny`` from scratch."""


class TimmBackbone:
    """A network body, global average pooling and a BN neck.

    The default recipe trains ``resnet-tiny``; the presets of ``resnet50`` hold another.

    Args:
        weights: file written from `state`, or a ``.pth`` with the same names; None = not trained yet.
        device: torch device name.
        architecture: a name of `crbench_timm.architectures.ARCHITECTURES`.
        pretrained: what training starts from if no `weights` are given: ``none`` (random weights from the run's seed)
            or ``imagenet`` (a file of the weights folder).
        feature: ``before`` or ``after`` the neck.
        recipe: how `train` trains.

    Attributes:
        dim: feature length.
        preprocess: how images become input.
        model: the network, an `Embedder` in evaluation mode.
        recipe: as given.

    Raises:
        DataError: weights are missing or do not fit.
        ValueError: a parameter out of range.
    """

    def __init__(
        self,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        architecture: str = "resnet-tiny",
        pretrained: str = "none",
        feature: str = "after",
        recipe: Annotated[Recipe, OFFERED] = RECIPE,
    ) -> None:
        _check_choice("architecture", architecture, tuple(ARCHITECTURES))
        _check_choice("pretrained", pretrained, PRETRAINED)
        _check_choice("feature", feature, FEATURES)
        self.recipe = recipe
        self._name = architecture
        self._feature = feature
        self._architecture = ARCHITECTURES[architecture]
        self._from_scratch = weights is None and pretrained == "none"
        self.dim = self._architecture.dim
        self.preprocess = self._architecture.preprocess
        model = build_embedder(self._architecture, seed=0)
        if weights is not None:
            load_weights(model, weights, heads=("classifier.",))
        elif pretrained == "imagenet":
            load_weights(model.body, _imagenet(architecture), heads=("fc.",))
        self.model = _placed(model, device)

    @staticmethod
    def starting_file(*, architecture: str, pretrained: str, **_: object) -> Path | None:
        """The ImageNet file that a training with these parameters starts from.

        Raises:
            DataError: it is not in the weights folder.
        """
        return _imagenet(architecture) if architecture in ARCHITECTURES and pretrained == "imagenet" else None

    def extract(self, batch: Batch) -> Encoded:
        """Features f32[b, dim] of ``batch.inputs`` f32[b, 3, height, width], on the model's device."""
        device = next(self.model.parameters()).device
        inputs = batch.inputs.to(device, memory_format=torch.channels_last)
        with torch.inference_mode():
            before, after = self.model(inputs)
        # an ordinary tensor, so that an aligner may use it in a computation with gradients
        return Encoded(x=(after if self._feature == "after" else before).clone())

    def for_inference(self) -> TimmBackbone:
        """A backbone of the same features but for roundings, whose batch normalisations are folded."""
        faster = copy.copy(self)
        faster.model = fast_form(self.model, self.preprocess.size)
        return faster

    def train(self, rows: Samples, read: Reader, *, run: RunContext) -> TimmBackbone:
        """A new backbone, trained by `recipe` on HR rows; `self` is unchanged.

        It starts from this backbone's weights if they came from a file, otherwise from random ones of ``run.seed``.

        Raises:
            DataError, CrbenchError: see `crbench.training.train`.
        """
        trained = copy.copy(self)
        trained.model = (
            build_embedder(self._architecture, run.seed) if self._from_scratch else copy.deepcopy(self.model)
        )
        trained._from_scratch = False
        train(
            trained.model,
            rows,
            read,
            recipe=self.recipe,
            preprocess=self.preprocess,
            run=run,
            name=self._name,
            snapshot=lambda: trained,
        )
        trained.model = _placed(trained.model, run.device)
        return trained

    def state(self) -> Mapping[str, Tensor]:
        """All parameters and buffers of `model`, on the CPU."""
        return module_state(self.model)


def _imagenet(name: str) -> Path:
    otherwise = "or train from scratch with --set backbone.pretrained=none"
    return find_imagenet(name, ARCHITECTURES[name].imagenet, otherwise)


def _placed(model: Embedder, device: str) -> Embedder:
    return model.to(device).to(memory_format=torch.channels_last).eval()


def _check_choice(parameter: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(f"{parameter}: {value!r} is not one of {', '.join(options)}")

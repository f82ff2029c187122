"""`LrarBackbone`: the resolution-adaptive network as a trainable backbone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import attrs
import numpy as np
import torch
from torch import Tensor

from crbench.api import (
    ASSIGNMENTS,
    Assign,
    Batch,
    Encoded,
    Flattened,
    Reader,
    RunContext,
    Samples,
    TestRows,
    folded,
    load_weights,
    module_state,
    quantise,
)
from crbench.errors import DataError
from crbench.training import Recipe, train_objective
from crbench_lrar.bodies import BODIES
from crbench_lrar.models import Blueprint, Model, networks_with_rows, stored_rates
from crbench_lrar.network import LrarNetwork, Shape
from crbench_lrar.objective import Losses, LrarObjective
from crbench_lrar.phases import PhaseRule, make_phases
from crbench_lrar.pretrained import imagenet_file
from crbench_lrar.sampler import MixedLevelSampler, with_copies

DEFAULT_RATES = (4.0, 3.0, 2.0, 1.0)
GALLERIES = ("own", "query-level", "query-rate")
NETWORKS = ("shared", "per-rate")
PRETRAINED = ("none", "imagenet")

SHAPE, LOSSES, PHASES = Shape(), Losses(), PhaseRule()

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
    "flip",
    "pad",
    "amp",
    "accumulate",
)
"""The fields of the recipe that are parameters of the method."""

RECIPE = Recipe(
    epochs=12,
    identities=8,
    lr=3e-3,
    warmup_epochs=1.5,
    schedule="cosine",
    milestones=(),
    label_smoothing=0.0,
    triplet_weight=0.0,
    pad=4,
    erase=0.0,
)
"""Trains ``resnet-thin`` from scratch. The paper smooths no labels, erases nothing and has losses of its own."""


class LrarBackbone:
    """Features on which images of level k count with their first sub-vectors only (Wu et al., TIP 2023).

    The defaults train a small network; the presets hold the recipes of the paper. Training takes HR images,
    their copies at the protocol's training rates, and LR images as stored.

    Args:
        weights: file written from `state`; None = not trained yet.
        device: torch device name.
        architecture: a name of `crbench_lrar.bodies.BODIES`.
        pretrained: what training starts from without `weights`: ``none``, or ``imagenet`` (from the weights folder).
        rates: LR rates that HR training images are copied at, beside those of the protocol.
        networks: one for all rates (``shared``), or one for each LR rate (``per-rate``), trained on that rate alone.
        shape: of the network.
        losses: what training minimises.
        phases: how training is split.
        assign: level of a rate that was not trained; see `crbench.api.quantise`. Training does not depend on it.
        gallery: gallery images are encoded once, at their ``own`` level; or anew for each rate of the queries, as
            they are but with the masks of the ``query-level``, or shrunk to the ``query-rate``. Training does not
            depend on it.
        recipe: how `train` trains.

    Attributes:
        dim: feature length.
        preprocess: how images become input.
        model: the network, in evaluation mode.
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
        architecture: str = "resnet-thin",
        pretrained: str = "none",
        rates: tuple[float, ...] = (),
        networks: str = "shared",
        shape: Annotated[Shape, Flattened()] = SHAPE,
        losses: Annotated[Losses, Flattened()] = LOSSES,
        phases: Annotated[PhaseRule, Flattened()] = PHASES,
        assign: Assign = "nearest",
        gallery: str = "own",
        recipe: Annotated[Recipe, OFFERED] = RECIPE,
    ) -> None:
        for name, value, options in (
            ("architecture", architecture, tuple(BODIES)),
            ("pretrained", pretrained, PRETRAINED),
            ("networks", networks, NETWORKS),
            ("assign", assign, ASSIGNMENTS),
            ("gallery", gallery, GALLERIES),
        ):
            if value not in options:
                raise ValueError(f"{name}: {value!r} is not one of {', '.join(options)}")
        if not all(rate > 1 for rate in rates):
            raise ValueError(f"rates: {list(rates)} holds a rate that is not above 1")
        self.recipe = recipe
        self._blueprint = Blueprint(architecture, shape, per_rate=networks == "per-rate")
        self._rates = tuple(rates)
        self._losses, self._phases = losses, phases
        self._assign, self._gallery = assign, gallery
        self._start = "weights" if weights is not None else pretrained
        self.preprocess = BODIES[architecture].preprocess
        self.model = self._built(DEFAULT_RATES if weights is None else stored_rates(weights), seed=0)
        self.dim = self.model.dim
        first = self.model if isinstance(self.model, LrarNetwork) else self.model.each()[0]
        make_phases(len(first.masks), recipe, phases)  # refuses epochs and schedules that do not fit the masks
        if weights is not None:
            load_weights(self.model, weights)
        self.model = _placed(self.model, device)

    @staticmethod
    def starting_file(*, architecture: str, pretrained: str, **_: object) -> Path | None:
        """The ImageNet file that a training with these parameters starts from.

        Raises:
            DataError: it is not in the weights folder.
        """
        known = BODIES.get(architecture)
        return imagenet_file(architecture, known) if known and pretrained == "imagenet" else None

    @staticmethod
    def varies(parameters: Mapping[str, Any]) -> bool:
        """Whether features have a length by level with these parameters; see `crbench.api.VariesInLength`."""
        return bool(parameters.get("length") != "full")

    def extract(self, batch: Batch) -> Encoded:
        """Whole features f32[b, dim], and by level how many of their leading columns count (none are cut out)."""
        levels = torch.from_numpy(quantise(batch.rates, self.model.rates.tolist(), self._assign))
        device = self.model.rates.device
        inputs = batch.inputs.to(device, memory_format=torch.channels_last)
        with torch.inference_mode():
            features, codes = self.model(inputs, levels.to(device))
        # ordinary tensors, so that an aligner may use them in a computation with gradients
        dims = None if self._blueprint.shape.length == "full" else codes.float().sum(dim=1).long().clone()
        return Encoded(x=features.float().clone(), dims=dims)

    def for_inference(self) -> LrarBackbone:
        """A backbone of the same features but for roundings, whose batch normalisations are folded."""
        faster, device = copy.copy(self), self.model.rates.device
        levels = 1 + torch.arange(len(self.model.rates), device=device)
        faster.model = folded(self.model, torch.zeros(len(levels), 3, *self.preprocess.size, device=device), levels)
        return faster

    def train(self, rows: Samples, read: Reader, *, run: RunContext) -> LrarBackbone:
        """A new backbone with a level for each rate that occurs; `self` is unchanged.

        It starts from this backbone's weights if they came from a file, otherwise from random ones of ``run.seed``.

        Raises:
            DataError: fewer than two persons, weights whose levels are others than those of `rows`, or an image that
                cannot be read.
            CrbenchError: training diverged.
        """
        rows = with_copies(rows, self._rates)
        rates = tuple(sorted({1.0, *rows.rates.tolist()}, reverse=True))
        trained = copy.copy(self)
        trained.model = self._initial(rates, run.seed)
        trained._start = "weights"
        parts = networks_with_rows(trained.model, rows)
        # one checkpoint belongs to one training
        session = run.session if len(parts) == 1 else attrs.evolve(run.session, checkpoint=None)
        for network, part in parts:
            trained._fit(network, part, read, attrs.evolve(run, session=session))
        trained.model = _placed(trained.model, run.device)
        return trained

    def gallery_for(self, gallery: TestRows, rate: float) -> TestRows:
        """Rates of gallery rows as queries at `rate` are compared with; see `crbench.api.GalleryByRate`."""
        if self._gallery == "own":
            return gallery
        rates = np.full(len(gallery), rate, dtype=np.float32)
        # at the query's level, native rates too, so that the images stay as they are
        native_rates = rates if self._gallery == "query-level" else gallery.native_rates
        return attrs.evolve(gallery, rates=rates, native_rates=native_rates)

    def state(self) -> Mapping[str, Tensor]:
        """All parameters and buffers of `model`, on the CPU."""
        return module_state(self.model)

    def _fit(self, network: LrarNetwork, rows: Samples, read: Reader, run: RunContext) -> None:
        """Train one network of this backbone in place."""
        recipe, sampler = self.recipe, None
        if len(np.unique(rows.rates)) > 1:
            sampler = MixedLevelSampler(rows, identities=recipe.identities, images=recipe.images, seed=run.seed)
        train_objective(
            lambda persons: LrarObjective(network, persons, self._losses),
            rows,
            read,
            phases=make_phases(len(network.masks), recipe, self._phases, sampler),
            preprocess=self.preprocess,
            run=run,
            name=f"lrar {self._blueprint.architecture}",
            snapshot=lambda: self,
        )

    def _built(self, rates: tuple[float, ...], seed: int) -> Model:
        return self._blueprint.build(rates, seed, imagenet=self._start == "imagenet")

    def _initial(self, rates: tuple[float, ...], seed: int) -> Model:
        """The model that a training with levels for `rates` starts from."""
        if self._start != "weights":
            return self._built(rates, seed)
        if tuple(self.model.rates.tolist()) != rates:
            raise DataError(
                f"lrar: the given weights have levels for the rates {self.model.rates.tolist()}, the training rows "
                f"{list(rates)}; choose the protocol that they were trained by, or train without weights"
            )
        return copy.deepcopy(self.model)


def _placed(model: Model, device: str) -> Model:
    return model.to(device).to(memory_format=torch.channels_last).eval()

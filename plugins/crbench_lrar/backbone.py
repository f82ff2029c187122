"""`LrarBackbone`: the resolution-adaptive network as a trainable backbone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from crbench.api import (
    ASSIGNMENTS,
    Assign,
    Batch,
    Encoded,
    Reader,
    RunContext,
    Samples,
    load_weights,
    quantise,
    read_tensors,
)
from crbench.errors import DataError
from crbench.training import Recipe, seeded, train_objective
from crbench_lrar.bodies import BODIES, Architecture
from crbench_lrar.network import LrarNetwork, Shape
from crbench_lrar.objective import Losses, LrarObjective
from crbench_lrar.per_rate import PerRateNetworks
from crbench_lrar.phases import make_phases
from crbench_lrar.pretrained import imagenet_file, load_imagenet
from crbench_lrar.sampler import MixedLevelSampler

DEFAULT_RATES = (4.0, 3.0, 2.0, 1.0)
GALLERIES = ("own", "query-level", "query-rate")
NETWORKS = ("shared", "per-rate")
PRETRAINED = ("none", "imagenet")


Model = LrarNetwork | PerRateNetworks


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
        masks, mask_mean, length, embedding: see `crbench_lrar.network.Shape`.
        cls_weight, verif_weight, classifier, verification, reduction: see `crbench_lrar.objective.Losses`.
        training, steps: see `crbench_lrar.phases.make_phases`.
        assign: level of a rate that was not trained; see `crbench.api.quantise`. Training does not depend on it.
        gallery: gallery images are encoded once, at their ``own`` level; or anew for each rate of the queries, as
            they are but with the masks of the ``query-level``, or shrunk to the ``query-rate``. Training does not
            depend on it.
        epochs, identities, images, optimizer, lr, weight_decay, warmup_epochs, schedule, milestones, flip, pad, amp,
            accumulate: see `crbench.training.Recipe`.

    Attributes:
        dim: feature length.
        preprocess: how images become input.
        model: the network, in evaluation mode.
        recipe: how `train` trains.

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
        masks: str = "stages",
        mask_mean: float = 0.0,
        length: str = "cumulative",
        embedding: bool = True,
        cls_weight: float = 1.0,
        verif_weight: float = 0.5,
        classifier: str = "prefix",
        verification: str = "prefix",
        reduction: str = "mean",
        training: str = "progressive",
        steps: str = "equal",
        assign: Assign = "nearest",
        gallery: str = "own",
        epochs: int = 12,
        identities: int = 8,
        images: int = 4,
        optimizer: str = "adam",
        lr: float = 3e-3,
        weight_decay: float = 5e-4,
        warmup_epochs: float = 1.5,
        schedule: str = "cosine",
        milestones: tuple[float, ...] = (),
        flip: float = 0.5,
        pad: int = 4,
        amp: str = "off",
        accumulate: int = 1,
    ) -> None:
        self.recipe = Recipe(
            epochs=epochs,
            identities=identities,
            images=images,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            warmup_epochs=warmup_epochs,
            schedule=schedule,
            milestones=milestones,
            label_smoothing=0.0,
            triplet_weight=0.0,
            flip=flip,
            pad=pad,
            erase=0.0,
            amp=amp,
            accumulate=accumulate,
        )
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
        self._name = architecture
        self._architecture: Architecture = BODIES[architecture]
        self._rates = tuple(rates)
        self._per_rate = networks == "per-rate"
        self._shape = Shape(masks=masks, mask_mean=mask_mean, length=length, embedding=embedding)
        self._losses = Losses(
            cls_weight=cls_weight,
            verif_weight=verif_weight,
            classifier=classifier,
            verification=verification,
            reduction=reduction,
        )
        self._training, self._steps = training, steps
        self._assign = assign
        self._gallery = gallery
        self._start = "all" if weights is not None else pretrained
        self.preprocess = self._architecture.preprocess
        self.model = self._build(DEFAULT_RATES if weights is None else _stored_rates(weights), seed=0)
        self.dim = self.model.dim
        first = self.model if isinstance(self.model, LrarNetwork) else self.model.each()[0]
        make_phases(len(first.masks), self.recipe, training, steps)
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
        dims = None if self._shape.length == "full" else codes.float().sum(dim=1).long().clone()
        return Encoded(x=features.float().clone(), dims=dims)

    def train(self, rows: Samples, read: Reader, *, run: RunContext) -> LrarBackbone:
        """A new backbone with a level for each rate that occurs; `self` is unchanged.

        It starts from this backbone's weights if they came from a file, otherwise from random ones of ``run.seed``.

        Raises:
            DataError: fewer than two persons, weights whose levels are others than those of `rows`, or a image that
                cannot be read.
            CrbenchError: training diverged.
        """
        rows = with_copies(rows, self._rates)
        rates = tuple(sorted({1.0, *rows.rates.tolist()}, reverse=True))
        trained = copy.copy(self)
        trained.model = self._initial(rates, run.seed)
        trained._start = "all"
        parts = self._parts(trained.model, rows)
        # one checkpoint belongs to one training
        session = run.session if len(parts) == 1 else attrs.evolve(run.session, checkpoint=None)
        for network, part in parts:
            trained._fit(network, part, read, attrs.evolve(run, session=session))
        trained.model = _placed(trained.model, run.device)
        return trained

    def gallery_for(self, gallery: Samples, rate: float) -> Samples:
        """Gallery rows as queries at `rate` are compared with; see `crbench.api.GalleryByRate`."""
        if self._gallery == "query-rate":
            return gallery.at_rate(rate)
        if self._gallery == "query-level":
            # native_rate too, so that the images stay as they are
            return gallery.at_rate(rate, as_stored=True)
        return gallery

    def state(self) -> Mapping[str, Tensor]:
        """All parameters and buffers of `model`, on the CPU."""
        return {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in self.model.state_dict().items()
        }

    def _fit(self, network: LrarNetwork, rows: Samples, read: Reader, run: RunContext) -> None:
        """Train one network of this backbone in place."""
        recipe, sampler = self.recipe, None
        if len(np.unique(rows.rates)) > 1:
            sampler = MixedLevelSampler(rows, identities=recipe.identities, images=recipe.images, seed=run.seed)
        train_objective(
            lambda persons: LrarObjective(network, persons, self._losses),
            rows,
            read,
            phases=make_phases(len(network.masks), recipe, self._training, self._steps, sampler),
            preprocess=self.preprocess,
            run=run,
            name=f"lrar {self._name}",
            snapshot=lambda: self,
        )

    def _parts(self, model: Model, rows: Samples) -> list[tuple[LrarNetwork, Samples]]:
        """Each network with the rows that it is trained on."""
        if isinstance(model, LrarNetwork):
            return [(model, rows)]
        rates = model.rates.tolist()
        return [(network, rows.take(rows.rates == rate)) for network, rate in zip(model.each(), rates, strict=False)]

    def _build(self, rates: tuple[float, ...], seed: int) -> Model:
        """A model with initial weights from `seed`; per-rate networks start alike."""
        with seeded(seed):
            network = LrarNetwork(self._architecture.build(), rates, self._shape)
        if self._start == "imagenet":
            load_imagenet(network.body.network, self._name, self._architecture)
        if not self._per_rate:
            return network
        return PerRateNetworks([network, *(copy.deepcopy(network) for _ in rates[2:])])

    def _initial(self, rates: tuple[float, ...], seed: int) -> Model:
        if self._start != "all":
            return self._build(rates, seed)
        if tuple(self.model.rates.tolist()) != rates:
            raise DataError(
                f"lrar: the given weights have levels for the rates {self.model.rates.tolist()}, the training rows "
                f"{list(rates)}; choose the protocol that they were trained by, or train without weights"
            )
        return copy.deepcopy(self.model)


def with_copies(rows: Samples, rates: tuple[float, ...]) -> Samples:
    """Training rows, and the HR ones again at each of `rates` at which they do not occur.

    Example:
        >>> with_copies(Samples(keys=["a"], pids=[1]), (2.0, 4.0)).rates.tolist()
        [1.0, 2.0, 4.0]
    """
    hr = rows.take(rows.rates == 1)
    copied = {rate for rate in rates if np.isin(hr.keys, rows.keys[rows.rates == np.float32(rate)]).all()}
    return Samples.concat([rows, *(hr.at_rate(rate) for rate in rates if rate not in copied)])


def _stored_rates(weights: Path) -> tuple[float, ...]:
    """The rates of the levels that a weights file was trained on.

    Raises:
        DataError: it holds none.
    """
    rates = read_tensors(weights).get("rates")
    if rates is None or rates.ndim != 1 or len(rates) == 0:
        raise DataError(f"weights {weights}: no 'rates' of levels in it; it is not a file of an lrar backbone")
    return tuple(rates.float().tolist())


def _placed(model: Model, device: str) -> Model:
    return model.to(device).to(memory_format=torch.channels_last).eval()

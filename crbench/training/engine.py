"""The training loop: phases one after the other, each with its recipe, over one `Objective`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.errors import CrbenchError, DataError
from crbench.interfaces import Preprocess, Reader, Run, Tracker
from crbench.records import Samples
from crbench.training.augment import augment
from crbench.training.embedder import Embedder
from crbench.training.objective import IdTriplet, Objective, TrainBatch, optimizer_for
from crbench.training.pictures import Pictures
from crbench.training.recipe import Recipe, learning_rate
from crbench.training.sampler import PKSampler, Sampler
from crbench.training.seeding import seeded


@attrs.frozen
class Epoch:
    """Means over the batches of one epoch.

    Attributes:
        phase: name of its phase.
        loss: what was minimised.
        figures: what the objective reports beside it, such as ``id_loss`` and ``accuracy``.
    """

    phase: str
    loss: float
    figures: Mapping[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.3f}" for name, value in {"loss": self.loss, **self.figures}.items())


History: TypeAlias = tuple[Epoch, ...]


@attrs.frozen(eq=False)
class Phase:
    """A part of a training; optimizer and schedule start anew in each.

    Attributes:
        name: for messages and the history.
        recipe: how this phase trains.
        begin: called with the objective before the phase, for example to freeze parameters. It is called again, in
            order, where a stopped training continues, so it must not depend on anything else.
        sampler: batches of row numbers; None = `PKSampler` by the recipe.
    """

    name: str
    recipe: Recipe
    begin: Callable[[Any], None] | None = None
    sampler: Sampler | None = None


def train(
    model: Embedder,
    rows: Samples,
    read: Reader,
    *,
    recipe: Recipe,
    preprocess: Preprocess,
    run: Run,
    name: str = "model",
) -> History:
    """Train `model` in place with ID loss and triplet loss; see `train_objective`.

    Args:
        rows: pictures of at least two persons; each distinct pid is a class.
        name: names the model in progress and messages.

    Returns:
        One record per epoch.
    """
    return train_objective(
        lambda persons: IdTriplet(model, persons, recipe),
        rows,
        read,
        phases=[Phase("train", recipe)],
        preprocess=preprocess,
        run=run,
        name=name,
    )


def train_objective(
    build: Callable[[int], Objective],
    rows: Samples,
    read: Reader,
    *,
    phases: Sequence[Phase],
    preprocess: Preprocess,
    run: Run,
    name: str = "model",
) -> History:
    """Train what `build` gives; it ends on ``run.device`` and in evaluation mode.

    On the CPU the same seed, machine and number of threads give the same weights bit for bit. The global random
    generators are left as they were.

    Args:
        build: called once with the number of persons, while torch's generators start from ``run.seed``.
        rows: pictures of at least two persons, HR and LR as the method wants them; pid number i of the sorted distinct
            pids is class i.
        phases: at least one.
        name: names the model in progress and messages.

    Returns:
        One record per epoch, phase after phase.

    Raises:
        DataError: fewer than two persons, or a picture that cannot be read.
        CrbenchError: the loss or a weight is no longer finite.
    """
    persons, labels = np.unique(rows.pids, return_inverse=True)
    if len(persons) < 2:
        raise DataError(f"train {name}: {len(rows)} training rows of {len(persons)} persons; at least 2 are needed")
    pictures = Pictures(rows, read, preprocess, run=run)
    with seeded(run.seed, run.device), torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        objective = build(len(persons)).to(torch.device(run.device)).to(memory_format=torch.channels_last)
        loop = _Loop(objective, _Source(pictures, rows, labels, preprocess, run), phases, run, name)
        history = loop.run()
    objective.eval()
    return history


class _Source:
    """Augmented batches on the device, drawn from pictures and what is known of them."""

    def __init__(
        self, pictures: Pictures, rows: Samples, labels: NDArray[np.intp], preprocess: Preprocess, run: Run
    ) -> None:
        self._pictures = pictures
        self._facts = [torch.from_numpy(fact.copy()) for fact in (labels, rows.rates, rows.camids)]
        self._preprocess = preprocess
        self._device = torch.device(run.device)
        self.labels = labels
        self.generator = torch.Generator().manual_seed(run.seed)

    def batches(self, order: Sequence[NDArray[np.intp]], recipe: Recipe) -> Iterator[TrainBatch]:
        """One `TrainBatch` for each array of row numbers."""
        for indices, pictures in zip(order, self._pictures.batches(order), strict=True):
            labels, rates, camids = (fact[torch.from_numpy(indices)].to(self._device) for fact in self._facts)
            inputs = augment(pictures.to(self._device), recipe, self._preprocess, self.generator)
            yield TrainBatch(inputs=inputs, labels=labels, rates=rates, camids=camids)


class _Loop:
    """The state of one training; optimizer and sampler belong to the phase at hand."""

    def __init__(self, objective: Objective, source: _Source, phases: Sequence[Phase], run: Run, name: str) -> None:
        self._objective = objective.train()
        self._source = source
        self._phases = [(phase, phase.sampler or self._pk_sampler(phase.recipe, run.seed)) for phase in phases]
        self._run = run
        self._name = name
        self._epochs = sum(phase.recipe.epochs for phase in phases)

    def run(self) -> History:
        total = sum(phase.recipe.epochs * sampler.steps * sampler.batch_size for phase, sampler in self._phases)
        history: list[Epoch] = []
        with self._run.progress(total, f"train {self._name}", "image") as progress:
            for phase, sampler in self._phases:
                self._phase(phase, sampler, history, progress)
        return tuple(history)

    def _phase(self, phase: Phase, sampler: Sampler, history: list[Epoch], progress: Tracker) -> None:
        if phase.begin is not None:
            phase.begin(self._objective)
        optimizer = optimizer_for(self._objective, phase.recipe)
        for number in range(phase.recipe.epochs):
            epoch = self._epoch(phase, number, sampler.epoch(len(history)), optimizer, progress)
            history.append(epoch)
            done = len(history)
            self._run.logger.info("train %s: epoch %d of %d: %s", self._name, done, self._epochs, epoch)
        if not all(torch.isfinite(tensor).all() for tensor in self._objective.state_dict().values()):
            raise self._diverged("a weight", phase, phase.recipe.epochs - 1)

    def _epoch(
        self,
        phase: Phase,
        number: int,
        order: Sequence[NDArray[np.intp]],
        optimizer: torch.optim.Optimizer,
        progress: Tracker,
    ) -> Epoch:
        sums: dict[str, float] = {}
        for step, batch in enumerate(self._source.batches(order, phase.recipe)):
            lr = learning_rate(phase.recipe, number + step / len(order))
            for group in optimizer.param_groups:
                group["lr"] = lr * group["lr_factor"]
            latest = self._step(batch, optimizer)
            if not math.isfinite(latest["loss"]):
                raise self._diverged(f"the loss ({latest['loss']})", phase, number)
            sums = {figure: sums.get(figure, 0.0) + value for figure, value in latest.items()}
            progress.advance(len(batch.labels), loss=latest["loss"])
        means = {figure: value / len(order) for figure, value in sums.items()}
        return Epoch(phase=phase.name, loss=means.pop("loss"), figures=means)

    def _step(self, batch: TrainBatch, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """One update; the loss and the objective's figures."""
        loss, figures = self._objective(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # one copy from the device for all figures
        values: list[float] = torch.stack([loss, *figures.values()]).detach().cpu().tolist()
        return dict(zip(("loss", *figures), values, strict=True))

    def _pk_sampler(self, recipe: Recipe, seed: int) -> Sampler:
        return PKSampler(self._source.labels, identities=recipe.identities, images=recipe.images, seed=seed)

    def _diverged(self, what: str, phase: Phase, epoch: int) -> CrbenchError:
        recipe = phase.recipe
        where = f"epoch {epoch + 1} of {recipe.epochs}" + (f" of phase {phase.name}" if len(self._phases) > 1 else "")
        return CrbenchError(
            f"train {self._name}: {what} is not finite in {where}; lower lr (now {recipe.lr:g}) or raise "
            f"warmup_epochs (now {recipe.warmup_epochs:g})"
        )

"""The training loop: ID loss after a BN neck, triplet loss before it (Luo et al., CVPRW 2019, Sec. 3)."""

from __future__ import annotations

import math
from typing import TypeAlias

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from crbench.errors import CrbenchError, DataError
from crbench.interfaces import Preprocess, Reader, Run, Tracker
from crbench.records import Samples
from crbench.training.augment import augment
from crbench.training.embedder import Embedder
from crbench.training.losses import batch_hard_triplet
from crbench.training.pictures import Pictures
from crbench.training.recipe import Recipe, learning_rate
from crbench.training.sampler import PKSampler
from crbench.training.seeding import seeded


@attrs.frozen
class Epoch:
    """Means over the batches of one epoch.

    Attributes:
        loss: ID loss plus weighted triplet loss.
        id_loss, triplet_loss: the parts, without weight.
        accuracy: share of (augmented) pictures whose person was classified rightly, in [0, 1].
    """

    loss: float
    id_loss: float
    triplet_loss: float
    accuracy: float

    def __str__(self) -> str:
        return f"loss {self.loss:.3f}, ID loss {self.id_loss:.3f}, accuracy {100 * self.accuracy:.1f} %"


History: TypeAlias = tuple[Epoch, ...]


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
    """Train `model` in place on HR pictures; it ends on ``run.device`` and in evaluation mode.

    On the CPU the same seed, machine and number of threads give the same weights bit for bit. The global random
    generators are left as they were.

    Args:
        rows: pictures of at least two persons; each distinct pid is a class.
        name: names the model in progress and messages.

    Returns:
        One record per epoch.

    Raises:
        DataError: fewer than two persons, or a picture that cannot be read.
        CrbenchError: the loss or a weight is no longer finite.
    """
    persons, labels = np.unique(rows.pids, return_inverse=True)
    if len(persons) < 2:
        raise DataError(f"train {name}: {len(rows)} training rows of {len(persons)} persons; at least 2 are needed")
    pictures = Pictures(rows, read, preprocess, run=run)
    with seeded(run.seed, run.device), torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        loop = _Loop(model, pictures, labels, recipe, preprocess, run, name)
        history = loop.run()
    model.eval()
    return history


class _Loop:
    """The state of one training: classifier, optimizer, sampler and the generator of the augmentation."""

    def __init__(
        self,
        model: Embedder,
        pictures: Pictures,
        labels: NDArray[np.intp],
        recipe: Recipe,
        preprocess: Preprocess,
        run: Run,
        name: str,
    ) -> None:
        self._device = torch.device(run.device)
        self._model = model.to(self._device).to(memory_format=torch.channels_last).train()
        self._classifier = _classifier(model.dim, int(labels.max()) + 1).to(self._device)
        parameters = [p for module in (model, self._classifier) for p in module.parameters() if p.requires_grad]
        self._optimizer = _optimizer(parameters, recipe)
        self._pictures = pictures
        self._labels = labels
        self._recipe = recipe
        self._preprocess = preprocess
        self._run = run
        self._name = name
        self._sampler = PKSampler(labels, identities=recipe.identities, images=recipe.images, seed=run.seed)
        self._generator = torch.Generator().manual_seed(run.seed)

    def run(self) -> History:
        epochs = self._recipe.epochs
        total = epochs * self._sampler.steps * self._sampler.batch_size
        history = []
        with self._run.progress(total, f"train {self._name}", "image") as progress:
            for number in range(epochs):
                epoch = self._epoch(number, progress)
                self._run.logger.info("train %s: epoch %d of %d: %s", self._name, number + 1, epochs, epoch)
                history.append(epoch)
        if not all(torch.isfinite(tensor).all() for tensor in self._model.state_dict().values()):
            raise self._diverged("a weight", epochs - 1)
        return tuple(history)

    def _epoch(self, number: int, progress: Tracker) -> Epoch:
        order = self._sampler.epoch(number)
        figures = torch.zeros(4, dtype=torch.float64)
        for step, (indices, batch) in enumerate(zip(order, self._pictures.batches(order), strict=True)):
            lr = learning_rate(self._recipe, number + step / len(order))
            for group in self._optimizer.param_groups:
                group["lr"] = lr
            latest = self._step(batch.to(self._device), torch.from_numpy(self._labels[indices]).to(self._device)).cpu()
            if not math.isfinite(latest[0]):
                raise self._diverged(f"the loss ({latest[0].item()})", number)
            figures += latest
            progress.advance(len(indices), loss=latest[0].item())
        return Epoch(*(figures / len(order)).tolist())

    def _step(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """One update; loss, ID loss, triplet loss and accuracy as f32[4]."""
        inputs = augment(pictures, self._recipe, self._preprocess, self._generator)
        before, after = self._model(inputs)
        logits = self._classifier(after)
        id_loss = functional.cross_entropy(logits, labels, label_smoothing=self._recipe.label_smoothing)
        triplet = batch_hard_triplet(before, labels)
        loss = id_loss + self._recipe.triplet_weight * triplet
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return torch.stack([loss, id_loss, triplet, accuracy]).detach()

    def _diverged(self, what: str, epoch: int) -> CrbenchError:
        return CrbenchError(
            f"train {self._name}: {what} is not finite in epoch {epoch + 1} of {self._recipe.epochs}; lower lr "
            f"(now {self._recipe.lr:g}) or raise warmup_epochs (now {self._recipe.warmup_epochs:g})"
        )


def _classifier(dim: int, persons: int) -> nn.Linear:
    """Without bias and with small weights, as the neck's features have zero mean (Luo et al., CVPRW 2019, Sec. 3.6)."""
    classifier = nn.Linear(dim, persons, bias=False)
    nn.init.normal_(classifier.weight, std=0.001)
    return classifier


def _optimizer(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=recipe.lr, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay, fused=True
        )
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)

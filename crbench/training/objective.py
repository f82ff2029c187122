"""What the engine trains: an `Objective`, one module with all parameters that computes the loss of a batch."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

from crbench.training.embedder import Embedder
from crbench.training.losses import CenterLoss, batch_hard_triplet
from crbench.training.recipe import Recipe


@attrs.frozen(eq=False)
class TrainBatch:
    """A batch of training images, on the training's device.

    Attributes:
        inputs: f32[b, 3, height, width], augmented and normalised.
        labels: i64[b], class of each image's person, from 0.
        rates: f32[b], down-sampling rate, 1 = HR.
        camids: i64[b], as in the data set.
    """

    inputs: Tensor
    labels: Tensor
    rates: Tensor
    camids: Tensor


@attrs.frozen(eq=False)
class ParameterGroup:
    """Parameters that share the optimizer's settings.

    Attributes:
        lr_factor: the learning rate of the schedule is multiplied by it.
        weight_decay: None = that of the recipe.
    """

    parameters: Sequence[nn.Parameter]
    lr_factor: float = 1.0
    weight_decay: float | None = None


Loss: TypeAlias = tuple[Tensor, Mapping[str, Tensor]]
"""The scalar to minimise, and scalars to report beside it (each is averaged over an epoch's batches)."""


class Objective(nn.Module, abc.ABC):
    """A network with its losses. It holds all parameters and buffers of the training, so that checkpoints are complete.

    Example:
        >>> class Norm(Objective):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.scale = nn.Parameter(torch.ones(()))
        ...     def forward(self, batch):
        ...         loss = (self.scale * batch.inputs).square().mean()
        ...         return loss, {"scale": self.scale.detach()}
        >>> [len(group.parameters) for group in Norm().groups(Recipe())]
        [1]
    """

    @abc.abstractmethod
    def forward(self, batch: TrainBatch) -> Loss:
        """The loss of a batch, or of this process's share of it (see `crbench.training.gathered`).

        It may run under autocast.
        """

    def groups(self, recipe: Recipe) -> list[ParameterGroup]:
        """All parameters that require a gradient, each in one group; by default weights and biases, by `recipe`."""
        trained = [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]
        weights = [parameter for name, parameter in trained if not name.endswith("bias")]
        biases = [parameter for name, parameter in trained if name.endswith("bias")]
        groups = [
            ParameterGroup(weights),
            ParameterGroup(biases, lr_factor=recipe.bias_lr_factor, weight_decay=recipe.bias_weight_decay),
        ]
        return [group for group in groups if group.parameters]


class IdTriplet(Objective):
    """ID loss after the BN neck, soft-margin triplet and center loss before it (Luo et al., CVPRW 2019, Sec. 3).

    Args:
        model: trained in place.
        persons: number of classes.
        recipe: its label smoothing and weights of losses are used.
    """

    def __init__(self, model: Embedder, persons: int, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.classifier = identity_classifier(model.dim, persons)
        self.center_loss = CenterLoss(persons, model.dim) if recipe.center_weight else None
        self._recipe = recipe

    def forward(self, batch: TrainBatch) -> Loss:
        """Loss, with its parts (without their weights) and ``accuracy`` in [0, 1]."""
        before, after = self.model(batch.inputs)
        logits = self.classifier(after).float()
        id_loss = functional.cross_entropy(logits, batch.labels, label_smoothing=self._recipe.label_smoothing)
        triplet = batch_hard_triplet(before, batch.labels)
        figures = {"id_loss": id_loss, "triplet_loss": triplet}
        loss = id_loss + self._recipe.triplet_weight * triplet
        if self.center_loss is not None:
            figures["center_loss"] = self.center_loss(before, batch.labels)
            loss = loss + self._recipe.center_weight * figures["center_loss"]
        accuracy = (logits.argmax(dim=1) == batch.labels).float().mean()
        return loss, {**figures, "accuracy": accuracy}


def identity_classifier(dim: int, persons: int) -> nn.Linear:
    """A classifier without bias, as the neck's features have zero mean, and with small weights.

    Luo et al., CVPRW 2019, Sec. 3.6.

    Example:
        >>> identity_classifier(8, 3).weight.abs().max().item() < 0.01
        True
    """
    classifier = nn.Linear(dim, persons, bias=False)
    nn.init.normal_(classifier.weight, std=0.001)
    return classifier


def optimizer_for(objective: Objective, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer for the objective's groups, which keep their ``lr_factor``."""
    groups = [
        {
            "params": list(group.parameters),
            "lr_factor": group.lr_factor,
            "weight_decay": recipe.weight_decay if group.weight_decay is None else group.weight_decay,
        }
        for group in objective.groups(recipe)
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=recipe.nesterov, fused=True)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.lr, fused=True)

"""What training minimises: ID and triplet losses of the global feature and of the local ones (He et al., Sec. 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from crbench.training import Objective, Recipe, TrainBatch, batch_hard_triplet
from crbench_transreid.checkpoint import is_idle
from crbench_transreid.network import TransReID


class TransReIDObjective(Objective):
    """A network with the losses of the paper: one half for the global feature, one half for the mean of the local ones.

    ID losses follow the necks, whose shifts stay 0; triplet losses go before them. Parts that no feature depends on
    are not trained.

    Args:
        model: trained in place, with new classifiers; side information, if it has any, is one embedding per camera.
        persons: number of classes.
        recipe: gives the label smoothing and the weight of the triplet loss.
    """

    def __init__(self, model: TransReID, persons: int, recipe: Recipe) -> None:
        super().__init__()
        model.classify(persons)
        self.model = model
        self._recipe = recipe
        for name, parameter in model.named_parameters():
            idle = is_idle(name, model) and not name.startswith("classifier")
            parameter.requires_grad_(not idle and not (name.startswith("bottleneck") and name.endswith("bias")))

    def forward(self, batch: TrainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss, with ``id_loss``, ``triplet_loss`` (without its weight) and ``accuracy`` of the global classifier."""
        embeddings = self.model.base.sie_embed
        side = None if embeddings is None else embeddings[batch.camids - 1, 0]
        before = self.model.parts(batch.inputs, side)
        logits = [part.float() for part in self.model.logits(self.model.necks(before))]
        smoothing = self._recipe.label_smoothing
        id_loss = _halves([functional.cross_entropy(part, batch.labels, label_smoothing=smoothing) for part in logits])
        triplet = _halves([batch_hard_triplet(part, batch.labels) for part in before])
        accuracy = (logits[0].argmax(dim=1) == batch.labels).float().mean()
        loss = id_loss + self._recipe.triplet_weight * triplet
        return loss, {"id_loss": id_loss, "triplet_loss": triplet, "accuracy": accuracy}


def _halves(losses: list[Tensor]) -> Tensor:
    """The global loss, or the mean of it and the mean of the local ones."""
    return losses[0] if len(losses) == 1 else (losses[0] + torch.stack(losses[1:]).mean()) / 2

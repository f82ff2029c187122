"""What LRAR trains: identities from zero-padded prefixes, and whether two features are one person's."""

from __future__ import annotations

import attrs
from attrs import validators as v
from torch import Tensor, nn
from torch.nn import functional

from crbench.training import Objective, ParameterGroup, Recipe, TrainBatch
from crbench_lrar.losses import Verifier, differences, own_codes, sample_pairs, verification_loss
from crbench_lrar.network import LrarNetwork

CLASSIFIERS = ("prefix", "own")
VERIFICATIONS = ("prefix", "padded")
REDUCTIONS = ("mean", "sum")


@attrs.frozen(kw_only=True)
class Losses:
    """Weights and readings of the losses.

    Attributes:
        cls_weight, verif_weight: of the ID and of the verification loss; 0 leaves a loss out.
        classifier: the ID loss sees the whole ``prefix``, or the ``own`` sub-vector v_k of the level alone.
        verification: pairs are cut to their common ``prefix``, or each to its own and ``padded``.
        reduction: of the verification loss, ``mean`` or ``sum``.

    Raises:
        ValueError: an unknown choice, a negative weight, or no loss at all.
    """

    cls_weight: float = attrs.field(default=1.0, validator=v.ge(0))
    verif_weight: float = attrs.field(default=0.5, validator=v.ge(0))
    classifier: str = attrs.field(default="prefix", validator=v.in_(CLASSIFIERS))
    verification: str = attrs.field(default="prefix", validator=v.in_(VERIFICATIONS))
    reduction: str = attrs.field(default="mean", validator=v.in_(REDUCTIONS))

    def __attrs_post_init__(self) -> None:
        if self.cls_weight == self.verif_weight == 0:
            raise ValueError("'cls_weight' and 'verif_weight' are both 0; one of them must be > 0")


class LrarObjective(Objective):
    """ID loss of a bias-free classifier plus weighted verification loss (Wu et al., TIP 2023, Eq. 4).

    Args:
        network: trained in place.
        persons: number of classes.
    """

    def __init__(self, network: LrarNetwork, persons: int, losses: Losses) -> None:
        super().__init__()
        self.network = network
        self.classifier = nn.Linear(network.dim, persons, bias=False)
        self.verifier = Verifier(network.dim)
        self._losses = losses

    def forward(self, batch: TrainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss, with ``id_loss``, ``verif_loss`` (both without weight) and ``accuracy`` in [0, 1]."""
        levels = level_tensor(self.network, batch.rates)
        features, codes = self.network(batch.inputs, levels)
        own = self._losses.classifier == "own"
        logits = self.classifier(features * (own_codes(codes, levels, self.network.lengths) if own else codes)).float()
        id_loss = functional.cross_entropy(logits, batch.labels)
        verif_loss = self._verification(features, codes, batch.labels)
        loss = self._losses.cls_weight * id_loss + self._losses.verif_weight * verif_loss
        accuracy = (logits.argmax(dim=1) == batch.labels).float().mean()
        return loss, {"id_loss": id_loss.detach(), "verif_loss": verif_loss.detach(), "accuracy": accuracy}

    def groups(self, recipe: Recipe) -> list[ParameterGroup]:
        """Masks without weight decay, all others as the recipe asks."""
        masks = list(self.network.masks.trained())
        known = {id(mask) for mask in masks}
        others = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        return [ParameterGroup(others), *([ParameterGroup(masks, weight_decay=0.0)] if masks else [])]

    def _verification(self, features: Tensor, codes: Tensor, labels: Tensor) -> Tensor:
        pairs, same = sample_pairs(labels)
        padded = self._losses.verification == "padded"
        logits = self.verifier(differences(features, codes, pairs.to(features.device), padded=padded))
        return verification_loss(logits, same, self._losses.reduction)


def level_tensor(network: LrarNetwork, rates: Tensor) -> Tensor:
    """Levels i64[b] of training rates f32[b], which are among the network's own."""
    known = network.rates
    levels: Tensor = (rates[:, None] - known[None, :]).abs().argmin(dim=1) + 1
    return levels

"""`Recipe`: how a backbone is trained, as data; and the learning rate that follows from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs
from attrs import validators as v

from crbench.config.amp import AMP

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("cosine", "cosine-epochs", "step")
ERASE_FILLS = ("mean", "noise")


def _finite(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validate a number, which is not bool, infinite or nan."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"'{attribute.name}' must be a finite number: {value!r}")


def _whole(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validate an integer, which is not bool."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"'{attribute.name}' must be a whole number: {value!r}")


def _epochs(value: Iterable[float]) -> tuple[float, ...]:
    return tuple(value)


_POSITIVE: Any = [_finite, v.gt(0)]
_NOT_NEGATIVE: Any = [_finite, v.ge(0)]
_SHARE: Any = [_finite, v.ge(0), v.le(1)]


@attrs.frozen(kw_only=True)
class Recipe:
    """How a backbone is trained; the defaults are those of Luo et al., "Bag of Tricks", CVPRW 2019, Sec. 3.

    Attributes:
        epochs: passes over the images (see `crbench.training.sampler`).
        identities, images: P persons and K images of each in a batch.
        optimizer: ``adam``, ``adamw`` or ``sgd`` (momentum 0.9).
        nesterov: of ``sgd``.
        lr: largest learning rate.
        weight_decay: of all trained parameters; decoupled from the gradient with ``adamw`` only.
        bias_lr_factor: the learning rate of biases is `lr` times this.
        bias_weight_decay: of biases; None = `weight_decay`.
        warmup_epochs: epochs in which the learning rate rises linearly to `lr`.
        warmup_start: share of `lr` at which the warm-up starts.
        schedule: ``cosine``: from the end of the warm-up to the end of the training; ``cosine-epochs``: over the whole
            training, with its beginning replaced by the warm-up, and constant within an epoch; ``step``: a tenth of the
            rate before at each of `milestones`.
        final_lr: share of `lr` at which a cosine ends.
        milestones: epochs, for ``step``.
        label_smoothing: share of the ID loss's target that is spread evenly over all persons.
        triplet_weight: factor of the soft-margin batch-hard triplet loss beside the ID loss.
        center_weight: factor of the center loss (0.0005 in the paper); 0 = none.
        flip: probability of a mirror image.
        pad: pixels of black border from which a random crop of the input's size is taken; 0 = none.
        erase: probability that a random rectangle is erased.
        erase_fill: with the ``mean`` colour, or Gaussian ``noise`` for each pixel.
        amp: half precision of the network: ``off``, ``bf16``, or ``fp16`` with a scaled loss.
        accumulate: batches per update; their gradients are averaged.

    Raises:
        ValueError, TypeError: a value of another kind or out of range; the message names the field.

    Example:
        >>> Recipe(epochs=3).batch_size
        64
    """

    epochs: int = attrs.field(default=120, validator=[_whole, v.ge(1)])
    identities: int = attrs.field(default=16, validator=[_whole, v.ge(2)])
    images: int = attrs.field(default=4, validator=[_whole, v.ge(2)])
    optimizer: str = attrs.field(default="adam", validator=v.in_(OPTIMIZERS))
    nesterov: bool = attrs.field(default=True, validator=v.instance_of(bool))
    lr: float = attrs.field(default=3.5e-4, validator=_POSITIVE)
    weight_decay: float = attrs.field(default=5e-4, validator=_NOT_NEGATIVE)
    bias_lr_factor: float = attrs.field(default=1.0, validator=_POSITIVE)
    bias_weight_decay: float | None = attrs.field(default=None, validator=v.optional(_NOT_NEGATIVE))
    warmup_epochs: float = attrs.field(default=10, validator=_NOT_NEGATIVE)
    warmup_start: float = attrs.field(default=0.1, validator=_SHARE)
    schedule: str = attrs.field(default="step", validator=v.in_(SCHEDULES))
    milestones: tuple[float, ...] = attrs.field(
        default=(40, 70), converter=_epochs, validator=v.deep_iterable(v.and_(*_POSITIVE))
    )
    final_lr: float = attrs.field(default=0.0, validator=_SHARE)
    label_smoothing: float = attrs.field(default=0.1, validator=_SHARE)
    triplet_weight: float = attrs.field(default=1.0, validator=_NOT_NEGATIVE)
    center_weight: float = attrs.field(default=0.0, validator=_NOT_NEGATIVE)
    flip: float = attrs.field(default=0.5, validator=_SHARE)
    pad: int = attrs.field(default=10, validator=[_whole, v.ge(0)])
    erase: float = attrs.field(default=0.5, validator=_SHARE)
    erase_fill: str = attrs.field(default="mean", validator=v.in_(ERASE_FILLS))
    amp: str = attrs.field(default="off", validator=v.in_(AMP))
    accumulate: int = attrs.field(default=1, validator=[_whole, v.ge(1)])

    @property
    def batch_size(self) -> int:
        """Images in a full batch, P x K."""
        return self.identities * self.images


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The learning rate after `epoch` epochs, which may be a fraction.

    The warm-up is a factor on the schedule, so a milestone within the warm-up counts, too.

    Example:
        >>> recipe = Recipe(epochs=10, lr=1.0, warmup_epochs=2, schedule="cosine")
        >>> [round(learning_rate(recipe, epoch), 3) for epoch in (0, 1, 2, 6, 10)]
        [0.1, 0.55, 1.0, 0.5, 0.0]
    """
    if recipe.schedule == "cosine-epochs":
        return recipe.lr * _whole_cosine(recipe, math.floor(epoch) + 1)
    share = 0.0 if epoch >= recipe.warmup_epochs else 1 - epoch / recipe.warmup_epochs
    warm = 1 - (1 - recipe.warmup_start) * share
    if recipe.schedule == "step":
        return recipe.lr * warm * 0.1 ** sum(epoch >= milestone for milestone in recipe.milestones)
    span = max(recipe.epochs - recipe.warmup_epochs, 1e-9)
    past = min(max(epoch - recipe.warmup_epochs, 0.0) / span, 1.0)
    return recipe.lr * warm * _cosine(past, recipe.final_lr)


def _whole_cosine(recipe: Recipe, number: int) -> float:
    """Share of the learning rate in epoch `number`, from 1: the schedule of the TransReID paper's code."""
    if number < recipe.warmup_epochs:
        return recipe.warmup_start + (1 - recipe.warmup_start) * number / recipe.warmup_epochs
    return _cosine(min(number / recipe.epochs, 1.0), recipe.final_lr)


def _cosine(past: float, final: float) -> float:
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * past))

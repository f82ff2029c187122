"""What a training consists of and what it leaves behind: `Phase` and `Epoch`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from crbench.training.recipe import Recipe
from crbench.training.sampler import Sampler


@attrs.frozen
class Epoch:
    """Means over the batches of one epoch.

    Attributes:
        phase: name of its phase.
        loss: what was minimised.
        figures: what the objective reports beside it, such as ``id_loss`` and ``accuracy``.
        lr: learning rate at the end of the epoch.
        images: pictures seen.
        seconds: wall time, without the evaluation.
        scores: of an evaluation after the epoch, if there was one.
    """

    phase: str
    loss: float
    figures: Mapping[str, float]
    lr: float = 0.0
    images: int = 0
    seconds: float = attrs.field(default=0.0, eq=False)
    scores: Mapping[str, float] = attrs.field(factory=dict)

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
        sampler: batches of row numbers; None = `crbench.training.PKSampler` by the recipe.
    """

    name: str
    recipe: Recipe
    begin: Callable[[Any], None] | None = None
    sampler: Sampler | None = None

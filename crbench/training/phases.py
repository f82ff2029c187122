"""`Phase`, a part of a training, and `History`, the records of its epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from crbench.api.context import Epoch
from crbench.training.recipe import Recipe
from crbench.training.sampler import Sampler

History: TypeAlias = tuple[Epoch, ...]


@attrs.frozen(eq=False)
class Phase:
    """A part of a training; each has a new optimizer and its own schedule.

    Attributes:
        name: for messages and the history.
        recipe: how this phase trains.
        begin: called with the objective before the phase, for example to freeze parameters. A training that continues
            after a stop calls the functions of all its phases again in order, so they must depend on nothing else.
        sampler: which rows make a batch; None = `crbench.training.PKSampler` by the recipe.
    """

    name: str
    recipe: Recipe
    begin: Callable[[Any], None] | None = None
    sampler: Sampler | None = None

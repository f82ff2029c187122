"""What a training consists of and what it leaves behind: `Phase` and `Epoch`."""

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

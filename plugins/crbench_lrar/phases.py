"""Training as phases: masks all at once, or one unit after the other from the classifier downwards (Algorithm 1)."""

from __future__ import annotations

import functools

import attrs
from attrs import validators as v

from crbench.training import Phase, Recipe, Sampler, learning_rate
from crbench_lrar.objective import LrarObjective

TRAININGS = ("progressive", "e2e")
STEPS = ("equal", "full", "single")


@attrs.frozen
class PhaseRule:
    """How a training is split into phases.

    Attributes:
        training: ``progressive``: each phase adds the masks of one more unit; or ``e2e``: one phase for all masks.
        steps: of progressive training: its epochs are split ``equal``, with warm-up and milestones scaled to each phase
            and restarted; or each phase has all of them (``full``); or they are split but keep the one schedule of the
            whole training (``single``).

    Raises:
        ValueError: an unknown choice.
    """

    training: str = attrs.field(default="progressive", validator=v.in_(TRAININGS))
    steps: str = attrs.field(default="equal", validator=v.in_(STEPS))


def make_phases(masks: int, recipe: Recipe, rule: PhaseRule, sampler: Sampler | None = None) -> list[Phase]:
    """The phases of a training.

    Progressive training begins with the masks after the last unit alone; each further phase adds those of the unit
    before and freezes the ones that it has (Wu et al., TIP 2023, Algorithm 1; its l = 1 is nearest the classifier).

    Args:
        masks: number of masked units; without any there is one phase.
        recipe: of the whole training.

    Raises:
        ValueError: fewer epochs than phases, or a single schedule that is not of kind ``step``.

    Example:
        >>> phases = make_phases(4, Recipe(epochs=120), PhaseRule())
        >>> [(phase.name, phase.recipe.epochs, phase.recipe.milestones) for phase in phases][:2]
        [('mask 4 of 4', 30, (10.0, 17.5)), ('mask 3 of 4', 30, (10.0, 17.5))]
    """
    if masks == 0 or rule.training == "e2e":
        return [Phase("all", recipe, begin=_use_all, sampler=sampler)]
    if rule.steps == "single" and recipe.schedule != "step":
        raise ValueError(f"steps: a single schedule over all phases must be of kind 'step', not {recipe.schedule!r}")
    if rule.steps != "full" and recipe.epochs < masks:
        raise ValueError(f"epochs: {recipe.epochs} are too few for progressive training in {masks} phases")
    return [
        Phase(
            f"mask {masks - number} of {masks}",
            _part(recipe, number, masks, rule.steps),
            begin=functools.partial(_use_last, count=number + 1),
            sampler=sampler,
        )
        for number in range(masks)
    ]


def _part(recipe: Recipe, number: int, count: int, steps: str) -> Recipe:
    """The recipe of phase `number` (from 0) of `count`."""
    if steps == "full":
        return recipe
    first, last = (recipe.epochs * edge // count for edge in (number, number + 1))
    if steps == "equal":
        share = (last - first) / recipe.epochs
        return attrs.evolve(
            recipe,
            epochs=last - first,
            warmup_epochs=recipe.warmup_epochs * share,
            milestones=tuple(epoch * share for epoch in recipe.milestones),
        )
    return attrs.evolve(
        recipe,
        epochs=last - first,
        lr=learning_rate(attrs.evolve(recipe, warmup_epochs=0), first),
        warmup_epochs=max(0.0, recipe.warmup_epochs - first),
        milestones=tuple(epoch - first for epoch in recipe.milestones if epoch > first),
    )


def _use_all(objective: LrarObjective) -> None:
    objective.network.masks.use_all()


def _use_last(objective: LrarObjective, count: int) -> None:
    objective.network.masks.use_last(count)

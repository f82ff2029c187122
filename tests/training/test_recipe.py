"""What a recipe refuses, and the learning rate that follows from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.training import Recipe
from crbench.training.recipe import learning_rate


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", True),
        ("identities", 1),
        ("images", 1),
        ("optimizer", "lion"),
        ("lr", 0),
        ("lr", float("nan")),
        ("lr", "fast"),
        ("weight_decay", -1e-4),
        ("warmup_epochs", -1),
        ("schedule", "linear"),
        ("milestones", (40, -1)),
        ("label_smoothing", 1.5),
        ("triplet_weight", float("inf")),
        ("flip", -0.1),
        ("pad", -1),
        ("erase", 2),
        ("erase_fill", "black"),
        ("nesterov", 1),
        ("amp", "int8"),
        ("accumulate", 0),
        ("center_weight", -1),
        ("bias_lr_factor", 0),
        ("bias_weight_decay", -1),
        ("warmup_start", 2),
        ("final_lr", -0.1),
    ],
)
def test_a_bad_value_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError), match=f"'{field}' must be "):
        Recipe(**{field: value})


@given(epoch=st.floats(0, 120), schedule=st.sampled_from(["cosine", "cosine-epochs", "step"]), warmup=st.floats(0, 20))
def test_the_learning_rate_stays_within_bounds(epoch: float, schedule: str, warmup: float) -> None:
    recipe = Recipe(schedule=schedule, warmup_epochs=warmup)
    assert 0 <= learning_rate(recipe, epoch) <= recipe.lr


def test_steps_fall_to_a_tenth_at_each_milestone() -> None:
    recipe = Recipe(lr=1.0, warmup_epochs=0, milestones=(40, 70))
    rates = [learning_rate(recipe, epoch) for epoch in (0, 39.9, 40, 69.9, 70, 119)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_warm_up_longer_than_the_training_never_divides_by_zero() -> None:
    recipe = Recipe(epochs=2, lr=1.0, warmup_epochs=2, schedule="cosine")
    assert learning_rate(recipe, 1.0) == pytest.approx(0.55)
    assert learning_rate(recipe, 2.0) == pytest.approx(1.0)


def test_the_schedule_of_transreid_is_constant_within_an_epoch() -> None:
    recipe = Recipe(lr=0.008, warmup_epochs=5, warmup_start=0.01, final_lr=0.002, schedule="cosine-epochs")
    rates = [learning_rate(recipe, epoch) for epoch in (0, 0.99, 3, 4, 59.5, 119)]
    full = 0.008
    cosine = [full * (0.002 + 0.998 * 0.5 * (1 + np.cos(np.pi * epoch / 120))) for epoch in (5, 60, 120)]
    assert rates == pytest.approx([full * 0.208, full * 0.208, full * 0.802, *cosine])

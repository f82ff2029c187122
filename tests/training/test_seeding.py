"""Seeded blocks."""

from __future__ import annotations

import pytest
import torch

from crbench.training import seeded


def test_the_global_generator_is_restored_even_after_an_error() -> None:
    state = torch.random.get_rng_state()
    with pytest.raises(RuntimeError), seeded(3):
        torch.rand(5).reshape(2, 2)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_other_seeds_draw_other_numbers() -> None:
    drawn = []
    for seed in (1, 1, 2):
        with seeded(seed):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])

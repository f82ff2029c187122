"""A person problem small enough to learn in a second: a colour pattern per person, under noise and changing light."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from crbench.api.interfaces import Reader
from crbench.data.preprocess import Preprocess
from crbench.records import Row, Samples
from crbench.training import Embedder, Recipe, seeded

SIZE = (16, 8)


@attrs.frozen
class Problem:
    """Rows, their reader, a recipe and the preprocessing that fit each other."""

    rows: Samples
    read: Reader
    recipe: Recipe
    preprocess: Preprocess


def read(row: Row) -> Image.Image:
    """The person's 4x2 pattern, dimmed and noisy; the key seeds the noise."""
    pattern = np.random.default_rng(row.pid).uniform(0, 255, (4, 2, 3)).repeat(4, axis=0).repeat(4, axis=1)
    noise = np.random.default_rng(int(row.key))
    image = pattern * noise.uniform(0.3, 1.0) + noise.normal(0, 30, pattern.shape)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def make_rows(persons: int, images: int, first_key: int = 0) -> Samples:
    pids = np.repeat(np.arange(1, persons + 1), images)
    return Samples(keys=[str(first_key + i) for i in range(len(pids))], pids=pids, camids=1)


@pytest.fixture
def problem() -> Problem:
    recipe = Recipe(
        epochs=6,
        identities=6,
        images=4,
        optimizer="adamw",
        lr=5e-3,
        warmup_epochs=1,
        schedule="cosine",
        pad=1,
        erase=0.2,
    )
    return Problem(rows=make_rows(12, 8), read=read, recipe=recipe, preprocess=Preprocess(size=SIZE))


@pytest.fixture
def make_model() -> Callable[..., Embedder]:
    """A model of two convolutions, with dropout so that a use of torch's global generator would show."""

    def make(seed: int = 0) -> Embedder:
        with seeded(seed):
            body = nn.Sequential(
                nn.Conv2d(3, 16, 3, stride=2, padding=1),
                nn.ReLU(),
                nn.Conv2d(16, 16, 3, stride=2, padding=1),
                nn.Flatten(),
                nn.Dropout(0.1),
                nn.Linear(16 * 4 * 2, 16),
            )
            return Embedder(body, dim=16)

    return make


@pytest.fixture
def global_state_kept() -> object:
    """Fails the test if it leaves torch's or NumPy's global generator in another state."""
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    yield
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])

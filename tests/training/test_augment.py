"""Changes of whole batches against what they mean for a single image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crbench.data.preprocess import Preprocess
from crbench.training import Recipe
from crbench.training.augment import augment, crop_and_flip, erase

HEIGHT, WIDTH = 12, 6


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 32) -> torch.Tensor:
    """No two pixels of an image are equal and none is black."""
    values = torch.arange(1, HEIGHT * WIDTH * 3 + 1).reshape(1, HEIGHT, WIDTH, 3)
    return values.to(torch.uint8).repeat(count, 1, 1, 1)


@given(pad=st.integers(0, 4), flip=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 10**6))
def test_each_image_is_a_crop_of_its_padded_self_or_of_its_mirror_image(pad: int, flip: float, seed: int) -> None:
    batch = images(8)
    padded = np.pad(batch[0].numpy(), ((pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (HEIGHT, WIDTH), axis=(0, 1)).reshape(
        -1, 3, HEIGHT, WIDTH
    )
    crops = {window.transpose(1, 2, 0).tobytes() for window in windows}
    mirrored = {window.transpose(1, 2, 0)[:, ::-1].tobytes() for window in windows}
    allowed = {0.0: crops, 0.5: crops | mirrored, 1.0: mirrored}[flip]
    assert {
        moved.numpy().tobytes() for moved in crop_and_flip(batch, pad=pad, flip=flip, generator=generator(seed))
    } <= allowed


def test_half_of_the_images_are_mirrored() -> None:
    batch = images(1000)
    moved = crop_and_flip(batch, pad=0, flip=0.5, generator=generator())
    share = (moved != batch).flatten(1).any(dim=1).float().mean().item()
    assert share == pytest.approx(0.5, abs=0.06)


def test_an_erased_rectangle_has_the_published_size() -> None:
    height, width = 64, 32
    erased = erase(torch.ones(500, height, width, 3), probability=0.5, generator=generator()) == 0
    hit = erased.flatten(1).any(dim=1)
    assert hit.float().mean().item() == pytest.approx(0.5, abs=0.08)
    for mask in erased[hit]:
        assert (mask == mask[:, :, :1]).all()
        rows, columns = mask[:, :, 0].any(dim=1), mask[:, :, 0].any(dim=0)
        assert torch.equal(mask[:, :, 0], rows[:, None] & columns[None, :])
        tall, wide = int(rows.sum()), int(columns.sum())
        assert int(rows.nonzero().max() - rows.nonzero().min()) + 1 == tall
        assert 0.01 < tall * wide / (height * width) < 0.43
        assert 0.2 < tall / wide < 4.5


def test_without_random_changes_the_input_is_the_normalised_image() -> None:
    recipe = Recipe(flip=0, pad=0, erase=0)
    preprocess = Preprocess(size=(HEIGHT, WIDTH), mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    inputs = augment(images(2), recipe, preprocess, generator())
    expected = (images(2).permute(0, 3, 1, 2) / 255 - torch.tensor(preprocess.mean)[:, None, None]) / torch.tensor(
        preprocess.std
    )[:, None, None]
    torch.testing.assert_close(inputs, expected, rtol=1e-5, atol=1e-5)
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_equal_generators_give_equal_batches() -> None:
    recipe, preprocess = Recipe(), Preprocess(size=(HEIGHT, WIDTH))
    first, again, other = (augment(images(), recipe, preprocess, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_noise_fills_the_rectangle_and_nothing_else() -> None:
    inputs = torch.full((100, 32, 16, 3), 9.0)
    black = erase(inputs, probability=1, generator=generator()) == 0
    noisy = erase(inputs, probability=1, fill="noise", generator=generator())
    assert torch.equal(noisy != 9, black)
    assert noisy[black].mean().item() == pytest.approx(0, abs=0.05)
    assert noisy[black].std().item() == pytest.approx(1, abs=0.05)

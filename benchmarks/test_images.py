"""What happens to an image before the network: drawn, shrunk, brought to the input size."""

from __future__ import annotations

import itertools
from pathlib import Path

import PIL.Image
import pytest

from crbench import EvalProtocol, load_dataset
from crbench.data.degrade import degrade
from crbench.data.preprocess import Preprocess, image_array


def test_draw(benchmark):
    dataset = load_dataset("mlr-synthetic", memory_mb=1)
    keys = itertools.cycle(dataset.index.rows.keys.tolist())
    benchmark(lambda: dataset.read(next(keys), root=Path()))


@pytest.mark.parametrize("rate", [1, 2, 4])
def test_shrink_and_resize(benchmark, rate):
    image, rules, preprocess = PIL.Image.effect_noise((64, 128), 50).convert("RGB"), EvalProtocol().images, Preprocess()
    array = benchmark(lambda: image_array(degrade(image, rate, rules), preprocess))
    assert array.shape == (256, 128, 3)

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch

from crbench.data.degrade import resample
from crbench.data.preprocess import Normaliser, Preprocess, image_array
from crbench.errors import DataError


def test_a_image_is_brought_to_the_input_size():
    image = PIL.Image.new("RGB", (10, 30), (255, 0, 51))
    array = image_array(image, Preprocess(size=(8, 4)))
    assert array.shape == (8, 4, 3)
    assert (array == (255, 0, 51)).all()


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_an_image_of_the_input_size_is_as_resizing_leaves_it(kernel):
    image = PIL.Image.effect_noise((12, 20), 60).convert("RGB")
    found = image_array(image, Preprocess(size=(20, 12), interpolation=kernel))
    assert (found == np.asarray(resample(image, (12, 20), kernel))).all()
    assert (found == np.asarray(image)).all()


def test_values_are_normalised_per_channel():
    images = torch.tensor([[[[255, 0, 51]]]], dtype=torch.uint8)
    x = Normaliser(Preprocess(size=(1, 1), mean=(0.5, 0.25, 0.2), std=(0.5, 0.25, 2.0)), "cpu")(images)
    assert x.shape == (1, 3, 1, 1)
    assert x.flatten().tolist() == pytest.approx([1.0, -1.0, 0.0])


def test_input_is_what_plain_arithmetic_gives_bit_for_bit():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 12, 7, 3), generator=generator, dtype=torch.uint8)
    preprocess = Preprocess(size=(12, 7), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (preprocess.mean, preprocess.std))
    x = Normaliser(preprocess, "cpu")(images)
    assert torch.equal(x, (images.permute(0, 3, 1, 2).float() / 255 - mean) / std)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_only_rgb_images_come_this_far():
    with pytest.raises(DataError, match="expected RGB"):
        image_array(PIL.Image.new("L", (10, 30)), Preprocess())

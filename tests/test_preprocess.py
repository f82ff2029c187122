from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from crbench.errors import DataError
from crbench.interfaces import Preprocess
from crbench.preprocess import picture_array, to_input


def test_a_picture_is_brought_to_the_input_size():
    image = PIL.Image.new("RGB", (10, 30), (255, 0, 51))
    array = picture_array(image, Preprocess(size=(8, 4)))
    assert array.shape == (8, 4, 3)
    assert (array == (255, 0, 51)).all()


def test_values_are_normalised_per_channel():
    pictures = np.array([[[[255, 0, 51]]]], dtype=np.uint8)
    x = to_input(pictures, Preprocess(mean=(0.5, 0.25, 0.2), std=(0.5, 0.25, 2.0)))
    assert x.shape == (1, 3, 1, 1)
    assert x.flatten().tolist() == pytest.approx([1.0, -1.0, 0.0])


def test_only_rgb_pictures_come_this_far():
    with pytest.raises(DataError, match="expected RGB"):
        picture_array(PIL.Image.new("L", (10, 30)), Preprocess())

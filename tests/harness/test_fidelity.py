"""Features beside those of another computation: cosines, nearest other images, order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crbench.harness import fidelity
from crbench.harness.fidelity import Fidelity

features = st.integers(2, 9).flatmap(
    lambda n: st.lists(st.lists(st.integers(-3, 3).map(float), min_size=3, max_size=3), min_size=n, max_size=n)
).map(torch.tensor)  # fmt: skip


@given(features, features, st.integers(1, 4))
def test_it_is_what_numpy_finds_image_by_image(one, other, rows):
    count = min(len(one), len(other))
    one, other = one[:count], other[:count]
    before, fidelity._ROWS = fidelity._ROWS, rows
    try:
        found = Fidelity.of(one, other)
    finally:
        fidelity._ROWS = before
    flips = 0
    for image in range(count):
        nearest = []
        for side in (one.double().numpy(), other.double().numpy()):
            length = np.linalg.norm(side, axis=1, keepdims=True)
            unit = side / np.maximum(length, 1e-12)
            similar = np.round(unit @ unit[image], 9)
            similar[image] = -np.inf
            nearest.append(np.flatnonzero(similar == similar.max()))
        assert all(found.nearest[side, image] in nearest[side] for side in (0, 1))
        flips += found.nearest[0, image] != found.nearest[1, image]
    assert found.flips == flips
    assert len(found) == count
    assert found.cosines[found.worst] == found.cosines.min()


@given(features, st.floats(0.1, 10))
def test_length_does_not_count(x, factor):
    found = Fidelity.of(x, factor * x)
    assert np.allclose(found.cosines, (x.abs().sum(dim=1) > 0).double().numpy())
    exact = Fidelity.of(x, 2 * x)
    assert (exact.flips, exact.swapped) == (0, 0.0)


def test_features_near_the_least_number_of_float32_have_their_cosines():
    x = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    found = Fidelity.of(x, 1e-38 * x)
    assert found.cosines == pytest.approx(1)
    assert found.flips == 0


def test_the_other_way_round_it_is_as_far():
    one, other = torch.randn(2, 40, 8, generator=torch.Generator().manual_seed(0))
    here, there = Fidelity.of(one, other), Fidelity.of(other, one)
    assert (here.flips, here.swapped, here.worst) == (there.flips, there.swapped, there.worst)
    assert here.flips > 30
    assert 0.4 < here.swapped < 0.6  # half of all, for features that have nothing in common


@pytest.mark.parametrize("shapes", [((3, 2), (3, 3)), ((1, 2), (1, 2)), ((4, 2), (3, 2)), ((4,), (4,))])
def test_features_that_are_not_of_the_same_images_are_refused(shapes):
    with pytest.raises(ValueError, match="expected twice the same"):
        Fidelity.of(*(torch.ones(shape) for shape in shapes))

"""Explained offsets: of other people only, and as much as was planted."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.made import made

from crbench.analysis import explained, explained_by_rank, explained_by_shift


def test_a_map_that_is_known_explains_what_it_takes_away():
    lr, hr, pids = made(30, 3, 8, shift=2)
    assert explained(lr, hr, lr, pids).share().value == 0
    assert explained(lr, hr, hr, pids).share().value == 1
    half = explained(lr, hr, (lr + hr) / 2, pids)
    assert half.share().value == pytest.approx(0.75)
    assert half.minus(explained(lr, hr, lr, pids)).value == pytest.approx(0.75)


def test_a_shift_explains_its_share_of_the_squared_offsets():
    lr, hr, pids = made(200, 4, 16, shift=2, noise=0.5)
    found = explained_by_shift(lr, hr, pids).share()
    assert found.low < 2**2 / (2**2 + 16 * 0.5**2) < found.high


def test_a_shift_that_is_not_there_explains_nothing_of_other_people():
    lr, hr, pids = made(40, 4, 16, of_person=1)
    assert explained_by_shift(lr, hr, pids).share().value < 0
    assert explained_by_rank(lr, hr, pids)[16].share().value < 0


def test_a_planted_rank_is_found():
    lr, _, pids = made(200, 4, 16, seed=3)
    draw = np.random.default_rng(3)
    planted = draw.normal(size=(16, 2)) @ draw.normal(size=(2, 16))
    hr = lr + lr @ planted / 8 + 0.1 * draw.normal(size=lr.shape)
    found = {rank: one.share().value for rank, one in explained_by_rank(lr, hr, pids, ranks=(1, 2, 4)).items()}
    assert sorted(found) == [1, 2, 4, 16]
    assert found[1] < found[2] - 0.05
    assert found[2] == pytest.approx(found[16], abs=0.01)
    assert found[2] > 0.9
    assert explained_by_shift(lr, hr, pids).share().value < 0.05


def test_nobody_is_explained_by_what_was_learned_from_them():
    """Offsets of persons that nothing predicts: a map with as many columns as images would fit them all."""
    lr, hr, pids = made(12, 2, 40, of_person=1, noise=0)
    assert explained_by_rank(lr, hr, pids)[40].share().value < 0.05

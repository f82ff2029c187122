"""Directions of people against plain loops, and where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.made import made
from hypothesis import given
from hypothesis import strategies as st

from crbench.analysis import centre_distances, direction_cosine, identity_correlations
from crbench.analysis.offsets import Offsets, angle
from crbench.analysis.people import halves
from crbench.errors import DataError


def offsets_by_loops(lr, hr, pids):
    """PCC.py of VPFA: the mean HR-LR difference of each person."""
    return {pid: np.mean([hr[row] - lr[row] for row in np.flatnonzero(pids == pid)], axis=0) for pid in sorted({*pids})}


@given(seed=st.integers(0, 10_000), shift=st.floats(0, 3), people=st.integers(4, 9))
def test_correlations_are_those_of_plain_loops(seed, shift, people):
    lr, hr, pids = made(people, 3, 6, shift=shift, seed=seed)
    own = offsets_by_loops(lr, hr, pids)
    mean = np.mean(list(own.values()), axis=0)
    plain = [np.corrcoef(offset, mean)[0, 1] for offset in own.values()]
    assert identity_correlations(lr, hr, pids) == pytest.approx(plain, abs=1e-9)
    others = [np.mean([o for other, o in own.items() if other != pid], axis=0) for pid in own]
    plain = [np.corrcoef(offset, other)[0, 1] for offset, other in zip(own.values(), others, strict=True)]
    assert identity_correlations(lr, hr, pids, leave_one_out=True) == pytest.approx(plain, abs=1e-9)


@given(seed=st.integers(0, 10_000), people=st.integers(4, 9))
def test_groups_are_people_in_order(seed, people):
    lr, hr, pids = made(people, 3, 6, shift=1, seed=seed)
    own = list(offsets_by_loops(lr, hr, pids).values())
    groups = [np.mean(own[start : start + 2], axis=0) for start in range(0, people - 1, 2)]
    plain = [np.corrcoef(group, np.mean(own, axis=0))[0, 1] for group in groups]
    assert identity_correlations(lr, hr, pids, groups=2) == pytest.approx(plain, abs=1e-9)
    rest = [np.mean(own[: 2 * place] + own[2 * place + 2 :], axis=0) for place in range(len(groups))]
    plain = [np.corrcoef(group, other)[0, 1] for group, other in zip(groups, rest, strict=True)]
    assert identity_correlations(lr, hr, pids, groups=2, leave_one_out=True) == pytest.approx(plain, abs=1e-9)


@given(seed=st.integers(0, 10_000), shift=st.floats(0, 3))
def test_the_cosine_is_that_of_two_halves(seed, shift):
    lr, hr, pids = made(9, 3, 6, shift=shift, seed=seed)
    own = offsets_by_loops(lr, hr, pids)
    first = {*pids[halves(pids, 5)]}
    one, other = (np.mean([o for pid, o in own.items() if (pid in first) == which], axis=0) for which in (True, False))
    plain = one @ other / np.sqrt((one @ one) * (other @ other))
    assert direction_cosine(lr, hr, pids, 5) == pytest.approx(plain, abs=1e-9)


def test_the_cosine_does_not_depend_on_which_images_of_a_half_belong_together():
    lr, hr, pids = made(20, 3, 6, shift=1)
    draw = np.random.default_rng(0)
    broken = hr.copy()
    for half in (halves(pids, 0), ~halves(pids, 0)):
        broken[half] = hr[half][draw.permutation(half.sum())]
    assert direction_cosine(lr, broken, pids, 0) == pytest.approx(direction_cosine(lr, hr, pids, 0))


def test_halves_are_of_people_and_the_same_in_any_order():
    _, _, pids = made(21, 3)
    first = halves(pids, 0)
    assert len({*pids[first]}) == 10
    assert {*pids[first]}.isdisjoint(pids[~first])
    order = np.random.default_rng(1).permutation(len(pids))
    assert (halves(pids[order], 0) == first[order]).all()
    assert (halves(pids, 1) != first).any()


def test_a_planted_direction_is_found():
    lr, hr, pids = made(100, 4, 32, shift=2, of_person=0.2)
    offsets = Offsets.of(lr, hr, pids)
    assert direction_cosine(lr, hr, pids, 0) > 0.99
    assert identity_correlations(lr, hr, pids, leave_one_out=True).mean() > 0.7
    expected = 2**2 / (2**2 + 32 * (0.2**2 + 0.3**2 / 4))
    assert offsets.consistency().low < expected < offsets.consistency().high
    assert offsets.length().low < 2 < offsets.length().high


def test_isotropic_offsets_give_what_chance_gives():
    lr, hr, pids = made(100, 4, 32, of_person=1)
    offsets = Offsets.of(lr, hr, pids)
    chance = offsets.chance_cosines(0, 999)
    assert np.quantile(chance, 0.01) < direction_cosine(lr, hr, pids, 0) < np.quantile(chance, 0.99)
    assert abs(np.mean(chance)) < 0.03
    assert offsets.consistency().low < 0 < offsets.consistency().high
    assert offsets.length().low == 0
    own = identity_correlations(lr, hr, pids)
    by_chance = offsets.chance_correlations(0, 999).mean(axis=1)
    assert by_chance.min() < own.mean() < by_chance.max()
    assert by_chance.mean() == pytest.approx(0.1, abs=0.01)  # 1 / sqrt(100), as each person is in the mean
    others = [made(100, 4, 32, of_person=1, seed=seed) for seed in range(20)]
    left_out = [identity_correlations(*one, leave_one_out=True).mean() for one in others]
    assert abs(np.mean(left_out)) < 0.015


def test_chance_keeps_the_spread_of_offsets_but_not_their_direction():
    lr, hr, pids = made(100, 4, 32, shift=3, of_person=0.2)
    offsets = Offsets.of(lr, hr, pids)
    assert np.quantile(offsets.chance_cosines(0, 999), 0.95) < 0.5 < direction_cosine(lr, hr, pids, 0)
    assert offsets.chance_correlations(0, 99).mean() < 0.2


def test_broken_pairs_keep_the_means_of_both_domains():
    lr, hr, pids = made(100, 4, 32, shift=2)
    broken = Offsets.of(lr, hr, pids).broken_correlations(lr.astype(float), pids, 0, 20)
    assert broken.shape == (20, 100)
    assert 0.05 < broken.mean() < identity_correlations(lr, hr, pids).mean() - 0.3


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_the_angle_between_rates_is_that_of_their_directions(degrees):
    lr, one, pids = made(100, 4, 32, of_person=0.3)
    turned = lr + (made(100, 4, 32, of_person=0.3, noise=0.2, seed=1)[1] - made(100, 4, 32, seed=1, noise=0.2)[1])
    directions = np.eye(32)[:2]
    other = np.cos(np.radians(degrees)) * directions[0] + np.sin(np.radians(degrees)) * directions[1]
    found = angle(Offsets.of(lr, one + 2 * directions[0], pids), Offsets.of(lr, turned + 3 * other, pids))
    assert found.low <= degrees <= found.high or abs(found.value - degrees) < 2


def test_nothing_has_no_angle():
    lr, hr, pids = made(10, 3, 4, noise=0)
    moved = Offsets.of(lr, hr + 1, pids)
    found = angle(Offsets(moved.people, 0 * moved.x), moved)
    assert np.isnan([found.value, found.low, found.high]).all()


def test_distances_of_centres_are_those_of_plain_loops():
    lr, hr, pids = made(8, 3, 6, shift=2)
    mapped = lr + 0.7 * (hr - lr).mean(axis=0)
    found = centre_distances(lr, mapped, hr, pids)
    assert found.people.tolist() == sorted({*pids})
    centres = {pid: [side[pids == pid].mean(axis=0) for side in (lr, mapped, hr)] for pid in found.people}
    for place, pid in enumerate(found.people):
        before, after, target = centres[pid]
        others = [centre[2] for other, centre in centres.items() if other != pid]
        assert found.before[place] == pytest.approx(np.linalg.norm(before - target))
        assert found.after[place] == pytest.approx(np.linalg.norm(after - target))
        assert found.nearest_before[place] == pytest.approx(min(np.linalg.norm(before - other) for other in others))
        assert found.nearest_after[place] == pytest.approx(min(np.linalg.norm(after - other) for other in others))
        assert found.reductions[place] == pytest.approx(1 - found.after[place] / found.before[place])
    share = found.mean(found.nearer_after)
    assert share.low <= share.value <= share.high


def test_lr_features_that_are_the_hr_ones_have_no_direction():
    lr, hr, pids = made(8, 3, 6, noise=0)
    with pytest.raises(DataError, match="of all 24 images are equal, so there is no offset"):
        direction_cosine(lr, hr, pids, 0)


def test_a_person_who_did_not_move_has_a_cosine_and_a_reduction_of_zero():
    lr, hr, pids = made(8, 3, 6, shift=2)
    hr[pids == 5] = lr[pids == 5]
    offsets = Offsets.of(lr, hr, pids)
    others = Offsets(offsets.people[1:], offsets.x[1:])
    assert offsets.consistency().value == pytest.approx(others.consistency().value * (7 * 6) / (8 * 7))
    assert identity_correlations(lr, hr, pids)[0] == 0
    assert centre_distances(lr, lr + 1, hr, pids).reductions[0] == 0


def test_other_shapes_are_refused():
    lr, hr, pids = made(8, 3, 6)
    with pytest.raises(DataError, match="expected one row of each per image"):
        direction_cosine(lr, hr[:, 1:], pids, 0)
    with pytest.raises(DataError, match="expected at least 2 groups"):
        identity_correlations(lr, hr, pids, groups=5)
    with pytest.raises(DataError, match="NaN or infinite"):
        centre_distances(lr, lr * np.inf, hr, pids)

"""Canonical correlations against other ways to compute them, and where the truth is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from analysis.made import made
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg
from sklearn.cross_decomposition import CCA

from crbench.analysis import canonical_correlations, canonical_table, held_out_correlations, script_ratios
from crbench.analysis import correlation as room
from crbench.errors import DataError


def by_covariances(lr, hr, components):
    """Roots of the eigenvalues of Sxx^-1 Sxy Syy^-1 Syx."""
    x, y = lr - lr.mean(axis=0), hr - hr.mean(axis=0)
    product = np.linalg.solve(x.T @ x, x.T @ y) @ np.linalg.solve(y.T @ y, y.T @ x)
    return np.sqrt(np.sort(np.linalg.eigvals(product).real)[::-1][:components])


def by_the_script(lr, hr):
    """CCA.py of VPFA: 3 components of scikit-learn's CCA, |cov| / (var + var); here until it converges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        x, y = CCA(n_components=3, max_iter=100_000, tol=1e-14).fit_transform(lr, hr)
    covariances = [np.cov(x[:, place], y[:, place]) for place in range(3)]
    return [abs(one[0, 1]) / (one[0, 0] + one[1, 1]) for one in covariances]


@given(seed=st.integers(0, 10_000), columns=st.integers(3, 8), noise=st.floats(0.2, 3))
def test_other_formulas_give_the_same(seed, columns, noise):
    lr, hr, _ = made(20, 3, columns, noise=noise, shift=1, seed=seed)
    found = canonical_correlations(lr, hr)
    assert found == pytest.approx(by_covariances(lr, hr, 3), abs=1e-7)
    assert (np.diff(found) <= 0).all()


@given(seed=st.integers(0, 10_000))
def test_invertible_maps_change_nothing(seed):
    lr, hr, _ = made(20, 3, 5, noise=2, seed=seed)
    draw = np.random.default_rng(seed)
    one, other = (linalg.qr(draw.normal(size=(5, 5)))[0] * draw.uniform(0.5, 2, 5) for _ in range(2))
    assert canonical_correlations(lr @ one + 7, hr @ other) == pytest.approx(canonical_correlations(lr, hr), abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_the_ratio_is_that_of_the_public_script(seed):
    draw = np.random.default_rng(seed)
    lr, hr, _ = made(60, 4, 6, noise=4, seed=seed)
    lr, hr = lr @ draw.normal(size=(6, 6)), hr @ draw.normal(size=(6, 6))
    assert script_ratios(lr, hr) == pytest.approx(by_the_script(lr, hr), abs=1e-5)


def test_the_ratio_of_repeated_and_constant_columns_too():
    lr, hr, _ = made(60, 4, 6, noise=4)
    lr = np.column_stack([lr, lr[:, 0] + lr[:, 1], np.ones(len(lr))])
    assert script_ratios(lr, hr) == pytest.approx(by_the_script(lr, hr), abs=1e-5)
    assert canonical_correlations(lr, hr) == pytest.approx(canonical_correlations(lr[:, :6], hr), abs=1e-9)


def test_equal_variables_give_one_and_the_script_a_half():
    lr, _, _ = made()
    assert canonical_correlations(lr, lr) == pytest.approx([1, 1, 1])
    assert script_ratios(lr, lr) == pytest.approx([0.5, 0.5, 0.5])


@given(seed=st.integers(0, 10_000), noise=st.floats(0, 5))
def test_the_ratio_is_at_most_half_of_the_correlation(seed, noise):
    lr, hr, _ = made(20, 3, 5, noise=noise, seed=seed)
    assert (script_ratios(lr, hr) <= canonical_correlations(lr, hr) / 2 + 1e-9).all()


def test_features_that_have_nothing_to_do_with_each_other_have_what_broken_pairs_have():
    draw = np.random.default_rng(0)
    lr, hr = draw.normal(size=(2, 300, 20))
    table = canonical_table(lr, hr, permutations=50)
    correlations, found = table.broken_correlations, table.correlations
    assert correlations.shape == table.broken_ratios.shape == (50, 3)
    assert found[0] > 0.3
    assert ((found > correlations.min(axis=0)) & (found < correlations.max(axis=0))).all()
    held = held_out_correlations(lr, hr, np.arange(300))
    assert (held.low < 0.12).all()
    assert (np.abs(held.values) < 0.15).all()


def test_broken_pairs_are_canonical_correlations_of_shuffled_rows():
    lr, hr, _ = made(20, 3, 5)
    table = canonical_table(lr, hr, permutations=2, seed=4)
    order = np.random.default_rng(4).permutation(len(hr))
    assert table.broken_correlations[0] == pytest.approx(canonical_correlations(lr, hr[order]))
    assert table.broken_ratios[0] == pytest.approx(script_ratios(lr, hr[order]))
    assert table.correlations == pytest.approx(canonical_correlations(lr, hr))
    assert table.ratios == pytest.approx(script_ratios(lr, hr))


def test_a_few_of_many_singular_values_are_those_of_all(monkeypatch):
    lr, hr, _ = made(100, 4, 30, noise=3)
    whole = canonical_table(lr, hr, permutations=2)
    monkeypatch.setattr(room, "_SMALL", 4)
    few = canonical_table(lr, hr, permutations=2)
    for field in ("correlations", "ratios", "broken_correlations", "broken_ratios"):
        assert getattr(few, field) == pytest.approx(getattr(whole, field), abs=1e-9), field
    assert canonical_correlations(lr, lr) == pytest.approx([1, 1, 1])


def test_a_shared_variable_is_found_on_other_people():
    draw = np.random.default_rng(1)
    lr, hr = draw.normal(size=(2, 400, 10))
    hr[:, 3] = 2 * lr[:, 7] + 0.5 * draw.normal(size=400)
    held = held_out_correlations(lr, hr, np.arange(400) // 2)
    truth = 2 / np.hypot(2, 0.5)
    assert held.low[0] < truth < held.high[0]
    assert held.high[1] < 0.5
    assert held.rank == 10


def test_a_column_of_one_image_is_named():
    lr, hr, _ = made(60, 4, 6, noise=3)
    assert canonical_table(lr, hr, permutations=1).largest.max() < 0.2
    spike = np.zeros(len(lr))
    spike[17] = 0.01
    table = canonical_table(np.column_stack([lr, spike]), np.column_stack([hr, spike]), permutations=1)
    assert table.correlations[0] == pytest.approx(1)
    assert table.largest[0] > 0.9
    other = np.roll(spike, 3)
    sides = (np.column_stack([side, spike, other]) for side in (lr, hr))
    assert canonical_table(*sides, permutations=1).largest[:2].min() > 0.9, "whichever way the two are turned"


def test_with_fewer_images_than_columns_the_correlation_is_one_whatever_they_are_and_held_out_tells():
    draw = np.random.default_rng(2)
    lr, hr = draw.normal(size=(2, 40, 60))
    assert canonical_correlations(lr, hr) == pytest.approx([1, 1, 1])
    assert np.abs(held_out_correlations(lr, hr, np.arange(40)).values).max() < 0.5


def test_what_cannot_be_correlated_is_refused():
    lr, hr, pids = made(20, 3, 5)
    with pytest.raises(DataError, match="60 LR rows against 59 HR rows"):
        canonical_correlations(lr, hr[1:])
    with pytest.raises(DataError, match="these features span 2 directions"):
        canonical_correlations(lr[:, :2], hr)
    with pytest.raises(DataError, match="NaN or infinite"):
        held_out_correlations(lr * np.nan, hr, pids)
    with pytest.raises(DataError, match="takes 4 of them at least; here are 3"):
        held_out_correlations(lr[:9], hr[:9], np.repeat([1, 2, 3], 3))

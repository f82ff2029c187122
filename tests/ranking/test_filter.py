"""The error bounds hold, and what passes through the levels is placed as the definition says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench import EvalProtocol, features_from_arrays
from crbench.evaluation.inputs import checked
from crbench.ranking.backends.interface import ApproximateDistances
from crbench.ranking.block import FeatureBlock, Items
from crbench.ranking.filter import Comparison, place_among
from crbench.ranking.gemm.products import K_BLOCKED, floats, matmul_precision
from crbench.ranking.interface import PRECISIONS
from crbench.ranking.threads import ScratchBuffer

RULES = {
    "cosine": EvalProtocol.of(shot="multi"),
    "unit": EvalProtocol.of(shot="multi", distance="euclidean", normalise="l2"),
    "plain": EvalProtocol.of(shot="multi", distance="euclidean", normalise="none"),
}


def comparison(rules, seed, columns, query_size, offset):
    """Both sides of random rows; queries are shorter by `query_size`, all lie around `offset`."""
    rng = np.random.default_rng(seed)
    sides = [
        features_from_arrays(size * (offset + rng.normal(size=(n, columns))), np.arange(n) % 3)
        for n, size in ((7, query_size), (19, 1.0))
    ]
    return Comparison.of(checked(*sides, RULES[rules], None))


def true_operands(rows, prefix, centroid):
    """f64[n, prefix], what the operands stand for."""
    x = rows.stream.x.double()
    norms = torch.linalg.vector_norm(x, dim=1, keepdim=True) if rows.scale is None else rows.scale
    return x / norms - (0 if centroid is None else centroid.double())


@settings(max_examples=120)
@given(
    rules=st.sampled_from(sorted(RULES)),
    seed=st.integers(0, 2**32 - 1),
    columns=st.sampled_from([1, 2, 3, 17, 300, 700]),
    query_size=st.sampled_from([1.0, 2.0**-6, 2.0**-12]),
    offset=st.sampled_from([0.0, 3.0]),
    precision=st.sampled_from([*PRECISIONS, K_BLOCKED]),
)
def test_scores_are_wrong_by_no_more_than_the_bound(rules, seed, columns, query_size, offset, precision):
    both = comparison(rules, seed, columns, query_size, offset)
    block = FeatureBlock(both, slice(0, 7), torch.arange(7), columns)
    with matmul_precision("ieee"):
        tile = block.score(Items(slice(0, 19), columns), precision)
        products = floats(tile.products(slice(0, 7), ScratchBuffer()))
    scores = (products * (tile.rows[:, None] * tile.factors) + tile.terms).double()
    centroid = both.centroids.of(columns)
    a, b = (true_operands(rows, columns, centroid) for rows in (both.query, both.gallery))
    true = a @ b.T - b.square().sum(dim=1) / 2
    assert ((scores - true).abs() <= tile.error[:, None]).all()


def test_the_bound_covers_what_is_rounded_of_long_items():
    # The queries are so short that the product errs by next to nothing: only the term of the item's length is rounded.
    both = comparison("plain", 0, 1, 2.0**-40, 0.0)
    tile = FeatureBlock(both, slice(0, 7), torch.arange(7), 1).score(Items(slice(0, 19), 1), "fp32")
    longest = true_operands(both.gallery, 1, None).abs().max()
    assert (tile.error >= 2.0**-25 * longest**2 / 2).all()
    rounded = (true_operands(both.gallery, 1, None)[:, 0] ** 2 / -2).sub(tile.terms.double()).abs().max()
    assert 2.0**-40 < rounded <= tile.error.min()


@settings(max_examples=120)
@given(
    rules=st.sampled_from(sorted(RULES)),
    seed=st.integers(0, 2**32 - 1),
    columns=st.sampled_from([1, 3, 300, 700]),
    query_size=st.sampled_from([1.0, 1e-3, 1e15]),
    offset=st.sampled_from([0.0, 3.0]),
    precision=st.sampled_from(["fp32", K_BLOCKED]),
)
def test_each_level_is_wrong_by_no_more_than_it_says(rules, seed, columns, query_size, offset, precision):
    both = comparison(rules, seed, columns, query_size, offset)
    rows, items = torch.arange(7).repeat_interleave(19), torch.arange(19).repeat(7)
    exact = both.exact(rows, items, columns)
    tile = both.tile(slice(0, 7), slice(0, 19), columns, precision)
    rough = both.of_squared(ApproximateDistances(tile.distances, tile.errors))
    assert ((rough.distances - exact.view(7, 19)).abs() <= rough.errors).all()
    pairs = both.approximate(rows, items, columns)
    assert ((pairs.distances - exact).abs() <= pairs.errors).all()
    doubles = both.approximate_tile(torch.arange(7), torch.arange(19), columns)
    assert ((doubles.distances - exact.view(7, 19)).abs() <= doubles.errors).all()
    back = both.squared(exact.view(7, 19))
    assert ((tile.distances.double() - back).abs() <= tile.errors).all()


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    errors=st.sampled_from([(0.0, 0.0), (0.3, 0.0), (2.0, 0.3), (9.0, 9.0)]),
    right=st.booleans(),
)
def test_values_are_placed_as_the_exact_ones_are(seed, errors, right):
    rng = np.random.default_rng(seed)
    limits = torch.from_numpy(np.sort(rng.integers(0, 6, 5) / 2.0))
    exact = torch.from_numpy(rng.integers(0, 6, 30) / 2.0)
    levels, asked = [], []
    for error in (*errors, 0.0):
        noise = torch.from_numpy(rng.uniform(-1, 1, 30)) * error
        rough = ApproximateDistances(exact + noise, torch.full((30,), error, dtype=torch.float64))
        levels.append(lambda index, rough=rough: asked.append(len(index)) or rough.take(index))
    slots, uncertain = place_among(limits, levels, 30, right=right)
    assert slots.tolist() == torch.searchsorted(limits, exact, right=right).tolist()
    assert asked[0] == 30
    assert uncertain == (asked[1] if len(asked) > 1 else 0)


@pytest.mark.parametrize("right", [False, True])
def test_no_values_are_placed_without_asking(right):
    slots, uncertain = place_among(torch.tensor([1.0]), [lambda index: pytest.fail("asked")], 0, right=right)
    assert (len(slots), uncertain) == (0, 0)

"""Mechanism 1: lengths, and the comparison on the common prefix."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from crbench_lrar.aligner import LRAR
from crbench_lrar.lengths import prefix_lengths, prefix_mask
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from crbench.api.context import RunContext
from crbench.api.pairing import TrainFeatures
from crbench.evaluation import evaluate
from crbench.protocol import EvalProtocol
from crbench.records import Features, Samples

RATES = (4.0, 3.0, 2.0, 1.0)
SQUARED = EvalProtocol.of(normalise="none", distance="sqeuclidean")


@given(dim=st.integers(16, 3000), rates=st.lists(st.integers(2, 9), min_size=1, max_size=4, unique=True))
@pytest.mark.parametrize("rule", ["cumulative", "equal"])
def test_lengths_increase_with_the_level_and_end_at_the_whole_feature(rule: str, dim: int, rates: list[int]) -> None:
    lengths = prefix_lengths(16 * dim, (*sorted(map(float, rates), reverse=True), 1.0), rule)
    assert list(lengths) == sorted(set(lengths))
    assert lengths[-1] == 16 * dim


def test_cumulative_lengths_are_those_of_the_text() -> None:
    assert prefix_lengths(2048, RATES, "cumulative") == (512, 682, 1024, 2048)
    assert prefix_lengths(2048, (8.0, 4.0, 2.0, 1.0), "cumulative") == (256, 512, 1024, 2048)
    assert prefix_lengths(100, RATES, "full") == (100,) * 4


def test_a_feature_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        prefix_lengths(3, RATES, "cumulative")


def features(count: int, dims: torch.Tensor, seed: int, rates: np.ndarray | float = 1.0) -> Features:
    x = torch.randn(count, 12, generator=torch.Generator().manual_seed(seed))
    rows = Samples(keys=[f"{seed}_{i}" for i in range(count)], pids=np.arange(count) % 5 + 1, camids=seed, rates=rates)
    return Features(x=x, rows=rows, dims=dims)


@pytest.mark.parametrize("engine", ["reference", "torch", "numba"])
@pytest.mark.parametrize("normalise", ["none", "l2"])
def test_ranks_are_those_of_a_loop_over_pairs_cut_to_the_shorter_length(engine: str, normalise: str) -> None:
    lengths = torch.tensor([3, 4, 6, 12])
    query = features(20, lengths[torch.arange(20) % 4], seed=1)
    gallery = features(10, torch.full((10,), 12), seed=2)
    protocol = EvalProtocol.of(normalise=normalise, distance="sqeuclidean", shot="multi")
    found = evaluate(query, gallery, protocol, engine=engine).scores
    hits = []
    for x, pid, length in zip(query.x.double(), query.rows.pids, query.dims.tolist(), strict=True):
        cut, others = x[:length], gallery.x.double()[:, :length]
        if normalise == "l2":
            cut, others = cut / cut.norm(), others / others.norm(dim=1, keepdim=True)
        nearest = (others - cut).square().sum(dim=1).argmin().item()
        hits.append(gallery.rows.pids[nearest] == pid)
    assert found.rank(1) == pytest.approx(np.mean(hits))
    assert 0 < np.mean(hits) < 1


@pytest.mark.parametrize("protocol", [SQUARED, EvalProtocol()])
def test_the_tail_of_the_gallery_does_not_matter_at_a_lower_level(protocol: EvalProtocol) -> None:
    query = features(10, torch.full((10,), 4), seed=1)
    gallery = features(10, torch.full((10,), 12), seed=2)
    changed = gallery.x.clone()
    changed[:, 4:] = 100 * torch.randn(10, 8, generator=torch.Generator().manual_seed(3))
    first = evaluate(query, gallery, protocol)
    second = evaluate(query, Features(x=changed, rows=gallery.rows, dims=gallery.dims), protocol)
    assert np.array_equal(first.per_query.cmc, second.per_query.cmc)


def test_one_classifier_on_a_padded_feature_is_the_sum_of_sub_classifiers() -> None:
    lengths = torch.tensor(prefix_lengths(24, RATES, "cumulative"))
    x = torch.randn(4, 24, generator=torch.Generator().manual_seed(0))
    whole = nn.Linear(24, 7, bias=False)
    edges = [0, *lengths.tolist()]
    for level in range(1, 5):
        padded = whole(x * prefix_mask(lengths[level - 1].repeat(4), 24))
        parts = [x[:, a:b] @ whole.weight[:, a:b].T for a, b in itertools.pairwise(edges[: level + 1])]
        torch.testing.assert_close(padded, torch.stack(parts).sum(dim=0))


def test_the_query_length_of_table_ii_replaces_that_of_the_level() -> None:
    rates = np.array([1, 2, 4, 4], dtype=np.float32)
    feats = features(4, torch.tensor([12, 6, 3, 3]), seed=1, rates=rates)
    train = TrainFeatures(source=feats, target=feats)
    assert LRAR().fit(train, run=RunContext())(feats) is feats
    cut = LRAR(query_length=1 / 3).fit(train, run=RunContext())(feats)
    assert cut.dims.tolist() == [12, 4, 4, 4]
    whole = LRAR(query_length=1).fit(train, run=RunContext())(Features(x=feats.x, rows=feats.rows))
    assert whole.dims.tolist() == [12] * 4

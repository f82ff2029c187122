from __future__ import annotations

import pytest
import torch
from hypothesis import given
from strategies import samples

from crbench.api.pairing import Pairs, TrainFeatures
from crbench.errors import DataError
from crbench.records import Features, Samples


def features(keys, pids, rates, x):
    return Features(x=torch.tensor(x, dtype=torch.float32), rows=Samples(keys=keys, pids=pids, rates=rates))


@pytest.fixture
def train():
    return TrainFeatures(
        source=features(["a", "b", "c", "a"], [1, 1, 2, 1], [2, 2, 2, 4], [[1, 0], [3, 0], [5, 0], [7, 0]]),
        target=features(["c", "a", "b"], [2, 1, 1], [1, 1, 1], [[0, 1], [0, 2], [0, 4]]),
    )


def test_image_pairs_match_by_key(train):
    pairs = train.pairs("image")
    assert pairs.source.rows.keys.tolist() == pairs.target.rows.keys.tolist() == ["a", "b", "c", "a"]
    assert pairs.target.x.tolist() == [[0, 2], [0, 4], [0, 1], [0, 2]]


def test_id_mean_pairs_each_person_and_domain_with_the_target_mean(train):
    pairs = train.pairs("id_mean")
    found = {
        (int(pid), float(rate)): (s.tolist(), t.tolist())
        for pid, rate, s, t in zip(
            pairs.source.rows.pids, pairs.source.rows.rates, pairs.source.x, pairs.target.x, strict=True
        )
    }
    assert found == {(1, 2.0): ([2, 0], [0, 3]), (2, 2.0): ([5, 0], [0, 1]), (1, 4.0): ([7, 0], [0, 3])}


def test_pooled_means_are_over_the_source_rows_of_all_rates(train):
    pairs = train.pairs("id_mean_pooled")
    assert pairs.source.rows.pids.tolist() == [1, 2]
    assert pairs.source.x.tolist() == [[pytest.approx(11 / 3), 0], [5, 0]]
    assert pairs.target.x.tolist() == [[0, 3], [0, 1]]
    assert [domain.rate for domain, _, _ in pairs.domains()] == [4.0]
    assert train.pairs("id_mean_pooled", min_count=2).source.rows.pids.tolist() == [1]


def test_persons_with_too_few_rows_are_left_out(train):
    assert set(train.pairs("id_mean", min_count=2).source.rows.pids.tolist()) == {1}
    with pytest.raises(DataError, match="at least 9"):
        train.pairs("id_mean", min_count=9)


@pytest.mark.parametrize("how", ["image", "id_mean", "id_mean_pooled"])
def test_a_side_without_rows_is_named(train, how):
    with pytest.raises(DataError, match=r"no target \(HR\) training rows beside 4 source .* images of rate 1"):
        TrainFeatures(source=train.source, target=train.target.take([])).pairs(how)
    with pytest.raises(DataError, match=r"no source \(LR\) training rows beside 3 target .* protocol.train_rates="):
        TrainFeatures(source=train.source.take([]), target=train.target).pairs(how)


def test_domains_of_pairs_keep_rows_together(train):
    for domain, source, target in train.pairs("image").domains():
        assert len(source) == len(target) == {2.0: 3, 4.0: 1}[domain.rate]


def test_no_image_pairs_is_an_error():
    train = TrainFeatures(source=features(["a"], [1], [2], [[1.0]]), target=features(["b"], [1], [1], [[1.0]]))
    with pytest.raises(DataError, match="id_mean"):
        train.pairs("image")


def test_unknown_pairing(train):
    with pytest.raises(ValueError, match="unknown pairing"):
        train.pairs("both")


def test_unequal_pairs_are_refused(train):
    with pytest.raises(DataError, match="4 source rows against 3"):
        Pairs(source=train.source, target=train.target)


@given(samples(min_size=1, max_size=12))
def test_id_means_equal_a_plain_loop(rows):
    source = Features(x=torch.arange(len(rows), dtype=torch.float32)[:, None], rows=rows)
    target = Features(x=2 * source.x, rows=rows.at_rate(1))
    pairs = TrainFeatures(source=source, target=target).pairs("id_mean")
    for i in range(len(pairs)):
        pid, rate = pairs.source.rows.pids[i], pairs.source.rows.rates[i]
        own = [float(source.x[j, 0]) for j in range(len(rows)) if rows.pids[j] == pid and rows.rates[j] == rate]
        everywhere = [2.0 * j for j in range(len(rows)) if rows.pids[j] == pid]
        assert float(pairs.source.x[i, 0]) == pytest.approx(sum(own) / len(own))
        assert float(pairs.target.x[i, 0]) == pytest.approx(sum(everywhere) / len(everywhere))

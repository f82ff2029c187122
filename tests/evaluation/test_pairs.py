"""Pairs that count, and their distances, against the textbook evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation import oracle
from evaluation.strategies import cases
from hypothesis import given

from crbench import EvalProtocol
from crbench.evaluation import pairs
from crbench.evaluation.pairs import pair_blocks, valid_pairs
from crbench.testing import random_features


@given(cases(shots=("multi",)))
def test_pairs_are_those_of_the_textbook(case):
    query, gallery = case.query.rows, case.gallery.rows
    valid, same = valid_pairs(query, gallery, case.protocol)
    assert (same == (query.pids[:, None] == gallery.pids)).all()
    for row in range(len(query)):
        assert (valid[row] == oracle.valid_items(query, gallery, case.protocol, row)).all()


@given(cases(shots=("multi",)))
def test_distances_are_those_of_plain_loops(case):
    if case.query.x.abs().max() > 1e9 or case.gallery.x.abs().max() > 1e9:
        return  # squares of lengths beyond that leave no digits for small distances
    scoring = case.protocol.scoring
    if scoring.distance != "cosine" and scoring.normalise == "l2":
        return  # the oracle compares these as they are
    expected = oracle.distance_matrix(case.query, case.gallery, case.protocol)
    if scoring.distance == "euclidean":
        expected = np.sqrt(expected)
    found = np.concatenate([block.distances for block in pair_blocks(case.query, case.gallery, case.protocol)])
    size = 1 if scoring.distance == "cosine" else max(1, expected.max())
    assert found == pytest.approx(expected, abs=1e-4 * size, rel=1e-6)


def test_blocks_are_all_queries_once(monkeypatch):
    query, gallery = random_features(persons=5), random_features(persons=5, seed=1)
    (whole,) = pair_blocks(query, gallery, EvalProtocol())
    monkeypatch.setattr(pairs, "_ELEMENTS", 3 * len(gallery))
    blocks = list(pair_blocks(query, gallery, EvalProtocol()))
    assert [len(block.queries) for block in blocks] == [3] * 20
    assert np.concatenate([block.distances for block in blocks]) == pytest.approx(whole.distances)
    assert (np.concatenate([block.valid for block in blocks]) == whole.valid).all()
    assert np.concatenate([block.queries for block in blocks]).tolist() == list(range(60))


def test_euclidean_distances_of_unit_features_follow_from_cosines():
    query, gallery = random_features(persons=5), random_features(persons=5, seed=1)
    (cosine,) = pair_blocks(query, gallery, EvalProtocol.of(distance="cosine"))
    (euclidean,) = pair_blocks(query, gallery, EvalProtocol.of(distance="euclidean", normalise="l2"))
    assert euclidean.distances**2 == pytest.approx(2 * cosine.distances, abs=1e-9)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "sqeuclidean"])
def test_no_distance_of_copies_is_below_zero(distance):
    """The cosine of a row and its copy may round to more than 1."""
    feats = random_features(persons=20, dim=256)
    (block,) = pair_blocks(feats, feats, EvalProtocol.of(distance=distance))
    assert block.distances.min() >= 0
    assert np.diag(block.distances) == pytest.approx(0, abs=1e-6)

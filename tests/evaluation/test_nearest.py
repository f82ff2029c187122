"""The images that people see are those that the ranks speak of."""

from __future__ import annotations

import numpy as np
import pytest

from crbench import EvalProtocol, evaluate, features_from_arrays
from crbench.errors import EvaluationError
from crbench.evaluation.nearest import nearest

QUERIES, GALLERY, PEOPLE = 6, 40, 5


@pytest.fixture(params=["ignore", "keep"])
def sides(request):
    """Features of both sides by three cameras, junk and a distractor among the gallery, and rules."""
    rng = np.random.default_rng(7)
    query = features_from_arrays(
        rng.normal(size=(QUERIES, 8)), pids=rng.integers(1, PEOPLE, QUERIES), camids=rng.integers(1, 4, QUERIES)
    )
    pids = np.concatenate([rng.integers(1, PEOPLE, GALLERY - 3), [-1, -1, 0]])
    gallery = features_from_arrays(rng.normal(size=(GALLERY, 8)), pids=pids, camids=rng.integers(1, 4, GALLERY))
    return query, gallery, EvalProtocol.of(shot="multi", same_camera=request.param, ignored_cameras="3:2")


def test_the_places_of_matches_are_their_ranks(sides):
    query, gallery, protocol = sides
    found = nearest(query, gallery, protocol, np.arange(QUERIES), GALLERY)
    ranks = evaluate(query, gallery, protocol).outcomes.ranks
    for place, rows in enumerate(found):
        own = 1 + np.flatnonzero(gallery.rows.pids[rows] == query.rows.pids[place])
        np.testing.assert_array_equal(own, ranks.ranks[ranks.starts[place] : ranks.starts[place + 1]])
        assert len(rows) == ranks.candidates[place]
        assert -1 not in gallery.rows.pids[rows]


def test_some_queries_get_their_first_rows(sides):
    query, gallery, protocol = sides
    whole = nearest(query, gallery, protocol, np.arange(QUERIES), GALLERY)
    some = nearest(query, gallery, protocol, np.array([4, 1]), 3)
    assert [rows.tolist() for rows in some] == [whole[place][:3].tolist() for place in (4, 1)]


@pytest.mark.parametrize("rules", [{"distance": "of-a-plugin"}, {"rerank": "k1=4,k2=2,lambda=0.3"}])
def test_other_distances_are_refused(sides, rules):
    query, gallery, _ = sides
    with pytest.raises(EvaluationError, match="by cosine, euclidean, sqeuclidean without re-ranking"):
        nearest(query, gallery, EvalProtocol.of(shot="multi", **rules), np.arange(1), 3)

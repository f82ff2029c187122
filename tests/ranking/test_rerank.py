"""k-reciprocal re-ranking beside a dense implementation that follows the definition row by row."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from evaluation import oracle
from evaluation.comparing import assert_same
from evaluation.strategies import cases
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crbench import EvalProtocol, evaluate, features_from_arrays
from crbench.errors import EvaluationError
from crbench.evaluation.inputs import checked
from crbench.protocol import Reranking
from crbench.ranking.rerank import engine, k_reciprocal, neighbours

PAPER = EvalProtocol.of(shot="multi", rerank="k1=20,k2=6,lambda=0.3")


def dense(x, queries, how):
    """Final distances f64[q, g] with every matrix in full; `x` f64[n, D], the first `queries` rows ask."""
    squared = np.array([[((a - b) ** 2).sum() for b in x] for a in x])
    scaled = squared / np.maximum(squared.max(axis=1, keepdims=True), 1e-300)
    ranking = np.argsort(squared, axis=1, kind="stable")

    def mutual(i, k):
        return {j for j in ranking[i, : k + 1] if i in ranking[j, : k + 1]}

    encodings = np.zeros_like(scaled)
    for i in range(len(x)):
        core = mutual(i, how.k1)
        halves = [mutual(j, round(how.k1 / 2)) for j in core]
        members = sorted(core.union(*(half for half in halves if 3 * len(half & core) > 2 * len(half))))
        encodings[i, members] = np.exp(-scaled[i, members])
        encodings[i] /= max(encodings[i].sum(), 1e-300)
    encodings = np.array([encodings[ranking[i, : how.k2]].mean(axis=0) for i in range(len(x))])
    found = np.empty((queries, len(x) - queries))
    for i in range(queries):
        for j in range(queries, len(x)):
            least, most = np.minimum(encodings[i], encodings[j]).sum(), np.maximum(encodings[i], encodings[j]).sum()
            jaccard = 1 - least / most if most else 1.0
            found[i, j - queries] = (1 - how.weight) * jaccard + how.weight * scaled[i, j]
    return found


def query_and_gallery(rng, queries=12, items=70, columns=5, people=8):
    """Queries and gallery around a centre per person, with a few junk images."""
    centres = rng.normal(size=(people + 1, columns))
    pids = np.arange(queries) % people, rng.integers(-1, people, items)
    x = [centres[p] + 0.7 * rng.normal(size=(len(p), columns)) for p in pids]
    return [
        features_from_arrays(x, p, camids=rng.integers(1, 4, len(p)))
        for x, p in zip(x, (pids[0], pids[1]), strict=True)
    ]


def definition(query, gallery, protocol):
    """Outcomes by the dense definition and the textbook evaluation."""
    kept = gallery.take(np.flatnonzero((gallery.rows.pids >= 0) | (protocol.scoring.junk == "keep")))
    x = torch.cat([query.x, kept.x]).double().numpy()
    if protocol.scoring.distance == "cosine" or protocol.scoring.normalise == "l2":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    distances = dense(x, len(query), protocol.scoring.reranking)
    return oracle.multi_shot(query.rows, kept.rows, distances, protocol)


@pytest.mark.parametrize("rules", [{}, {"distance": "euclidean", "normalise": "none"}, {"ap": "trapezoid"}])
@pytest.mark.parametrize(
    "parameters", ["k1=20,k2=6,lambda=0.3", "k1=5,k2=1,lambda=0", "k1=7,k2=3,lambda=0.8", "k1=200"]
)
def test_equal_to_the_dense_definition(parameters, rules):
    query, gallery = query_and_gallery(np.random.default_rng(3))
    protocol = PAPER.changed(rerank=parameters, junk="keep" if rules else "drop", **rules)
    found = evaluate(query, gallery, protocol)
    cmc, ap, inp = definition(query, gallery, protocol)
    np.testing.assert_array_equal(found.per_query.cmc, cmc)
    np.testing.assert_allclose(found.per_query.values["mAP"], ap, rtol=1e-12)
    np.testing.assert_allclose(found.per_query.values["mINP"], inp, rtol=1e-12)
    assert found.engine == "reranked"


def test_re_ranking_changes_scores_for_the_better_where_neighbours_agree():
    query, gallery = query_and_gallery(np.random.default_rng(5), queries=40, items=400)
    plain = evaluate(query, gallery, PAPER.changed(rerank="none")).scores
    assert evaluate(query, gallery, PAPER).scores["mAP"] > plain["mAP"]


@settings(max_examples=40)
@given(cases(shots=("multi",)), st.integers(1, 30), st.integers(1, 8), st.sampled_from([0.0, 0.3, 1.0]))
def test_block_sizes_do_not_matter(case, k1, k2, weight):
    assume(case.query.dims is None)
    protocol = case.protocol.changed(rerank=f"k1={k1},k2={k2},lambda={weight}")
    whole = evaluate(case.query, case.gallery, protocol)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_ROWS", 3)
        patch.setattr(neighbours, "_TILE", 12)
        patch.setattr(neighbours, "_SPARE", 0)
        patch.setattr(neighbours, "_FARTHEST", 1)
        patch.setattr(k_reciprocal, "_ROWS", 2)
        parts = evaluate(case.query, case.gallery, protocol)
    assert_same(parts, whole)


@settings(max_examples=40)
@given(cases(shots=("multi",)))
def test_lambda_1_is_the_original_order(case):
    assume(case.query.dims is None)
    protocol = case.protocol.changed(distance="euclidean")
    found = evaluate(case.query, case.gallery, protocol.changed(rerank="lambda=1"))
    plain = evaluate(case.query, case.gallery, protocol)
    np.testing.assert_array_equal(found.per_query.values["mAP"], plain.per_query.values["mAP"])


@settings(max_examples=60)
@given(cases(shots=("multi",)), st.integers(1, 40))
def test_neighbours_are_those_of_a_full_sort(case, count):
    assume(case.query.dims is None)
    pool = neighbours.PooledRows(checked(case.query, case.gallery, case.protocol, None), np.arange(len(case.gallery)))
    everything = torch.arange(len(pool))
    table = pool.distances(everything.repeat_interleave(len(pool)), everything.repeat(len(pool)))
    table = table.view(len(pool), len(pool)).numpy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_SPARE", 1)
        patch.setattr(neighbours, "_FARTHEST", 1)
        found = neighbours.neighbours(pool, count, lambda count: None)
    order = np.argsort(table, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(found.index, order)
    np.testing.assert_array_equal(found.distances, np.take_along_axis(table, order, axis=1))
    np.testing.assert_array_equal(found.farthest, table.max(axis=1))


def test_copies_of_gallery_images_tie():
    query, gallery = query_and_gallery(np.random.default_rng(7))
    twice = gallery.take(np.repeat(np.arange(len(gallery)), 2))
    other = attrs.evolve(twice.rows, pids=np.where(np.arange(len(twice)) % 2, twice.rows.pids, 99))
    twice = attrs.evolve(twice, rows=other)
    worst = evaluate(query, twice, PAPER)
    assert worst.scores.rank(1) == 0, "every image of the person has a copy under another name"
    assert worst.ambiguous > 0


def test_the_series_is_the_exponential():
    x = -np.linspace(0, 1, 1001)
    np.testing.assert_allclose(k_reciprocal._exponential(x), np.exp(x), rtol=2.0**-50)


def test_features_that_are_all_equal_stay_tied():
    query = features_from_arrays(np.ones((2, 3)), [1, 2])
    gallery = features_from_arrays(np.ones((6, 3)), [1, 2, 3] * 2)
    assert evaluate(query, gallery, PAPER).scores["mAP"] == pytest.approx((1 / 5 + 2 / 6) / 2)


@pytest.mark.parametrize(("normalise", "distance"), [("none", "euclidean"), ("l2", "cosine")])
def test_rows_that_float32_cannot_tell_apart_are_searched_by_tiles_in_float64(normalise, distance, monkeypatch):
    """Pair by pair it would take many times as long; only copies need that."""
    asked, by_pairs = [], neighbours._by_pairs
    monkeypatch.setattr(neighbours, "_by_pairs", lambda *args: asked.append(1) or by_pairs(*args))
    rng = np.random.default_rng(5)
    groups = rng.normal(size=(4, 16))[np.arange(140) % 4]
    x = (rng.normal(size=(140, 16)) * 1e-4 + groups).astype(np.float32)
    query, gallery = features_from_arrays(x[:20], np.arange(20)), features_from_arrays(x[20:], np.arange(120) % 20)
    inputs = checked(query, gallery, EvalProtocol.of(shot="multi", normalise=normalise, distance=distance), None, None)
    pool = neighbours.PooledRows(inputs, np.arange(120))
    by_float32 = neighbours._searched(pool, next(pool.runs(20)), 10, pool.tile, pool.of_squared)
    assert not by_float32[3].all(), "the case is too easy"
    found = neighbours.neighbours(pool, 10, lambda rows: None)
    assert not asked
    rows = torch.arange(140)
    dense = torch.stack([pool.distances(row.expand(140), rows) for row in rows])
    np.testing.assert_array_equal(found.index, dense.sort(dim=1, stable=True).indices[:, :10])
    np.testing.assert_array_equal(found.farthest, dense.max(dim=1).values)


def test_the_encoding_is_made_once_and_no_other_engine_is(monkeypatch, caplog):
    """Cameras that some queries ignore split them in groups; the encoding is of all rows whatever they ask."""
    made, encoded = [], engine.encoded
    monkeypatch.setattr(engine, "encoded", lambda *args: made.append(1) or encoded(*args))
    query, gallery = query_and_gallery(np.random.default_rng(1))
    query = attrs.evolve(query, rows=attrs.evolve(query.rows, camids=np.arange(12) % 3 + 1))
    gallery = attrs.evolve(gallery, rows=attrs.evolve(gallery.rows, camids=np.arange(len(gallery)) % 3 + 4))
    protocol = PAPER.changed(ignored_cameras="1:4,2:5,3:4")
    evaluate(query, gallery, protocol, engine="torch", precision="bf16")
    assert made == [1]
    assert not caplog.messages, "what the notes say of bf16 products is not so of a re-ranking"


def test_what_cannot_be_re_ranked_is_refused():
    query, gallery = query_and_gallery(np.random.default_rng(1))
    with pytest.raises(EvaluationError, match="a plugin's distance gives none"):
        evaluate(query, gallery, PAPER, distance=lambda q, g: q.x @ g.x.T)
    with pytest.raises(EvaluationError, match="needs rows of one length"):
        evaluate(attrs.evolve(query, dims=np.arange(12) % 5 + 1), gallery, PAPER)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k1", "'k1' is not of the form"),
        ("k3=1", "not of the form k1=20,k2=6,lambda=0.3"),
        ("k1=2.5", "not of the form"),
        ("k1=0", "'k1' must be >= 1"),
        ("lambda=1.5", "must be <= 1"),
        (20, "rerank"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(text, message):
    with pytest.raises((ValueError, TypeError), match=message):
        EvalProtocol.of(shot="multi", rerank=text)


@pytest.mark.parametrize("shot", ["single:exact", "single:mc:3"])
def test_single_shot_is_refused(shot):
    with pytest.raises(ValueError, match=r"has no neighbours to confirm it; set shot=multi"):
        EvalProtocol.of(shot=shot, rerank="k1=20")


def test_parameters_have_one_spelling():
    assert EvalProtocol.of(shot="multi", rerank="lambda=0.30, k1=20").scoring.rerank == "k1=20,k2=6,lambda=0.3"
    assert Reranking.parse(str(Reranking(k1=3, k2=2, weight=0.1))) == Reranking(3, 2, 0.1)
    plain = PAPER.changed(rerank="none")
    assert plain.fingerprint() != PAPER.fingerprint()
    assert "|rr:k1=20,k2=6,lambda=0.3|v" in PAPER.describe()

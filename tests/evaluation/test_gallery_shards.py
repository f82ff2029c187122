"""A gallery in shards: any way of cutting it gives the bits of the whole, and holds one shard at a time."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import attrs
import numpy as np
import pytest
from evaluation.bars import Counted
from evaluation.comparing import assert_same
from evaluation.strategies import cases
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench import EvalProtocol, features_from_arrays
from crbench.errors import EvaluationError
from crbench.evaluation import ENGINES, Shard, evaluate, evaluate_part, merge
from crbench.evaluation.gallery import MAX_ROWS

CPU = [name for name in ENGINES if name != "cupy"]


def cut(gallery, ends):
    """A gallery in shards that end before these rows."""
    bounds = sorted({0, len(gallery), *(end for end in ends if 0 < end < len(gallery))})
    pieces = pairwise(bounds)
    shards = [gallery.take(np.arange(start, stop)) for start, stop in pieces]
    if gallery.rows.named:
        return shards
    # rows without names are numbered, in each file from 0
    return [
        attrs.evolve(shard, rows=attrs.evolve(shard.rows, keys=[str(row) for row in range(len(shard))]))
        for shard in shards
    ]


def numbered(features):
    if features.rows.named:
        return features
    return attrs.evolve(features, rows=attrs.evolve(features.rows, keys=[str(row) for row in range(len(features))]))


@settings(max_examples=300)
@given(
    cases(),
    st.lists(st.integers(1, 24), max_size=8),
    st.sampled_from(["ignore", "zero"]),
    st.sampled_from(["drawn", "all"]),
    st.sampled_from(CPU),
)
def test_any_cut_gives_the_bits_of_the_whole(case, ends, unmatched, ap_gallery, engine):
    protocol = case.protocol.changed(unmatched=unmatched, ap_gallery=ap_gallery)
    whole = numbered(case.gallery)
    found = evaluate(case.query, cut(whole, ends), protocol, engine=engine)
    assert_same(found, evaluate(case.query, whole, protocol))


@settings(max_examples=10)
@given(cases(max_rows=150), st.sampled_from([7, 64]), st.sampled_from(["drawn", "all"]))
def test_seven_and_sixty_four_shards(case, count, ap_gallery):
    whole, protocol = numbered(case.gallery), case.protocol.changed(ap_gallery=ap_gallery)
    copies = -(-count // len(whole))
    whole = whole.take(np.tile(np.arange(len(whole)), copies))
    whole = numbered(attrs.evolve(whole, rows=attrs.evolve(whole.rows, named=False)))
    shards = cut(whole, [len(whole) * number // count for number in range(1, count)])
    assert len(shards) == count
    assert_same(evaluate(case.query, shards, protocol), evaluate(case.query, whole, protocol))


@settings(max_examples=50)
@given(cases(), st.lists(st.integers(1, 24), min_size=1, max_size=8), st.integers(1, 40))
def test_counts_that_do_not_fit_are_added_up_block_by_block(case, ends, counts):
    whole = numbered(case.gallery)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crbench.evaluation.gallery_shards.Engines.counts", counts)
        found = evaluate(case.query, cut(whole, ends), case.protocol)
    assert_same(found, evaluate(case.query, whole, case.protocol))


@settings(max_examples=30)
@given(cases(), st.lists(st.integers(1, 24), min_size=1, max_size=4), st.integers(1, 5))
def test_shards_of_the_queries_against_shards_of_the_gallery(case, ends, count):
    whole = numbered(case.gallery)
    shards = cut(whole, ends)
    parts = [evaluate_part(case.query, shards, case.protocol, shard=Shard(n, count)) for n in range(1, count + 1)]
    assert_same(merge(parts), evaluate(case.query, whole, case.protocol))


def example(people=4, **rules):
    rng = np.random.default_rng(0)
    query = features_from_arrays(rng.normal(size=(9, 4)), np.arange(9) % 5, camids=np.full(9, 1))
    gallery = features_from_arrays(rng.normal(size=(30, 4)), np.arange(30) % people, camids=np.full(30, 2))
    return query, gallery, EvalProtocol.of(**{"shot": "multi", **rules})


@pytest.mark.parametrize("count", [1, 7, 30])
def test_features_of_float64_in_one_shard_alone(count):
    """The whole would be float64, so that all shards are."""
    query, gallery, protocol = example()
    x = gallery.x.double()
    x[3] = 1000 + 1e-9 * x[3]
    whole = attrs.evolve(gallery, x=x)
    shards = cut(whole, [30 * n // count for n in range(1, count)])
    assert_same(evaluate(query, shards, protocol), evaluate(query, whole, protocol))


def test_no_shard_is_held_longer_than_its_turn():
    query, gallery, protocol = example()
    shards, alive = cut(gallery, [10, 20]), weakref.WeakSet()

    class Fresh:
        def __len__(self):
            return len(shards)

        def __getitem__(self, number):
            gc.collect()
            assert len(alive) <= 1
            if number >= len(shards):
                raise IndexError
            x = shards[number].x.clone()
            alive.add(x)
            return attrs.evolve(shards[number], x=x)

    assert_same(evaluate(query, Fresh(), protocol), evaluate(query, gallery, protocol))


def test_progress_covers_every_query_of_every_shard():
    bars = Counted()
    query, gallery, protocol = example()
    evaluate(query, cut(gallery, [4, 9]), protocol, progress=bars)
    assert bars.done == {"evaluate 24 queries": 24}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda query, shards: [], "the gallery has no shards; expected at least one"),
        (
            lambda query, shards: [shards[0], features_from_arrays(np.ones((2, 3)), [1, 2])],
            "shards of the gallery have features of 3, 4 columns; expected equal lengths",
        ),
        (
            lambda query, shards: [shards[0], features_from_arrays(np.full((1, 4), np.nan), [7])],
            "shard 2 of 2 of the gallery: gallery row 0 .* holds NaN or infinite",
        ),
        (
            lambda query, shards: [shards[0], features_from_arrays(np.ones((1, 4)), [-3])],
            "shard 2 of 2 of the gallery: gallery row 0 has pid -3; expected -1 or more",
        ),
        (
            lambda query, shards: [features_from_arrays(np.ones((1, 4)), [pid]) for pid in (70, 80)],
            "query and gallery have no person in common .*gallery pids 70, 80",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused(change, message):
    query, gallery, protocol = example()
    with pytest.raises(EvaluationError, match=message):
        evaluate(query, change(query, cut(gallery, [10])), protocol)


@pytest.mark.parametrize(
    ("rules", "options", "what"),
    [
        ({"rerank": "k1=4,k2=2"}, {}, "re-ranking"),
        ({}, {"distance": lambda query, gallery: None}, "a plugin's distance"),
    ],
)
def test_what_needs_the_whole_gallery_is_refused(rules, options, what):
    query, gallery, protocol = example(**rules)
    with pytest.raises(EvaluationError, match=f"^{what} needs the whole gallery at once; give one file, not 2$"):
        evaluate(query, cut(gallery, [10]), protocol, **options)


def test_more_images_than_ranks_can_count_are_refused(monkeypatch):
    assert MAX_ROWS == 2**31 - 1
    query, gallery, protocol = example()
    monkeypatch.setattr("crbench.evaluation.gallery.MAX_ROWS", 29)
    with pytest.raises(EvaluationError, match="the gallery has more than 29 rows"):
        evaluate(query, cut(gallery, [10]), protocol)

"""Shards: any way of sharing the queries out gives the same bits, and what does not belong together is refused."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from evaluation.bars import Counted
from evaluation.comparing import assert_same
from evaluation.strategies import cases
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench import EvalProtocol, features_from_arrays
from crbench.errors import ComparisonError, ConfigError, DataError
from crbench.evaluation import ENGINES, Shard, evaluate, evaluate_part, merge, shards
from crbench.store.shards import load_part, save_part


def sharded(case, count, **options):
    return [
        evaluate_part(case.query, case.gallery, case.protocol, shard=Shard(number, count), **options)
        for number in range(1, count + 1)
    ]


@settings(max_examples=100)
@given(cases(), st.integers(1, 12), st.randoms(use_true_random=False), st.sampled_from(["ignore", "zero"]))
def test_any_sharding_gives_the_bits_of_the_whole(case, count, random, unmatched):
    case = attrs.evolve(case, protocol=case.protocol.changed(unmatched=unmatched))
    found = sharded(case, count)
    random.shuffle(found)
    assert_same(merge(found), evaluate(case.query, case.gallery, case.protocol))


@settings(max_examples=20)
@given(cases(shots=["single:exact", "single:mc:2"], ap_gallery="all"), st.integers(2, 4))
def test_ap_of_the_whole_gallery_beside_draws(case, count):
    assert_same(merge(sharded(case, count)), evaluate(case.query, case.gallery, case.protocol))


@settings(max_examples=20)
@given(cases(shots=["multi"], rerank="k1=4,k2=2"), st.integers(2, 5))
def test_re_ranked_parts_know_all_queries(case, count):
    case = attrs.evolve(case, query=attrs.evolve(case.query, dims=None), gallery=attrs.evolve(case.gallery, dims=None))
    assert_same(merge(sharded(case, count)), evaluate(case.query, case.gallery, case.protocol))


def example(seed=0, **rules):
    rng = np.random.default_rng(seed)
    query = features_from_arrays(rng.normal(size=(9, 4)), np.arange(9) % 5, rates=[2, 3, 4] * 3)
    gallery = features_from_arrays(rng.normal(size=(30, 4)), np.arange(30) % 4)
    return query, gallery, EvalProtocol.of(**rules)


def example_parts(seed=0, count=3, stream="evaluate", **rules):
    query, gallery, protocol = example(seed, **rules)
    return [evaluate_part(query, gallery, protocol, shard=Shard(n, count), stream=stream) for n in range(1, count + 1)]


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "cupy"])
def test_parts_may_come_from_different_engines(engine):
    query, gallery, protocol = example(shot="multi")
    found = example_parts(shot="multi")
    found[1] = evaluate_part(query, gallery, protocol, shard=Shard(2, 3), engine=engine)
    merged = merge(found)
    assert_same(merged, evaluate(query, gallery, protocol))
    assert engine in merged.engine


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([], "part 3/3 is missing; expected each part once"),
        (example_parts()[1:] + example_parts()[2:], "part 3/3 is given twice"),
        (example_parts(seed=1)[2:], "parts 1/3 and 3/3 are of different features or labels"),
        (example_parts(shot="multi")[2:], "parts 1/3 and 3/3 are of different protocols"),
        (example_parts(stream="other")[2:], "are of different draws"),
        ([attrs.evolve(example_parts()[2], version="0.0.0")], "are of different crbench versions"),
        (example_parts(count=4)[2:], "parts 1/3 and 3/4 are of different numbers of shards"),
    ],
)
def test_what_does_not_belong_together_is_refused(others, message):
    mine = example_parts()[:1] if len(others) == 3 else example_parts()[:2]
    with pytest.raises(ComparisonError, match=message):
        merge([*mine, *others])


def test_nothing_to_merge_is_refused():
    with pytest.raises(ComparisonError, match="no parts"):
        merge([])


@pytest.mark.parametrize("changed", ["x", "pids", "camids", "rates", "keys", "dims"])
def test_whatever_a_score_depends_on_is_recognised(changed):
    query, gallery, protocol = example()
    before = evaluate_part(query, gallery, protocol, shard=Shard(1, 2))
    if changed == "x":
        query.x[3, 2] += 1
    elif changed == "dims":
        query = attrs.evolve(query, dims=np.full(9, 3))
    else:
        column = getattr(query.rows, changed).copy()
        column[2] = "new" if changed == "keys" else column[2] + 1
        query = attrs.evolve(query, rows=attrs.evolve(query.rows, **{changed: column}))
    after = evaluate_part(query, gallery, protocol, shard=Shard(2, 2))
    with pytest.raises(ComparisonError, match="different features or labels"):
        merge([before, after])


@given(st.integers(0, 40), st.integers(1, 50))
def test_shards_share_the_rows_out(total, count):
    rows = [row for number in range(1, count + 1) for row in Shard(number, count).rows(total)]
    assert rows == list(range(total))


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "a/b", "-1/2", "1/0"])
def test_other_shards_are_refused(text):
    with pytest.raises(ConfigError, match="is not one of 1/N"):
        shards.Shard.parse(text)


def test_progress_covers_every_query_once():
    bars = Counted()
    query, gallery, _ = example()
    evaluate(query, gallery, EvalProtocol.of(shot="multi", rerank="k1=3"), progress=bars)
    assert bars.done == {"neighbours 39 rows": 39, "evaluate 8 queries": 8}


@pytest.mark.parametrize("name", ["ranks", "starts", "candidates"])
@pytest.mark.parametrize("change", [lambda a: a.astype(float), lambda a: a * 0, lambda a: a - 9, lambda a: a[:-1]])
def test_a_part_whose_ranks_no_evaluation_finds_is_refused(name, change, tmp_path):
    path = tmp_path / "part.npz"
    save_part(path, *example_parts(count=1, shot="multi"))
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    np.savez(path, **{**arrays, name: change(arrays[name])})
    with pytest.raises(DataError, match="not a part of an evaluation"):
        load_part(path)

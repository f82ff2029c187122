from __future__ import annotations

import subprocess
import sys
from unittest import mock

import attrs
import numpy as np
import pytest
import torch
from evaluation import oracle
from evaluation.comparing import assert_same
from evaluation.strategies import cases
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crbench.errors import EvaluationError
from crbench.evaluation import PRECISIONS, custom_distance, evaluate
from crbench.protocol import EvalProtocol
from crbench.ranking import engine as engine_module
from crbench.ranking import filter as filter_module
from crbench.ranking import tiling
from crbench.ranking.backends import interface
from crbench.ranking.backends import torch as operations
from crbench.ranking.gemm import precision as precision_module
from crbench.ranking.gemm import products
from crbench.records import features_from_arrays

MULTI = EvalProtocol.of(shot="multi")

WAYS = [{"engine": engine, "precision": precision} for engine in ("numba", "torch") for precision in PRECISIONS]
"""Each must give what the reference engine gives."""


def run(case, **options):
    return evaluate(case.query, case.gallery, case.protocol, **options)


def taken(feats, order):
    return feats.take(np.asarray(order))


@settings(max_examples=250)
@given(cases(), st.sampled_from(WAYS))
def test_every_engine_equals_the_reference(case, way):
    assert_same(run(case, **way), run(case, engine="reference"))


@settings(max_examples=60)
@given(cases(), st.sampled_from(WAYS), st.integers(1, 5), st.integers(1, 7), st.sampled_from([1, 30]))
def test_block_sizes_do_not_matter(case, way, queries, items, counts):
    whole = run(case)
    with (
        mock.patch.object(tiling.Sizes, "within", return_value=tiling.Sizes(queries, items, counts)),
        mock.patch.object(operations, "WORK", queries),
        mock.patch.object(interface, "WORK", queries),
        mock.patch.object(operations, "_CHUNK", 3),
        mock.patch.object(filter_module, "_CHUNK", 3),
        mock.patch.object(custom_distance, "_BLOCK", 3),
    ):
        assert_same(run(case, **way), whole)


@settings(max_examples=60)
@given(cases(shots=["multi", "single:exact"]), st.randoms(use_true_random=False))
def test_order_of_the_gallery_does_not_matter(case, random):
    order = list(range(len(case.gallery)))
    random.shuffle(order)
    assert_same(run(attrs.evolve(case, gallery=taken(case.gallery, order))), run(case))


@settings(max_examples=60)
@given(cases(shots=["single:mc:4"]), st.randoms(use_true_random=False))
def test_draws_follow_the_keys_and_not_the_order(case, random):
    order = list(range(len(case.gallery)))
    random.shuffle(order)
    assert_same(run(attrs.evolve(case, gallery=taken(case.gallery, order))), run(case))


@settings(max_examples=100)
@given(cases(shots=["multi"], distance="sqeuclidean", normalise="none"))
def test_multi_shot_equals_the_textbook(case):
    integers = [attrs.evolve(f, x=f.x.clamp(-1e6, 1e6).round()) for f in (case.query, case.gallery)]
    case = attrs.evolve(case, query=integers[0], gallery=integers[1])
    found = run(case).per_query
    distances = oracle.distance_matrix(case.query, case.gallery, case.protocol)
    cmc, ap, inp = oracle.multi_shot(case.query.rows, case.gallery.rows, distances, case.protocol)
    np.testing.assert_array_equal(found.cmc, cmc)
    np.testing.assert_allclose(found.values["mAP"], ap, rtol=1e-12)
    np.testing.assert_array_equal(found.values["mINP"], inp)
    np.testing.assert_array_equal(found.valid, ~np.isnan(ap))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("ap", ["step", "trapezoid"])
def test_random_features_give_the_textbook_scores(distance, ap):
    rng = np.random.default_rng(5)
    query = features_from_arrays(rng.normal(size=(40, 33)), rng.integers(1, 12, 40), camids=rng.integers(1, 4, 40))
    gallery = features_from_arrays(
        rng.normal(size=(300, 33)), rng.integers(-1, 12, 300), camids=rng.integers(1, 4, 300)
    )
    protocol = EvalProtocol.of(shot="multi", ap=ap, distance=distance, normalise="none")
    found = evaluate(query, gallery, protocol)
    distances = oracle.distance_matrix(query, gallery, protocol)
    cmc, ap_values, inp = oracle.multi_shot(query.rows, gallery.rows, distances, protocol)
    np.testing.assert_array_equal(found.scores.cmc, cmc.mean(axis=0))
    assert found.scores["mAP"] == pytest.approx(ap_values.mean(), rel=1e-12)
    assert found.scores["mINP"] == pytest.approx(inp.mean(), rel=1e-12)


@settings(max_examples=100)
@given(cases(shots=["single:exact"], max_rows=9, distance="sqeuclidean", normalise="none"))
def test_single_shot_expectation_equals_the_mean_over_all_draws(case):
    integers = [attrs.evolve(f, x=f.x.clamp(-1e6, 1e6).round()) for f in (case.query, case.gallery)]
    case = attrs.evolve(case, query=integers[0], gallery=integers[1])
    found = run(case).per_query
    distances = oracle.distance_matrix(case.query, case.gallery, case.protocol)
    for i in np.flatnonzero(found.valid):
        expected = oracle.all_draws(case.query.rows, case.gallery.rows, distances, case.protocol, i)
        np.testing.assert_allclose(found.cmc[i], expected, atol=1e-12)


def test_draws_are_named():
    rng = np.random.default_rng(3)
    query = features_from_arrays(rng.normal(size=(20, 4)), np.arange(20) % 5 + 1)
    gallery = features_from_arrays(rng.normal(size=(60, 4)), np.arange(60) % 6 + 1)
    one, again, other = (
        evaluate(query, gallery, EvalProtocol.of(shot="single:mc:2"), stream=name).per_query.cmc for name in "aab"
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@settings(max_examples=60)
@given(cases())
def test_cmc_never_falls_and_stays_within_bounds(case):
    found = run(case).per_query
    cmc = found.cmc[found.valid]
    assert (np.diff(cmc, axis=1) >= 0).all()
    assert cmc.min() >= 0
    assert cmc.max() <= 1
    assert np.isnan(found.cmc[~found.valid]).all()


@settings(max_examples=60)
@given(cases(distance="cosine"))
def test_full_dims_are_no_dims(case):
    plain = attrs.evolve(case, query=attrs.evolve(case.query, dims=None), gallery=attrs.evolve(case.gallery, dims=None))
    columns = case.query.x.shape[1]
    full = [attrs.evolve(f, dims=np.full(len(f), columns)) for f in (case.query, case.gallery)]
    assert_same(run(attrs.evolve(case, query=full[0], gallery=full[1])), run(plain))


@settings(max_examples=60)
@given(cases(), st.randoms(use_true_random=False))
def test_columns_beyond_dims_do_not_matter(case, random):
    assume(case.query.dims is not None)
    spoilt = []
    for feats in (case.query, case.gallery):
        beyond = torch.arange(feats.x.shape[1]) >= torch.from_numpy(feats.dims)[:, None]
        spoilt.append(attrs.evolve(feats, x=feats.x.masked_fill(beyond, random.choice([7.0, 1e38, float("nan")]))))
    assert_same(run(attrs.evolve(case, query=spoilt[0], gallery=spoilt[1])), run(case))


@settings(max_examples=60)
@given(cases(), st.sampled_from(["reference", "torch"]))
def test_increasing_transform_of_the_distances_changes_nothing(case, engine):
    def plain(query, gallery):
        return -torch.round(query.x @ gallery.x.T * 8).clamp(-1e4, 1e4)

    def transformed(query, gallery):
        return plain(query, gallery) * 4 - 100

    assert_same(run(case, distance=transformed, engine=engine), run(case, distance=plain))


def test_metric_sees_ties_and_infinite_distances():
    query = features_from_arrays([[0.0]], [1])
    gallery = features_from_arrays([[0.0], [1.0], [2.0], [3.0]], [2, 1, 2, 2])
    for row, ties, expected in (
        ([1, 1, 0, 2], "pessimistic", 3),
        ([1, 1, 0, 2], "optimistic", 2),
        ([np.inf, np.inf, np.inf, 2], "pessimistic", 4),
        ([np.inf, np.inf, np.inf, 2], "optimistic", 2),
    ):
        for engine in ("torch", "reference"):
            result = evaluate(
                query,
                gallery,
                EvalProtocol.of(shot="multi", ties=ties),
                engine=engine,
                distance=lambda q, g, row=row: np.array([row], dtype=np.float32)[:, g.x[:, 0].long()],
            )
            assert result.scores["mAP"] == 1 / expected
            assert result.ambiguous == 0


@pytest.mark.parametrize("protocol", [MULTI, EvalProtocol(), EvalProtocol.of(shot="multi", distance="euclidean")])
def test_constant_features_are_all_ties(protocol):
    query = features_from_arrays(np.full((3, 5), 0.3), [1, 2, 3])
    gallery = features_from_arrays(np.full((60, 5), 0.3), np.arange(60) % 6 + 1)
    worst = evaluate(query, gallery, protocol)
    best = evaluate(query, gallery, protocol.changed(ties="optimistic"))
    assert worst.ambiguous == 3 * 50  # 10 of the 60 have the query's label
    assert worst.scores.rank(1) == 0
    assert best.scores.rank(1) == 1


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("columns", [7, 300])
def test_near_ties_of_any_norm_are_decided_by_the_definition(distance, columns):
    rng = np.random.default_rng(columns)
    base = rng.normal(size=(6, columns)).astype(np.float32)
    near = [np.nextafter(base, np.float32(side)) for side in (-9, 9)]
    x = np.concatenate([base, *near] * 2) * rng.choice([1, 1 + 2**-23], (36, 1))
    pids = rng.permutation(np.arange(36) % 4 + 1)
    for scale in (1e-42, 1e-20, 1.0, 1e18, 1e35):
        query, gallery = (features_from_arrays(x * scale, pids) for _ in range(2))
        protocol = EvalProtocol.of(shot="multi", distance=distance, normalise="none")
        expected = evaluate(query, gallery, protocol, engine="reference")
        for way in WAYS:  # duplicates, neighbours by one unit in the last place, tiny and huge norms
            found = evaluate(query, gallery, protocol, **way)
            assert_same(found, expected)
            assert found.ambiguous > 0


def test_torch_operations_multiply_before_uncertain_pairs_are_asked_for():
    asked, ones, one = [], torch.ones(1, 4), torch.ones(1, dtype=torch.int64)
    tile = interface.Tile(
        products=lambda rows, _scratch: asked.append(rows) or ones,
        rows=ones[0, :1],
        factors=ones[0],
        terms=ones[0],
        labels=one.expand(4),
        by_label=torch.arange(4),
    )
    query_tasks = interface.QueryTasks(
        tasks=0 * one,
        rows=0 * one,
        labels=one,
        first=torch.tensor([0, 1]),
        slots=0 * one,
        widths=one,
        count_diffs=one.int(),
    )
    candidates = interface.Candidates(masks=0 * ones, columns=torch.zeros(1, 4, dtype=torch.int64))
    counted = operations.TorchBackend().count(tile, query_tasks, interface.Bounds(ones[0, :1], ones[0, :1]), candidates)
    assert asked == [slice(0, 1)], "or a device would have nothing to do meanwhile"
    assert sum(len(uncertain.query_tasks) for uncertain in counted) == 0


def test_fast_precisions_of_the_process_do_not_reach_the_scores():
    rng = np.random.default_rng(1)
    query = features_from_arrays(rng.normal(size=(60, 256)), np.arange(60) % 20 + 1)
    gallery = features_from_arrays(rng.normal(size=(900, 256)), np.arange(900) % 30 + 1)
    expected = evaluate(query, gallery, MULTI, engine="reference")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(evaluate(query, gallery, MULTI), expected)


def test_fast_products_are_switched_off_and_on_again():
    before = torch.get_float32_matmul_precision()
    legacy = not hasattr(torch.backends.mkldnn, "matmul")  # torch < 2.9
    matmul = torch.backends.cuda.matmul
    try:
        torch.set_float32_matmul_precision("medium")
        assert legacy or matmul.fp32_precision == "tf32"
        with products.matmul_precision("ieee"):
            assert torch.get_float32_matmul_precision() == "highest" if legacy else matmul.fp32_precision == "ieee"
        assert torch.get_float32_matmul_precision() == "medium"
        assert legacy or matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_a_finer_precision_takes_over_where_too_many_pairs_are_uncertain(precision, caplog):
    query, gallery = (features_from_arrays(np.full((40, 6), 0.3), np.arange(40) % 4 + 1) for _ in range(2))
    small = EvalProtocol.of(shot="multi", same_camera="keep")
    with mock.patch.object(tiling.Sizes, "within", return_value=tiling.Sizes(queries=8, items=16, counts=100)):
        found = evaluate(query, gallery, small, precision=precision)
    assert found.precision == "fp32"
    finer = [record.levelname for record in caplog.records if "too close" in record.message]
    assert finer == ["WARNING"] * (1 if precision == "int8" else 2)
    assert_same(found, evaluate(query, gallery, small, engine="reference"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "bf16"}, "on a CPU, bf16 products are made of float32 ones"),
        ({"precision": "bf16x3"}, "on a CPU, bf16x3 products are made of float32 ones"),
        ({"precision": "tf32"}, "on a CPU, tf32 products are made of float32 ones"),
        ({"precision": "int8"}, "this processor has no fast instructions for int8 products"),
        ({"engine": "torch"}, "engine 'torch' on a CPU takes 8 to 40 times as long"),
        ({"precision": "fp32"}, None),
        ({}, None),
    ],
)
def test_what_a_processor_is_slow_at_is_said(options, said, monkeypatch, caplog):
    monkeypatch.setattr(precision_module, "_has_fast_int8", lambda: False)
    evaluate(*noise(30), MULTI, **options)
    slow = [record.message for record in caplog.records if "too close" not in record.message]
    assert [said in message for message in slow] == ([True] if said else [])


def test_a_processor_that_is_fast_at_int8_is_not_called_slow(monkeypatch, caplog):
    monkeypatch.setattr(precision_module, "_has_fast_int8", lambda: True)
    evaluate(*noise(30), MULTI, precision="int8")
    assert not caplog.records


def noise(rows):
    rng = np.random.default_rng(rows)
    return [features_from_arrays(rng.normal(size=(rows, 64)), np.arange(rows) % 9 + 1) for _ in range(2)]


def test_the_precision_is_settled_before_many_comparisons_are_decided_in_float64(monkeypatch):
    monkeypatch.setattr(engine_module, "_TRIAL", 8)
    query, gallery = (features_from_arrays(1 + 1e-4 * feats.x, feats.rows.pids) for feats in noise(300))
    fine = evaluate(query, gallery, MULTI, engine="numba", precision="fp32")
    fast = evaluate(query, gallery, MULTI, engine="numba", precision="int8")
    assert (fast.precision, fast.ambiguous) == ("fp32", fine.ambiguous)


@pytest.mark.parametrize("asked", ["auto", "fp32"])
def test_float_products_are_made_in_k_blocks_where_too_many_pairs_are_uncertain(asked, monkeypatch, caplog):
    for module in (products, precision_module):
        monkeypatch.setattr(module, "K_BLOCK", 4)
    monkeypatch.setattr(precision_module, "_has_fast_int8", lambda: False)
    monkeypatch.setattr(engine_module, "_TRIAL", 8)
    monkeypatch.setattr(precision_module, "_TOO_MANY_FOR_K_BLOCKS", -1.0)
    blocked = evaluate(*noise(300), MULTI, engine="numba", precision=asked)
    monkeypatch.setattr(precision_module, "_TOO_MANY_FOR_K_BLOCKS", 1.0)
    whole = evaluate(*noise(300), MULTI, engine="numba", precision=asked)
    assert_same(blocked, whole)
    assert (blocked.precision, whole.precision) == ("fp32", "fp32")
    assert 0 < blocked.ambiguous < whole.ambiguous / 2
    assert not caplog.records, "float32 was asked for, and is what there is"


def test_int8_is_chosen_where_the_processor_is_fast_at_it(monkeypatch, caplog):
    found = {}
    monkeypatch.setattr(precision_module, "_SHORT", 63)
    for fast in (True, False):
        monkeypatch.setattr(precision_module, "_has_fast_int8", lambda fast=fast: fast)
        found[fast] = [evaluate(*noise(rows), MULTI) for rows in (60, 300)]
        assert [part.precision for part in found[fast]] == ["fp32", "int8" if fast else "fp32"]
    for one, other in zip(found[True], found[False], strict=True):
        assert_same(one, other)
    monkeypatch.setattr(precision_module, "_has_fast_int8", lambda: True)
    near = [features_from_arrays(1 + 1e-4 * feats.x, feats.rows.pids) for feats in noise(300)]
    assert evaluate(*near, MULTI).precision == "fp32"
    assert not caplog.records, "nobody asked for int8, so nobody is warned"
    monkeypatch.setattr(precision_module, "_SHORT", 64)
    assert evaluate(*noise(300), MULTI).precision == "fp32"


def test_engine_precision_and_memory_are_checked():
    query = features_from_arrays([[1.0], [1.0]], [1, 1])
    with pytest.raises(
        EvaluationError, match="engine 'cupy' works on cuda, not on cpu; use engine 'auto' or another device"
    ):
        evaluate(query, query, engine="cupy")
    with pytest.raises(EvaluationError, match="unknown precision 'half'; known: auto, fp32"):
        evaluate(query, query, precision="half")
    with pytest.raises(EvaluationError, match="memory budget of 100 bytes is too small"):
        evaluate(query, query, memory_budget=100)


@settings(max_examples=20)
@given(
    memory=st.integers(1 << 20, 1 << 32),
    rows=st.tuples(st.integers(2, 1 << 22), st.integers(2, 1 << 22)),
    at_once=st.integers(1, 1 << 14),
    counts=st.integers(1, 1 << 40),
)
def test_tiles_and_counts_fit_into_the_memory_budget(memory, rows, at_once, counts):
    sizes = tiling.Sizes.within(memory, rows, most=tiling.CPU_SIDES, at_once=at_once, counts=counts)
    held = rows[0] * sizes.queries + rows[1] * sizes.items
    scores = min(sizes.queries, at_once) * sizes.items
    assert sizes.queries == tiling.LEAST_QUERIES or rows[0] * sizes.queries <= memory / 2
    assert sizes.items == 1 or held + 12 * (scores + sizes.counts) <= memory
    assert sizes.counts == counts or 24 * (sizes.counts + 1) >= memory, "counts take half of it where they need it"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@settings(max_examples=100)
@given(cases())
def test_cuda_equals_reference(case):
    on_device = [attrs.evolve(f, x=f.x.cuda()) for f in (case.query, case.gallery)]
    found = run(attrs.evolve(case, query=on_device[0], gallery=on_device[1]))
    assert_same(found, run(case, engine="reference"))


def test_importing_the_evaluation_does_not_import_torch():
    code = "import sys, crbench.evaluation, crbench.arrays; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

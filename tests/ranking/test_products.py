from __future__ import annotations

import numpy as np
import pytest
import torch

from crbench import EvalProtocol, evaluate, features_from_arrays, linear
from crbench.ranking.gemm import int8, products
from crbench.ranking.threads import ScratchBuffer, Workers


@pytest.mark.parametrize("precision", ["fp32", products.K_BLOCKED, "int8"])
@pytest.mark.parametrize("columns", [1, 37, 512, 513, 1500])
@pytest.mark.parametrize("cancelling", [False, True])
@pytest.mark.parametrize("threads", [1, 6])
@pytest.mark.parametrize("fastest", [False, True])
def test_a_product_is_within_its_error_bound(precision, columns, cancelling, threads, fastest, monkeypatch):
    if fastest and not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    monkeypatch.setattr(linear, "is_fastest", lambda: fastest)
    rng = np.random.default_rng(columns)
    a, b = rng.normal(size=(5, columns)), rng.normal(size=(70, columns))
    if cancelling:  # the sum is small beside its terms
        a, b = np.concatenate([a, -a], axis=1) + 1e-3, np.concatenate([b, b], axis=1)
    x, y = (torch.from_numpy(side.astype(np.float32)) for side in (a, b))
    norms = [torch.linalg.vector_norm(side.double(), dim=1) for side in (x, y)]
    workers = Workers(threads)
    one, other = (
        products.operand(side, norm, precision, None, workers) for side, norm in zip((x, y), norms, strict=True)
    )
    panels = [products.product(one, rows, other, precision, ScratchBuffer()) for rows in (slice(0, 3), slice(3, 5))]
    found = torch.cat([products.floats(panel) for panel in panels]).double() * one.scale[:, None] * other.scale
    wrong = (found - x.double() @ y.double().T).abs()
    allowed = products.accumulated(x.shape[1], precision) * norms[0][:, None] * norms[1]
    allowed += one.rest[:, None] * (norms[1] + other.rest) + norms[0][:, None] * other.rest
    allowed += one.low[:, None] * other.low
    assert (wrong <= allowed).all()


def test_the_error_bound_of_long_rows_in_k_blocks_is_little_more_than_that_of_short_ones():
    short, long = (products.accumulated(columns, products.K_BLOCKED) for columns in (512, 4096))
    assert short < long < 1.02 * short


def test_a_product_is_float32_whatever_the_process_allows(monkeypatch):
    feats = features_from_arrays(np.eye(40, 6) + 1, np.arange(40) % 20)
    multiplied, seen = products._multiplied, []

    def allowed():
        linear = torch.backends.mkldnn
        return linear.matmul.fp32_precision if hasattr(linear, "matmul") else torch.get_float32_matmul_precision()

    def watched(a, b):
        seen.append(allowed())
        return multiplied(a, b)

    monkeypatch.setattr(products, "_multiplied", watched)
    monkeypatch.setattr(Workers, "on", lambda device: Workers(3))
    monkeypatch.setattr("crbench.ranking.threads.WORTH", 1)
    chosen = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")  # processors with AMX may multiply in bf16
        before = allowed()
        evaluate(feats, feats, EvalProtocol.of(shot="multi"), engine="numba", precision="fp32")
        assert allowed() == before
    finally:
        torch.set_float32_matmul_precision(chosen)
    assert set(seen) in ({"ieee"}, {"highest"})
    assert before not in seen


@pytest.mark.parametrize(("amx", "share", "expected"), [(True, 0.5, 512), (True, 2.0, 4096), (False, 0.5, 4096)])
def test_one_measurement_settles_how_many_items_int8_products_take_at_once(amx, share, expected, monkeypatch):
    clock, spent = [0.0], {4096: 8.0, 512: share}  # seconds for each product; eight small ones make a large one

    def multiplied(x, y, out):
        clock[0] += spent[y.shape[1]]

    monkeypatch.setattr(torch, "_int_mm", multiplied)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_int8": amx}, raising=False)
    monkeypatch.setattr(int8.time, "perf_counter", lambda: clock[0])
    int8.items_at_once.cache_clear()
    try:
        assert int8.items_at_once(16) == expected
        clock[0] = -1.0
        assert int8.items_at_once(16) == expected
        assert clock[0] == -1.0  # nothing was timed again
    finally:
        int8.items_at_once.cache_clear()

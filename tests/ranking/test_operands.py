from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench import EvalProtocol, evaluate, features_from_arrays
from crbench.evaluation import PRECISIONS
from crbench.ranking import operands
from crbench.ranking.backends.torch import TorchBackend
from crbench.ranking.interface import RankRows
from crbench.ranking.norms import row_norms
from crbench.ranking.operands import NormalisedRows
from crbench.ranking.threads import Workers


def of(x, dims=None, scale=None):
    x = torch.from_numpy(np.asarray(x, dtype=np.float32))
    dims = np.full(len(x), x.shape[1]) if dims is None else np.array(dims)
    rows = RankRows(x, np.zeros(len(x), dtype=np.int64), dims, row_norms(x))
    found = NormalisedRows(rows, x.device, unit=scale is None, backend=TorchBackend(), workers=Workers(1))
    found.scale = scale
    return found


def close_together(rng, rows, columns, spread):
    return 1 + spread * rng.normal(size=(rows, columns))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.integers(1, 200),
    spread=st.sampled_from([0.0, 1e-6, 1e-3, 0.3]),
    scale=st.sampled_from([None, 64.0]),
    precision=st.sampled_from(PRECISIONS),
)
def test_centred_operands_are_wrong_by_no_more_than_their_bounds(seed, columns, spread, scale, precision):
    rng = np.random.default_rng(seed)
    mine = of(close_together(rng, 6, columns, spread), scale=scale)
    centroid = mine.centroid(columns)
    assert centroid is not None
    found = mine.operand(slice(1, 6), columns, precision, centroid)
    rows = mine.stream.x[1:].double()
    units = torch.linalg.vector_norm(rows, dim=1) if scale is None else torch.full((5,), scale)
    true = rows / units[:, None] - centroid.double()
    lengths = torch.linalg.vector_norm(true, dim=1)
    base = 254 if precision == "int8" else 1
    parts = [part.double() / base**number for number, part in enumerate(found.parts)]
    left = true - found.scale[:, None] * sum(parts)
    assert (torch.linalg.vector_norm(left, dim=1) <= found.rest).all()
    assert (found.norms >= lengths).all()
    if len(parts) > 1:
        assert (found.scale * torch.linalg.vector_norm(parts[1], dim=1) <= found.low * (1 + 1e-12)).all()
    torch.testing.assert_close(mine.squares(slice(1, 6), columns, centroid), lengths**2, rtol=0, atol=1e-12)


def test_rows_about_the_origin_are_not_centred():
    assert of(np.random.default_rng(0).normal(size=(50, 8))).centroid(8) is None


def test_the_centroid_leaves_out_columns_that_do_not_count():
    x = np.ones((4, 3))
    x[2:, 2] = [np.nan, 1e38]
    torch.testing.assert_close(of(x, dims=[3, 3, 2, 2]).centroid(3), torch.full((3,), 3**-0.5))


@pytest.mark.parametrize("size", [1e-40, 1e38])
def test_rows_that_float32_cannot_divide_are_out_of_the_safe_range(size):
    x = np.ones((4, 3))
    assert of(x).in_safe_range(3)
    x[1] = size
    assert not of(x).in_safe_range(3)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_features_that_lie_close_together_leave_few_pairs_uncertain(monkeypatch, distance, precision):
    rng = np.random.default_rng(0)
    x = close_together(rng, 1300, 64, 1e-2)
    pids = np.arange(1300) % 100
    query, gallery = (features_from_arrays(x[some], pids[some]) for some in (slice(0, 100), slice(100, None)))
    protocol = EvalProtocol.of(shot="multi", distance=distance, normalise="none")
    centred = evaluate(query, gallery, protocol, precision=precision)
    monkeypatch.setattr(operands, "_WORTH", np.inf)
    plain = evaluate(query, gallery, protocol, precision=precision)
    assert centred.ambiguous < plain.ambiguous / 20
    np.testing.assert_array_equal(centred.per_query.values["mAP"], plain.per_query.values["mAP"])

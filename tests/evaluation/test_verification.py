from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from evaluation import oracle
from evaluation.strategies import cases
from hypothesis import given
from hypothesis import strategies as st

from crbench import features_from_arrays
from crbench.config.protocol_changes import own_protocol
from crbench.config.units import LEAST_BUDGET
from crbench.errors import EvaluationError
from crbench.evaluation.inputs import checked
from crbench.evaluation.verification import verification
from crbench.ranking import pooled
from crbench.ranking.interface import Settings
from crbench.ranking.reference import ReferenceEngine

FPRS = [0.0, 0.01, 0.1, 0.25, 0.5, 0.99]


def by_trying_all_thresholds(case, fpr):
    """TPR from all pairs at once, with the distances of the reference engine."""
    rows = dict(
        ReferenceEngine(checked(case.query, case.gallery, case.protocol, None), Settings(memory=LEAST_BUDGET)).rows()
    )
    query, gallery = case.query.rows, case.gallery.rows
    true, false = [], []
    for i, distances in rows.items():
        valid = oracle.valid_items(query, gallery, case.protocol, i)
        same = gallery.pids == query.pids[i]
        true += distances[valid & same].tolist()
        false += distances[valid & ~same].tolist()
    if not false:
        return None
    accepted = [
        np.mean(np.array(true) <= at)
        for at in [-np.inf, *true]
        if sum(f <= at for f in false) <= Fraction(str(fpr)) * len(false)
    ]
    return max(accepted)


@given(
    cases(shots=("multi",)),
    st.sampled_from(FPRS),
    st.sampled_from([(1024, 4096, 1 << 18), (2, 3, 1 << 18), (64, 64, 5)]),
)
def test_equal_to_all_thresholds_of_all_pairs(case, fpr, tile):
    expected = by_trying_all_thresholds(case, fpr)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooled, "QUERIES", tile[0])
        patch.setattr(pooled, "ITEMS", tile[1])
        patch.setattr(pooled, "_PAIRS", tile[2])
        if expected is None:
            with pytest.raises(EvaluationError, match="no false pair"):
                verification(case.query, case.gallery, case.protocol, [fpr])
        else:
            assert verification(case.query, case.gallery, case.protocol, [fpr, 0.5])[fpr] == expected


def test_a_share_of_pairs_is_meant_as_written():
    # 1,000 false pairs, one of which is nearer than the true one: 1e-3 of them is one pair
    x = np.ones((1001, 2), dtype=np.float32)
    x[:, 1] = 2
    x[0] = (1, 0.1)
    x[1] = (1, 0.0)
    query = features_from_arrays([[1.0, 0.0]], pids=[1])
    gallery = features_from_arrays(x, pids=[1] + [2] * 1000)
    assert verification(query, gallery, own_protocol({}), [1e-3, 9e-4]) == {1e-3: 1.0, 9e-4: 0.0}


@pytest.mark.parametrize("fpr", [-0.1, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(fpr):
    feats = features_from_arrays([[1.0, 0.0], [0.0, 1.0]], pids=[1, 2])
    with pytest.raises(EvaluationError, match="is not a share of false pairs"):
        verification(feats, feats, own_protocol({}), [fpr])

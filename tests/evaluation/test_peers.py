"""The peers' own ranking functions beside ours, where they are installed: equal CMC and mAP under ``--as``."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from crbench import evaluate, features_from_arrays
from crbench.config.protocol_changes import own_protocol

RANKS = 20
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # theirs, that they were not compiled
PLACES = {
    "torchreid": ("torchreid.reid.metrics.rank", "torchreid.metrics.rank"),
    "fastreid": ("fastreid.evaluation.rank",),
}


def ranking(tool):
    """The tool's own `evaluate_rank`, in plain Python."""
    for place in PLACES[tool]:
        try:
            return importlib.import_module(place).evaluate_rank
        except ImportError:
            continue
    pytest.skip(f"{tool} is not installed")


def arrays():
    rng = np.random.default_rng(6)
    centres = rng.normal(size=(20, 16))
    found = []
    for count, cameras in ((60, 3), (400, 6)):
        pids = rng.integers(0, 20, count)
        found.append((centres[pids] + 1.5 * rng.normal(size=(count, 16)), pids, rng.integers(0, cameras, count)))
    return found


def test_torchreid():
    evaluate_rank = ranking("torchreid")
    (q, q_pids, q_camids), (g, g_pids, g_camids) = arrays()
    distances = ((q[:, None] - g) ** 2).sum(axis=2)
    cmc, mean = evaluate_rank(distances, q_pids, g_pids, q_camids, g_camids, max_rank=RANKS, use_cython=False)
    ours = scored("torchreid")
    np.testing.assert_allclose(ours.cmc[:RANKS], cmc, rtol=1e-6)
    assert ours["mAP"] == pytest.approx(mean, rel=1e-6)


def test_fastreid():
    evaluate_rank = ranking("fastreid")
    (q, q_pids, q_camids), (g, g_pids, g_camids) = arrays()
    distances = 1 - np.einsum("qd,gd->qg", *(x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, g)))
    cmc, precisions, penalties = evaluate_rank(
        distances, q_pids, g_pids, q_camids, g_camids, max_rank=RANKS, use_cython=False
    )
    ours = scored("fastreid")
    np.testing.assert_allclose(ours.cmc[:RANKS], cmc, rtol=1e-6)
    assert ours["mAP"] == pytest.approx(np.mean(precisions), rel=1e-6)
    assert ours["mINP"] == pytest.approx(np.mean(penalties), rel=1e-6)


def scored(tool):
    query, gallery = (features_from_arrays(x, pids, camids=camids) for x, pids, camids in arrays())
    return evaluate(query, gallery, own_protocol({}, tool=tool)).scores

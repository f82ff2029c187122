"""The rules of other tools, each against a few rows worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from crbench import evaluate, features_from_arrays
from crbench.config.protocol_changes import own_protocol
from crbench.errors import ConfigError
from crbench.protocol.presets import CONVENTIONS

# Persons in the order of their distance to query 0 (person 1, camera 1), whatever the distance:
# junk, 1 from its own camera, 2, 1, 3, 3, 1. Query 1 (person 8) has no match.
ANGLES = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07])
PEOPLE = [-1, 1, 2, 1, 3, 3, 1]
CAMERAS = [1, 1, 2, 2, 2, 2, 2]
STEP = (1 / 2 + 2 / 5) / 2
TRAPEZOID = ((0 + 1 / 2) / 2 + (1 / 4 + 2 / 5) / 2) / 2


def points(angles, lengths=1.0):
    return (np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.reshape(lengths, (-1, 1))).astype(np.float32)


def scored(tool, lengths=1.0):
    query = features_from_arrays(points(np.array([0.0, 1.0])), pids=[1, 8], camids=[1, 1])
    gallery = features_from_arrays(points(ANGLES, lengths), pids=PEOPLE, camids=CAMERAS)
    return evaluate(query, gallery, own_protocol({}, tool=tool)).scores


@pytest.mark.parametrize("tool", ["torchreid", "fastreid", "transreid"])
def test_market_1501_as_most_tools_score_it(tool):
    scores = scored(tool)
    assert scores.cmc[:4].tolist() == [0, 1, 1, 1]
    assert scores["mAP"] == pytest.approx(STEP)
    assert scores["mINP"] == pytest.approx(2 / 5)


def test_layumi_takes_the_trapezoid_and_counts_queries_without_a_match():
    scores = scored("layumi")
    assert scores.cmc[:4].tolist() == [0, 0.5, 0.5, 0.5]
    assert scores["mAP"] == pytest.approx(TRAPEZOID / 2)
    assert (scores.n_query, scores.n_valid) == (2, 1)


def test_torchreid_cuhk03_draws_the_gallery_for_the_cmc_only():
    # Each positive with probability 1/2: rank 2 for the first; the second has person 2 and surely person 3 ahead of it.
    scores = scored("torchreid-cuhk03")
    assert scores.cmc[:4].tolist() == [0, 0.5, 1, 1]
    assert scores["mAP"] == pytest.approx(STEP)
    assert scores["mINP"] == pytest.approx(2 / 5)


@pytest.mark.parametrize("tool", sorted(CONVENTIONS))
def test_only_torchreid_looks_at_the_length_of_features(tool):
    longer = [1, 1, 9, 1, 1, 1, 1]  # person 2, the nearest, moves away
    assert (scored(tool, longer).cmc[0] > 0) == tool.startswith("torchreid")


def test_a_rule_can_be_changed_on_top():
    assert own_protocol({"ap": "step"}, tool="layumi").scoring.ap == "step"


def test_what_plays_no_role_is_refused():
    with pytest.raises(ConfigError, match="kernel plays no role"):
        own_protocol({"kernel": "box"})
    with pytest.raises(ConfigError, match="unknown tool 'oml'"):
        own_protocol({}, tool="oml")


def test_unmatched_queries_of_a_group_score_zero():
    query = features_from_arrays(points(np.array([0.0, 1.0])), pids=[1, 8], rates=[2, 4])
    gallery = features_from_arrays(points(ANGLES), pids=PEOPLE)
    found = evaluate(query, gallery, own_protocol({"unmatched": "zero"}))
    assert found.by_rate[4.0]["mAP"] == 0
    assert found.by_rate[4.0].n_valid == 0
    assert 4.0 not in evaluate(query, gallery, own_protocol({})).by_rate
    assert np.isnan(found.per_query.values["mAP"][1]), "the outcome itself stays undefined"

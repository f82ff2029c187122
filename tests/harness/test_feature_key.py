"""Features are found again by all that they depend on; the protocol's share are its image rules."""

from __future__ import annotations

import json

import pytest

from crbench.harness.run import run
from crbench.protocol import ImageRules
from crbench.protocol.declare import rule_names

OTHER = {
    "kernel": "bicubic",
    "antialias": False,
    "rounding": "ceil",
    "encoder": "jpeg:75",
    "encode_hr": True,
    "flip": True,
    "shrink_from": "64x32",
    "degradation": "noise:8",
}


@pytest.mark.parametrize("rule", rule_names(ImageRules))
def test_features_made_by_another_image_rule_are_not_taken(rule, spec, tmp_path):
    assert getattr(ImageRules(), rule) != OTHER[rule]
    for settings in ({}, {f"protocol.{rule}": OTHER[rule]}):
        run(spec(trial=0, aligner="none", set=settings))
    headers = [json.loads(path.read_text())["degrade"] for path in (tmp_path / "cache").rglob("encoder.json")]
    usual = getattr(ImageRules(), rule)  # which a rule that came later is not named at
    assert sorted(header.get(rule, usual) for header in headers) == sorted([usual, OTHER[rule]])


def test_features_are_shared_by_protocols_that_split_and_score_otherwise(spec, tmp_path):
    for settings in ({}, {"protocol.distance": "euclidean", "protocol.trials": 2}):
        run(spec(trial=0, aligner="none", set=settings))
    assert len(list((tmp_path / "cache").rglob("encoder.json"))) == 1

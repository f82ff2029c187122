"""The rules by which well-known tools score, as rules of `ScoringRules`, so that one can see why two numbers differ.

Read off each tool's own evaluation at its defaults and compared with it on random features. Three things are common to
all: images of pid -1 are never counted (torchreid, fast-reid and TransReID leave them out while reading the data, the
baseline of layumi in its evaluation), distractors stay, and images of the query's person from its own camera are left
out. No tool defines the order of ties (all sort with an unstable sort), so that crbench's own rule stands. A camera
that is -1 equals itself for the tools, and is unknown here. torchreid's cuhk03 metric draws one image of
all distractors together, crbench takes each for a person of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from crbench.protocol import EvalProtocol, ScoringRules, SplitRules

OWN_FEATURES = EvalProtocol(
    name="features",
    split=SplitRules(trials=1, query="official", lr_camera="none", train_rates=(), query_rates=(), distractors="keep"),
    scoring=ScoringRules(shot="multi"),
)
"""Rules for features from elsewhere: all gallery images, cosine distance, the same-camera rule. Only `ScoringRules`
play a role."""

_COMMON = {"shot": "multi", "junk": "drop", "same_camera": "ignore", "ap": "step", "unmatched": "ignore"}

CONVENTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "torchreid": _COMMON | {"normalise": "none", "distance": "sqeuclidean"},
        # its CMC is the mean of ten random galleries of one image per person; here, the expectation of that
        "torchreid-cuhk03": _COMMON
        | {"normalise": "none", "distance": "sqeuclidean", "shot": "single:exact", "ap_gallery": "all"},
        "fastreid": _COMMON | {"normalise": "l2", "distance": "cosine"},
        "transreid": _COMMON | {"normalise": "l2", "distance": "sqeuclidean"},
        # A query without a match adds nothing to the sums, but counts in the number that they are divided by.
        "layumi": _COMMON | {"normalise": "l2", "distance": "cosine", "ap": "trapezoid", "unmatched": "zero"},
    }
)
"""Scoring rules by tool: torchreid (KaiyangZhou/deep-person-reid) with its market1501 and its cuhk03 metric,
fast-reid (JDAI-CV/fast-reid), TransReID (damo-cv/TransReID), layumi (layumi/Person_reID_baseline_pytorch)."""

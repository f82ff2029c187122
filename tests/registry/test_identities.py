"""Identities of shipped methods, which are in cache keys and results, stay what they were but for the code.

The digests are of the code before recipes became records; that of ``vpfa/light`` is of its width of 512.
"""

from __future__ import annotations

from typing import Any

import pytest

from crbench.api.entry import Kind
from crbench.protocol.hashing import digest
from crbench.registry.resolve import resolve

CHANGED: dict[str, Any] = {"lr": 1, "milestones": [3, 4.5], "epochs": 7, "amp": "bf16"}
PINNED: list[tuple[Kind, str, dict[str, Any], str]] = [
    ("backbone", "resnet-tiny", {}, "e981304bef2a"),
    ("backbone", "resnet-tiny", CHANGED, "5c0ca40ae330"),
    ("backbone", "resnet50/bag-of-tricks", {}, "4ab0b0634b9e"),
    ("backbone", "resnet50/scratch", {"center_weight": 0.0005, "accumulate": 2}, "dd45fc82b983"),
    ("backbone", "lrar/paper", {}, "f83199c0311d"),
    ("backbone", "lrar/literal", {"rates": [6, 8]}, "a5a1c80186cb"),
    ("backbone", "lrar/gumbel", CHANGED, "d8f535236155"),
    ("backbone", "lrar/tiny", {}, "9d2bc0ab5a51"),
    ("backbone", "transreid/market-vit-transreid-stride", {}, "ca3fd6533dc2"),
    ("backbone", "transreid/veri-deit-transreid", {"sie_coefficient": 2, "cameras": "mean"}, "5e0cbd735018"),
    ("backbone", "transreid-tiny", {"epochs": 3, "nesterov": True, "erase_fill": "mean"}, "948bb229ad07"),
    ("aligner", "vpfa/paper", {}, "06e1c56c1965"),
    ("aligner", "vpfa/official-code", {"hidden": 512, "epochs": 3}, "e190da37f084"),
    ("aligner", "vpfa/light", {}, "af2ba664ba75"),
]


@pytest.mark.parametrize(("kind", "request_", "changes", "expected"), PINNED)
def test_names_values_and_their_order_are_as_before(
    kind: Kind, request_: str, changes: dict[str, Any], expected: str
) -> None:
    resolved = resolve(kind, request_, changes)
    assert list(resolved.parameters) == sorted(resolved.parameters)
    identity = resolved.identity()
    assert identity.pop("distribution") == "crbench"
    assert identity.pop("code") == resolved.code_sha256 is not None
    assert digest(identity) == expected

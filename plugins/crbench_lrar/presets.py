"""The variants of the paper as parameter sets of the backbones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Preset = Mapping[str, Any]

PAPER: Preset = {
    "architecture": "resnet50",
    "pretrained": "imagenet",
    "training": "progressive",
    "epochs": 120,
    "identities": 8,
    "images": 4,
    "optimizer": "adam",
    "lr": 3.5e-4,
    "weight_decay": 5e-4,
    "warmup_epochs": 10.0,
    "schedule": "step",
    "milestones": (40.0, 70.0),
    "flip": 0.5,
    "pad": 10,
}
_NO_VAL: Preset = {"length": "full"}
_E2E: Preset = {"training": "e2e"}
_SWIN: Preset = {"optimizer": "adamw", "lr": 3.5e-5}
_LITERAL: Preset = {
    "steps": "single",
    "warmup_epochs": 0.0,
    "classifier": "own",
    "verification": "padded",
    "reduction": "sum",
}

PRESETS: Mapping[str, Preset] = {
    "paper": PAPER,
    "e2e": {**PAPER, **_E2E},
    "literal": {**PAPER, **_LITERAL},
    "ide-verif": {**PAPER, **_E2E, **_NO_VAL, "masks": "none"},
    "no-mask": {**PAPER, **_E2E, "masks": "none"},
    "no-val": {**PAPER, **_NO_VAL},
    "no-val-e2e": {**PAPER, **_NO_VAL, **_E2E},
    "no-cls": {**PAPER, "cls_weight": 0.0},
    "no-verif": {**PAPER, "verif_weight": 0.0},
    "gumbel": {**PAPER, "length": "gumbel"},
    "query-level": {**PAPER, "gallery": "query-level"},
    "per-bottleneck": {**PAPER, "masks": "blocks"},
    "swin-b": {**PAPER, **_SWIN, "architecture": "swin-b"},
    "swin-l": {**PAPER, **_SWIN, "architecture": "swin-l"},
    "naive": {**PAPER, **_E2E, **_NO_VAL, "masks": "none", "networks": "per-rate", "gallery": "query-rate"},
    "tiny": {},
}

"""LRAR: learning resolution-adaptive representations (Wu et al., IEEE TIP 2023)."""

from __future__ import annotations

from crbench.api import Entry, hookimpl
from crbench_lrar.presets import PRESETS

SOURCE = (
    "Wu et al., Learning Resolution-Adaptive Representations for Cross-Resolution Person Re-Identification, "
    "IEEE TIP 32, 2023"
)


@hookimpl
def crbench_backbones() -> list[Entry]:
    """``lrar``, with a preset for each variant of the paper."""
    return [
        Entry(
            "lrar",
            "crbench_lrar.backbone:LrarBackbone",
            summary="resolution-adaptive masks and features whose length follows the resolution; trained on HR and LR",
            source=SOURCE,
            presets=PRESETS,
            train_rows="all",
            test_parameters=("assign", "gallery"),
            code=("crbench_timm",),
        )
    ]


@hookimpl
def crbench_aligners() -> list[Entry]:
    """``lrar``, which runs on the backbone of its name."""
    return [
        Entry(
            "lrar",
            "crbench_lrar.aligner:LRAR",
            summary="compares features on the part that both resolutions have; brings its backbone",
            source=SOURCE,
            defaults={"backbone": "lrar"},
        )
    ]

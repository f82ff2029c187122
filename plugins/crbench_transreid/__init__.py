"""TransReID (He et al., ICCV 2021) with the released checkpoints."""

from __future__ import annotations

from crbench.api import Entry, hookimpl
from crbench_transreid.configs import TINY, presets, released

TARGET = "crbench_transreid.backbone:TransReIDBackbone"


@hookimpl
def crbench_backbones() -> list[Entry]:
    """``transreid``, with a preset for each published configuration, and ``transreid-tiny``."""
    return [
        Entry(
            "transreid",
            TARGET,
            summary="vision transformer with side information and jigsaw patches; from a checkpoint or ImageNet",
            source="He et al., TransReID: Transformer-based Object Re-Identification, ICCV 2021",
            presets=presets(),
            released=released(),
        ),
        Entry(
            "transreid-tiny",
            TARGET,
            summary="TransReID of four narrow blocks, 128x64; trains from scratch in minutes on two cores",
            source="He et al., TransReID: Transformer-based Object Re-Identification, ICCV 2021",
            presets={"scratch": TINY},
        ),
    ]

"""TransReID (He et al., ICCV 2021) with the released checkpoints."""

from __future__ import annotations

from crbench.entries import Entry
from crbench.hookspecs import hookimpl
from crbench_transreid.configs import presets


@hookimpl
def crbench_backbones() -> list[Entry]:
    """``transreid``, with a preset for each published configuration."""
    return [
        Entry(
            "transreid",
            "crbench_transreid.backbone:TransReIDBackbone",
            summary="vision transformer with side information and jigsaw patches; needs a released or own checkpoint",
            source="He et al., TransReID: Transformer-based Object Re-Identification, ICCV 2021",
            presets=presets(),
        )
    ]

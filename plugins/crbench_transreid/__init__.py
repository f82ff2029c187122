"""TransReID (He et al., ICCV 2021) with the released checkpoints."""

from __future__ import annotations

from crbench.api import Entry, hookimpl
from crbench_transreid.configs import TINY, presets, released

BIBTEX = """
@inproceedings{he2021transreid,
  author = {He, Shuting and Luo, Hao and Wang, Pichao and Wang, Fan and Li, Hao and Jiang, Wei},
  title = {{TransReID}: Transformer-based Object Re-Identification},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision (ICCV)},
  year = {2021}
}
"""
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
            bibtex=BIBTEX,
            presets=presets(),
            released=released(),
        ),
        Entry(
            "transreid-tiny",
            TARGET,
            summary="TransReID of four narrow blocks, 128x64; trains from scratch in minutes on two cores",
            source="He et al., TransReID: Transformer-based Object Re-Identification, ICCV 2021",
            bibtex=BIBTEX,
            presets={"scratch": TINY},
        ),
    ]

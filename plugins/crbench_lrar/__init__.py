"""LRAR: learning resolution-adaptive representations (Wu et al., IEEE TIP 2023)."""

from __future__ import annotations

from crbench.api import Entry, hookimpl
from crbench_lrar.presets import PRESETS

SOURCE = (
    "Wu et al., Learning Resolution-Adaptive Representations for Cross-Resolution Person Re-Identification, "
    "IEEE TIP 32, 2023"
)
BIBTEX = """
@article{wu2023lrar,
  author = {Wu, L. Y. and Liu, L. and Wang, Y. and Zhang, Z. and Boussaid, F. and Bennamoun, M. and Xie, X.},
  title = {Learning Resolution-Adaptive Representations for Cross-Resolution Person Re-Identification},
  journal = {IEEE Transactions on Image Processing},
  volume = {32},
  pages = {4800--4811},
  year = {2023},
  doi = {10.1109/TIP.2023.3305817}
}
"""


@hookimpl
def crbench_backbones() -> list[Entry]:
    """``lrar``, with a preset for each variant of the paper."""
    return [
        Entry(
            "lrar",
            "crbench_lrar.backbone:LrarBackbone",
            summary="resolution-adaptive masks and features whose length follows the resolution; trained on HR and LR",
            source=SOURCE,
            bibtex=BIBTEX,
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
            bibtex=BIBTEX,
            defaults={"backbone": "lrar"},
        )
    ]

"""VPFA: vector panning feature alignment (Liu et al., arXiv:2510.00936v1, 2025)."""

from __future__ import annotations

from crbench.api import Entry, hookimpl

OFFICIAL_CODE = {
    "pairs": "image",
    "draws": 0,
    "scope": "per_rate",
    "init": "framework",
    "schedule": "step30",
}

LIGHT = {"hidden": 512, "epochs": 6, "batch_size": 64, "lr": 1e-4}

BIBTEX = """
@misc{liu2025vpfa,
  author = {Liu, Z. and Yuan, C. and Li, B. and Zhang, X. and Niu, G.},
  title = {Looking Alike From Far to Near: Enhancing Cross-Resolution Re-Identification via Feature Vector Panning},
  year = {2025},
  eprint = {2510.00936},
  archiveprefix = {arXiv}
}
"""


@hookimpl
def crbench_aligners() -> list[Entry]:
    """``vpfa`` with the presets ``paper``, ``official-code`` and ``light``."""
    return [
        Entry(
            "vpfa",
            "crbench_vpfa.aligner:VPFA",
            summary="residual MLP that pans LR features to HR ones, fitted on identity means; backbone frozen",
            source="Liu et al., Looking Alike From Far to Near, arXiv:2510.00936v1, 2025",
            bibtex=BIBTEX,
            presets={"paper": {}, "official-code": OFFICIAL_CODE, "light": LIGHT},
        )
    ]

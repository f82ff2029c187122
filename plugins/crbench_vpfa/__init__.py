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

LIGHT = {"epochs": 6, "batch_size": 64, "lr": 1e-4}


@hookimpl
def crbench_aligners() -> list[Entry]:
    """``vpfa`` with the presets ``paper``, ``official-code`` and ``light``."""
    return [
        Entry(
            "vpfa",
            "crbench_vpfa.aligner:VPFA",
            summary="residual MLP that pans LR features to HR ones, fitted on identity means; backbone frozen",
            source="Liu et al., Looking Alike From Far to Near, arXiv:2510.00936v1, 2025",
            presets={"paper": {}, "official-code": OFFICIAL_CODE, "light": LIGHT},
        )
    ]

"""The embedded data set `mlr-synthetic`: pedestrians drawn from a seed, for a first run without any download."""

from __future__ import annotations

from collections.abc import Iterable

from crbench.api import Entry, hookimpl


@hookimpl
def crbench_datasets() -> Iterable[Entry]:
    """Offer the embedded data set."""
    return [
        Entry(
            "mlr-synthetic",
            "crbench_synthetic.dataset:SyntheticPedestrians",
            summary="pedestrians drawn from a seed: 350 identities, 4 cameras, 4,200 images; no download",
            source="crbench",
            defaults={"backbone": "resnet-tiny", "aligner:vpfa": "light", "backbone:lrar": "tiny"},
        )
    ]

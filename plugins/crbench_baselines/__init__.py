"""Closed-form aligners: what a learned one has to beat."""

from __future__ import annotations

from crbench.api import Entry, hookimpl


@hookimpl
def crbench_aligners() -> list[Entry]:
    """``none``, ``mean-shift``, ``diagonal``, ``ridge``, ``procrustes`` and ``coral``."""
    return [
        Entry("none", "crbench_baselines.none:Identity", summary="features as they are", source="baseline"),
        Entry(
            "mean-shift",
            "crbench_baselines.mean_shift:MeanShift",
            summary="adds the mean gap between LR and HR features, one vector per rate",
            source="baseline",
        ),
        Entry(
            "diagonal",
            "crbench_baselines.diagonal:Diagonal",
            summary="scales and shifts each feature dimension by least squares",
            source="baseline",
        ),
        Entry(
            "ridge",
            "crbench_baselines.ridge:Ridge",
            summary="linear map with bias by ridge regression",
            source="Hoerl and Kennard, Technometrics 12(1), 1970",
        ),
        Entry(
            "procrustes",
            "crbench_baselines.procrustes:Procrustes",
            summary="rotation between centred features, and their means",
            source="Schoenemann, Psychometrika 31(1), 1966",
        ),
        Entry(
            "coral",
            "crbench_baselines.coral:Coral",
            summary="gives LR features the mean and covariance of HR features; needs no pairs",
            source="Sun, Feng and Saenko, Return of Frustratingly Easy Domain Adaptation, AAAI 2016",
        ),
    ]

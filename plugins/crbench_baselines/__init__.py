"""Closed-form aligners: what a learned one has to beat; and backbones that see nobody, which every other one beats."""

from __future__ import annotations

from crbench.api import Entry, hookimpl

RIDGE = """
@article{hoerl1970ridge,
  author = {Hoerl, Arthur E. and Kennard, Robert W.},
  title = {Ridge Regression: Biased Estimation for Nonorthogonal Problems},
  journal = {Technometrics},
  volume = {12},
  number = {1},
  pages = {55--67},
  year = {1970},
  doi = {10.1080/00401706.1970.10488634}
}
"""
PROCRUSTES = r"""
@article{schonemann1966procrustes,
  author = {Sch{\"o}nemann, Peter H.},
  title = {A Generalized Solution of the Orthogonal {Procrustes} Problem},
  journal = {Psychometrika},
  volume = {31},
  number = {1},
  pages = {1--10},
  year = {1966}
}
"""
CORAL = """
@inproceedings{sun2016coral,
  author = {Sun, Baochen and Feng, Jiashi and Saenko, Kate},
  title = {Return of Frustratingly Easy Domain Adaptation},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year = {2016}
}
"""


@hookimpl
def crbench_aligners() -> list[Entry]:
    """``none``, ``mean-shift``, ``diagonal``, ``ridge``, ``procrustes``, ``coral`` and ``match-rate``."""
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
            bibtex=RIDGE,
        ),
        Entry(
            "procrustes",
            "crbench_baselines.procrustes:Procrustes",
            summary="rotation between centred features, and their means",
            source="Schoenemann, Psychometrika 31(1), 1966",
            bibtex=PROCRUSTES,
        ),
        Entry(
            "coral",
            "crbench_baselines.coral:Coral",
            summary="gives LR features the mean and covariance of HR features; needs no pairs",
            source="Sun, Feng and Saenko, Return of Frustratingly Easy Domain Adaptation, AAAI 2016",
            bibtex=CORAL,
        ),
        Entry(
            "match-rate",
            "crbench_baselines.match_rate:MatchRate",
            summary="compares the query with the gallery and with the gallery shrunk to its rate",
            source="baseline",
        ),
    ]


@hookimpl
def crbench_backbones() -> list[Entry]:
    """``constant`` and ``random``: sanity rows."""
    return [
        Entry(
            "constant",
            "crbench_baselines.sanity:Constant",
            summary="sanity row: the same feature for every image; must come last",
            source="baseline",
        ),
        Entry(
            "random",
            "crbench_baselines.sanity:Random",
            summary="sanity row: a random feature for every image; must come last",
            source="baseline",
        ),
    ]

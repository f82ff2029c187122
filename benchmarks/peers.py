"""The evaluation functions of other tools on the same features: their time beside ours, and whether scores agree.

Nothing of them is part of this project. Give a folder with their checkouts: ``fast-reid``, ``torchreid`` (both with
``rank_cylib`` built in place by its own setup.py) and ``transreid``. What is not there is left out.

    python benchmarks/peers.py --peers ~/checkouts --query 500 --gallery 2000 --dim 256
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import workload

from crbench import evaluate
from crbench.evaluation.conventions import own_protocol
from crbench.records import Features

RANK = 50
TOLERANCE = 1e-6
"""Between our scores and theirs: they average in float32 in places."""


def load(path: Path, name: str) -> types.ModuleType:
    """A module from a file, without its package."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functions(folder: Path) -> Iterator[tuple[str, str, Callable[[Features, Features], tuple[np.ndarray, float]]]]:
    """Name, convention (as in ``--as``) and function of each peer that is there: CMC f[RANK] and mAP of two sides."""
    for tool, convention, place in (
        ("fast-reid Cython", "fastreid", "fast-reid/fastreid/evaluation/rank_cylib"),
        ("torchreid Cython", "torchreid", "torchreid/torchreid/metrics/rank_cylib"),
    ):
        for built in sorted((folder / place).glob("rank_cy.*.so")):
            yield tool, convention, _cython(load(built, "rank_cy"), cosine=convention == "fastreid")
    metrics = folder / "transreid" / "utils" / "metrics.py"
    if metrics.exists():
        sys.modules.setdefault("utils", types.ModuleType("utils"))
        stub = types.ModuleType("utils.reranking")
        stub.re_ranking = None  # type: ignore[attr-defined]
        sys.modules.setdefault("utils.reranking", stub)
        yield "TransReID eval_func", "transreid", _transreid(load(metrics, "transreid_metrics"))


def _labels(query: Features, gallery: Features) -> tuple[np.ndarray, ...]:
    """Labels as arrays of their own: compiled functions want to be able to write."""
    rows = query.rows, gallery.rows
    return (*(side.pids.copy() for side in rows), *(side.camids.copy() for side in rows))


def _cython(module: types.ModuleType, *, cosine: bool) -> Callable[[Features, Features], tuple[np.ndarray, float]]:
    def score(query: Features, gallery: Features) -> tuple[np.ndarray, float]:
        product = query.x @ gallery.x.T
        if cosine:
            distances = 1 - product
        else:
            norms = query.x.square().sum(1, keepdim=True) + gallery.x.square().sum(1)
            distances = norms.sub_(product, alpha=2)
        cmc, ap, *_ = module.evaluate_cy(distances.numpy(), *_labels(query, gallery), RANK)
        return np.asarray(cmc), float(np.mean(np.asarray(ap)))

    return score


def _transreid(module: types.ModuleType) -> Callable[[Features, Features], tuple[np.ndarray, float]]:
    def score(query: Features, gallery: Features) -> tuple[np.ndarray, float]:
        distances = module.euclidean_distance(query.x, gallery.x)
        cmc, mean_ap = module.eval_func(distances, *_labels(query, gallery), RANK)
        return np.asarray(cmc), float(mean_ap)

    return score


def agreement(folder: Path, query: Features, gallery: Features) -> dict[str, dict]:
    """Largest difference of CMC and mAP between each peer and ``crbench evaluate --as``."""
    found = {}
    for name, convention, score in functions(folder):
        cmc, mean_ap = score(query, gallery)
        own = evaluate(query, gallery, own_protocol({"ranks": [RANK]}, tool=convention)).scores
        length = min(len(cmc), len(own.cmc))
        gap = float(np.abs(cmc[:length] - np.asarray(own.cmc)[:length]).max())
        found[name] = {"as": convention, "cmc_difference": gap, "mAP_difference": abs(mean_ap - float(own.mAP))}
    return found


def main() -> None:
    """Print ratios and agreement at a chosen size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="folder of checkouts")
    for name, value in (("query", 3368), ("gallery", 15913), ("dim", 2048)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    query, gallery = workload.people(given.query, given.gallery, given.dim)
    works = {"crbench": lambda: evaluate(query, gallery, own_protocol({}))}
    works |= {name: lambda s=score: s(query, gallery) for name, _, score in functions(given.peers)}
    times = workload.seconds(works, repeats=3)
    gaps = agreement(given.peers, query, gallery)
    for name, time in times.items():
        ratio = time["median_s"] / times["crbench"]["median_s"]
        gap = gaps.get(name)
        text = f"largest difference: CMC {gap['cmc_difference']:.1e}, mAP {gap['mAP_difference']:.1e}" if gap else ""
        print(f"{name:20} {time['median_s']:9.4f} s  {ratio:6.2f} x  {text}")  # noqa: T201
    if any(max(gap["cmc_difference"], gap["mAP_difference"]) > TOLERANCE for gap in gaps.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()

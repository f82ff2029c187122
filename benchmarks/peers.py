"""The evaluation functions of other tools on the same features: their time beside ours, and whether scores agree.

Nothing of them is part of this project. Checkouts are looked for in a folder: ``fast-reid``, ``torchreid`` (both with
``rank_cylib`` built in place by its own setup.py) and ``transreid``; packages where they can be imported: OML
(open-metric-learning) and PML (pytorch-metric-learning). What is not there is left out.

    python benchmarks/peers.py --peers ~/checkouts --query 500 --gallery 2000 --dim 256

Each is called so that its definitions are ours, and compared under the rules (`Peer.rules`) by which they can be:

- OML leaves out gallery items of the query's *sequence*: person and camera together make that the same-camera rule. Its
  map@k divides by the positives among the first k, ours by all of them, so only k = the whole gallery agrees. A query
  without a match counts as zero.
- PML knows neither cameras nor junk, so it is compared without the same-camera rule. It has no CMC beyond rank 1. Its
  ``mean_average_precision`` agrees with k = the whole gallery; its MAP@R is another score.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import attrs
import numpy as np
import torch
import workload

from crbench import EvalProtocol, evaluate
from crbench.config.protocol_changes import own_protocol
from crbench.records import Features

RANK = 50
TOLERANCE = 1e-6
"""Largest difference of scores that counts as equal: some tools average in float32."""

Answer = tuple[Mapping[int, float], float]
"""CMC by rank, and mAP, as fractions."""


@attrs.frozen(eq=False)
class Peer:
    """A tool's function of query and gallery, and the rules by which crbench should give the same scores."""

    name: str
    rules: EvalProtocol
    score: Callable[[Features, Features], Answer]

    def gap(self, answer: Answer, query: Features, gallery: Features) -> dict[str, float]:
        """Largest difference between an answer of the tool and our scores."""
        cmc, mean_ap = answer
        own = evaluate(query, gallery, self.rules).scores
        differences = [abs(value - float(own.cmc[rank - 1])) for rank, value in cmc.items() if rank <= len(own.cmc)]
        return {"cmc_difference": max(differences), "mAP_difference": abs(mean_ap - float(own["mAP"]))}


def found(folder: Path | None) -> list[Peer]:
    """The tools that can be imported here; `folder` holds checkouts."""
    return [*(_checkouts(folder) if folder is not None else ()), *_packages()]


def load(path: Path, name: str) -> types.ModuleType:
    """A module from a file, without its package."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _checkouts(folder: Path) -> Iterator[Peer]:
    for tool, convention, place in (
        ("fast-reid Cython", "fastreid", "fast-reid/fastreid/evaluation/rank_cylib"),
        ("torchreid Cython", "torchreid", "torchreid/torchreid/metrics/rank_cylib"),
    ):
        for built in sorted((folder / place).glob("rank_cy.*.so")):
            yield Peer(tool, _rules(tool=convention), partial(_cython, load(built, "rank_cy"), convention))
    metrics = folder / "transreid" / "utils" / "metrics.py"
    if metrics.exists():
        sys.modules.setdefault("utils", types.ModuleType("utils"))
        stub = types.ModuleType("utils.reranking")
        stub.re_ranking = None  # type: ignore[attr-defined]
        sys.modules.setdefault("utils.reranking", stub)
        module = load(metrics, "transreid_metrics")
        yield Peer("TransReID eval_func", _rules(tool="transreid"), partial(_transreid, module))


def _packages() -> Iterator[Peer]:
    if _importable("oml.functional.metrics"):
        yield Peer("OML, map@all", _rules(unmatched="zero"), _oml)
    if _importable("pytorch_metric_learning.utils.accuracy_calculator"):
        yield Peer("PML, no camera rule", _rules(same_camera="keep"), _pml)


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:  # of the package, or of what it needs itself
        return False
    return True


def _rules(tool: str | None = None, **changes: str) -> EvalProtocol:
    return own_protocol(changes, tool=tool)


def _labels(query: Features, gallery: Features) -> tuple[np.ndarray, ...]:
    """Copies of the labels: compiled functions refuse arrays that are read-only."""
    rows = query.rows, gallery.rows
    return (*(side.pids.copy() for side in rows), *(side.camids.copy() for side in rows))


def _by_rank(cmc: object) -> dict[int, float]:
    return {rank: float(value) for rank, value in enumerate(np.asarray(cmc), start=1)}


def _cython(module: types.ModuleType, convention: str, query: Features, gallery: Features) -> Answer:
    product = query.x @ gallery.x.T
    if convention == "fastreid":
        distances = 1 - product
    else:
        norms = query.x.square().sum(1, keepdim=True) + gallery.x.square().sum(1)
        distances = norms.sub_(product, alpha=2)
    cmc, ap, *_ = module.evaluate_cy(distances.numpy(), *_labels(query, gallery), RANK)
    return _by_rank(cmc), float(np.mean(np.asarray(ap)))


def _transreid(module: types.ModuleType, query: Features, gallery: Features) -> Answer:
    distances = module.euclidean_distance(query.x, gallery.x)
    cmc, mean_ap = module.eval_func(distances, *_labels(query, gallery), RANK)
    return _by_rank(cmc), float(mean_ap)


def _oml(query: Features, gallery: Features) -> Answer:
    from oml.functional.knn import batched_knn_qg
    from oml.functional.metrics import calc_retrieval_metrics

    pids = [torch.tensor(side.rows.pids) for side in (query, gallery)]
    camids = [torch.tensor(side.rows.camids) for side in (query, gallery)]
    cameras = 1 + max(int(side.max()) for side in camids)
    sequences = [person * cameras + camera for person, camera in zip(pids, camids, strict=True)]
    _, retrieved, right = batched_knn_qg(query.x, gallery.x, len(gallery), *pids, None, None, *sequences)
    scores = calc_retrieval_metrics(
        retrieved, right, cmc_top_k=(1, 5, 10), precision_top_k=(), map_top_k=(len(gallery),), verbose=False
    )
    return {rank: float(value) for rank, value in scores["cmc"].items()}, float(scores["map"][len(gallery)])


def _pml(query: Features, gallery: Features) -> Answer:
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision"),
        device=torch.device("cpu"),
        knn_func=CustomKNN(CosineSimilarity()),
        kmeans_func=len,  # never called; the default needs faiss
    )
    scores = calculator.get_accuracy(query.x, query.rows.pids.copy(), gallery.x, gallery.rows.pids.copy())
    return {1: scores["precision_at_1"]}, scores["mean_average_precision"]


def main() -> None:
    """Print ratios and agreement at a chosen size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder of checkouts")
    for name, value in (("query", 3368), ("gallery", 15913), ("dim", 2048)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    query, gallery = workload.people(given.query, given.gallery, given.dim)
    peers = {peer.name: peer for peer in found(given.peers)}
    works: dict[str, Callable[[], object]] = {"crbench": lambda: evaluate(query, gallery, own_protocol({}))}
    works |= {name: partial(peer.score, query, gallery) for name, peer in peers.items()}
    times, answers = workload.seconds(works, repeats=3)
    gaps = {name: peer.gap(answers[name], query, gallery) for name, peer in peers.items()}
    for name, time in times.items():
        ratio = time["median_s"] / times["crbench"]["median_s"]
        gap = gaps.get(name)
        text = f"largest difference: CMC {gap['cmc_difference']:.1e}, mAP {gap['mAP_difference']:.1e}" if gap else ""
        print(f"{name:20} {time['median_s']:9.4f} s  {ratio:6.2f} x  {text}")  # noqa: T201
    if any(max(gap.values()) > TOLERANCE for gap in gaps.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()

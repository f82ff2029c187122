"""All that the page docs/benchmarks.md shows, measured in one run, then written and drawn.

    python benchmarks/measure.py --peers ~/checkouts        about twelve minutes on two cores; nothing else should run
    GOMP_SPINCOUNT=1000 python benchmarks/measure.py        threads wait as those of the command line do
    python benchmarks/measure.py --scale 0.02 --results /tmp/x --page /tmp/x.md    a try: half a minute

Writes ``benchmarks/results/<part>.json``, each with its hardware, the page and the image of the memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import page
import peers
import torch
import workload
from course import course, denormal_cost
from extraction import shares
from ways import NETWORKS, ways

from crbench import EvalProtocol, evaluate, load_aligner
from crbench.api.context import RunContext
from crbench.bench.ceilings import numpy_product
from crbench.bench.fit import fit_pace
from crbench.bench.repeat import repeat
from crbench.bench.stages import ranking
from crbench.bench.synthetic import clustered, noise_images, training
from crbench.harness.environment import describe_environment
from crbench.harness.extract.extractor import Extractor
from crbench.harness.stages import measure_stages
from crbench.protocol.presets import OWN_FEATURES
from crbench.records import Features
from crbench.registry.load import load_backbone
from crbench.results import Extraction

HERE = Path(__file__).parent


@attrs.frozen
class Request:
    """The scale of the measurements, and the folder of the other tools."""

    scale: float
    peers: Path | None

    def rows(self, count: int) -> int:
        """`count` rows at full scale are so many at this scale; at least 20."""
        return max(20, int(count * self.scale))


def market(request: Request, dim: int) -> dict:
    """3,368 x 15,913: crbench, its ranking alone, the product alone, and the functions of the other tools."""
    query, gallery = workload.people(request.rows(3368), request.rows(15913), dim)
    times, answers = workload.seconds(_ours(query, gallery) | {"crbench, ranking part": ranking(query, gallery)[0]})
    others = {peer.name: peer for peer in peers.found(request.peers)}
    slow, theirs = workload.seconds({name: partial(p.score, query, gallery) for name, p in others.items()}, repeats=2)
    agreement = {name: peer.gap(theirs[name], query, gallery) for name, peer in others.items()}
    return {**_about(query, gallery, answers), "seconds": times | slow, "agreement": agreement}


def hard(request: Request) -> dict:
    """3,368 x 15,913 x 2,048: features by which nobody is found, beside those of people."""
    query, gallery = workload.people(request.rows(3368), request.rows(15913), 2048)
    works: dict[str, Callable[[], object]] = {
        "product alone": partial(workload.product, query, gallery),
        "product alone, NumPy": partial(workload.product, query, gallery, numpy_product),
        "crbench": partial(evaluate, query, gallery, OWN_FEATURES),
    }
    for kind in ("normal", "relu", "close"):
        sides = workload.strangers(query, gallery, kind)
        works[f"crbench, {kind}"] = partial(evaluate, *sides, OWN_FEATURES)
    times, answers = workload.seconds(works, repeats=3)
    return {**_about(query, gallery, answers), "seconds": times, "agreement": {}}


def large(request: Request) -> dict:
    """10,000 x 100,000 x 512: crbench and the product; other tools by a twentieth of the queries, extrapolated."""
    query, gallery = workload.people(request.rows(10_000), request.rows(100_000), 512)
    times, answers = workload.seconds(_ours(query, gallery), repeats=3)
    part = query.take(np.arange(max(1, len(query) // 20)))
    others = {
        f"{peer.name}, {len(part)} queries extrapolated": partial(peer.score, part, gallery)
        for peer in peers.found(request.peers)
    }
    slow, _ = workload.seconds(others, repeats=1)
    whole = {
        name: {key: value * (len(query) / len(part) if key.endswith("_s") else 1) for key, value in time.items()}
        for name, time in slow.items()
    }
    return {**_about(query, gallery, answers), "seconds": times | whole, "agreement": {}}


def _ours(query: Features, gallery: Features) -> dict[str, Callable[[], object]]:
    works: dict[str, Callable[[], object]] = {
        "product alone": partial(workload.product, query, gallery),
        "product alone, NumPy": partial(workload.product, query, gallery, numpy_product),
        "crbench": lambda: evaluate(query, gallery, OWN_FEATURES),
    }
    for precision in ("fp32", "int8"):
        works[f"crbench, {precision}"] = partial(evaluate, query, gallery, OWN_FEATURES, precision=precision)
    return works


def _about(query: Features, gallery: Features, answers: Mapping[str, Any]) -> dict:
    """Sizes, and how hard the features are."""
    scores = answers["crbench"].scores
    found = {"R1": float(scores.cmc[0]), "mAP": scores["mAP"], "mINP": scores["mINP"]}
    return {"query": len(query), "gallery": len(gallery), "dim": query.x.shape[1], "scores": found}


def single_shot(request: Request) -> dict:
    """Ten single-shot trials over a pool of 500 images of 100 people, 3,840 columns, and the exact expectation."""
    dim = max(8, int(3840 * request.scale))
    query, gallery = workload.people(500, 500, dim, per_person=5)
    works: dict[str, Callable[[], object]] = {
        "product alone": partial(workload.product, query, gallery),
        "product alone, NumPy": partial(workload.product, query, gallery, numpy_product),
    }
    for shot in ("single:mc:10", "single:exact"):
        works[f"crbench, {shot}"] = partial(evaluate, query, gallery, EvalProtocol.of(shot=shot))
    times, answers = workload.seconds(works, repeats=20)
    rank1 = float(answers["crbench, single:exact"].scores.cmc[0])
    return {"query": 500, "gallery": 500, "dim": dim, "scores": {"R1": rank1}, "seconds": times, "agreement": {}}


GALLERIES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
OTHER_SIZES = ((3368, 15_913, 3840), (10_000, 100_000, 512))


def memory(request: Request) -> dict:
    """Peak memory of an evaluation beside its features, each gallery in a process of its own."""
    growing = [(1000, count, 64) for count in GALLERIES]
    return {
        "growing": [_peak(request, *size) for size in growing],
        "others": [_peak(request, *size) for size in OTHER_SIZES],
    }


GALLERIES_IN_FILES = (1_000_000, 3_000_000, 10_000_000)


def galleries(request: Request) -> dict:
    """1,000 queries against galleries in files of a million rows x 64, each in a process of its own."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for count in GALLERIES_IN_FILES:
            sizes = {"query": request.rows(1000), "gallery": request.rows(count), "dim": 64}
            script = [sys.executable, str(HERE / "galleries.py"), *map(str, sizes.values()), folder]
            done = subprocess.run(script, capture_output=True, text=True, check=True)
            found.append({**sizes, **json.loads(done.stdout)})
    return {"growing": found}


def _peak(request: Request, query: int, gallery: int, dim: int) -> dict:
    sizes = {"query": request.rows(query), "gallery": request.rows(gallery), "dim": dim}
    script = [sys.executable, str(HERE / "peak.py"), *map(str, sizes.values())]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    return {**sizes, **json.loads(done.stdout)}


def vpfa(request: Request) -> dict:
    """VPFA at 3,840 columns: transform of 1,024 features in both precisions, and a training step of batch 32."""
    dim = max(16, int(3840 * request.scale))
    hidden = max(16, int(2048 * request.scale))
    short = load_aligner("vpfa", epochs=1, draws=32, hidden=hidden)
    transform = short.fit(training(dim, device="cpu", persons=32), run=RunContext())
    feats = clustered(1024, 10, dim, device="cpu", seed=4, rate=4)
    moved = {}
    for precision in ("float32", "bf16"):
        way = partial(attrs.evolve(transform, precision=precision), feats)
        took = repeat(way, "cpu", spread=0.02, budget_s=10 * request.scale).quantiles
        moved[precision] = {**attrs.asdict(took), "samples_per_s": len(feats) / took.median}
    step = fit_pace(
        load_aligner("vpfa", hidden=hidden),
        training(dim, device="cpu"),
        device="cpu",
        spread=0.05,
        budget_s=20 * request.scale,
    )
    return {"dim": dim, "transform": moved, "fit": {**attrs.asdict(step.quantiles), "unit": step.unit, "batch": 32}}


def fit(request: Request) -> dict:
    """``vpfa/paper`` whole, on features on which it converges: those of LR and HR images of a person are alike."""
    dim, hidden = max(16, int(512 * request.scale)), max(16, int(2048 * request.scale))
    aligner = load_aligner("vpfa/paper", hidden=hidden, epochs=max(2, int(120 * request.scale)))
    return {"dim": dim, "hidden": hidden, **course(aligner, training(dim, device="cpu"))}


def denormals(request: Request) -> dict:
    """What an update of Adam costs whose moments are denormal, as they become in a fit that converges."""
    width = max(16, int(2048 * request.scale))
    return {"width": width, "seconds": denormal_cost(width)}


def arithmetic(request: Request) -> dict:
    """Networks as they are trained, folded, and in bf16: pace alone, pace from JPEG, scores."""
    small = attrs.evolve(NETWORKS[0], persons=request.rows(NETWORKS[0].persons), batches=1, rounds=1)
    return {"load": os.getloadavg()[0], "networks": ways(NETWORKS if request.scale == 1 else (small,))}


def extraction(request: Request) -> dict:
    """Stages of extraction by networks of random weights; the share of the network's own pace is measured in turns."""
    size = 16
    rows, read = noise_images(size * max(2, int(8 * request.scale)))
    found = {}
    for name in ("resnet-tiny", "resnet50") if request.scale == 1 else ("resnet-tiny",):
        backbone = load_backbone(name, pretrained="none")
        extractor = Extractor(backbone, read, Extraction(batch_size=size), flip=False, workers=2)
        stages = measure_stages(extractor, rows, device="cpu", repeats=3)
        share, _ = shares(extractor, rows, "cpu", turns=5)
        found[name] = {**attrs.asdict(stages), "share": share}
    return {"batch": size, "images": len(rows), "seconds_per_image": found}


PARTS: dict[str, Callable[[Request], dict]] = {
    "market-2048": lambda request: market(request, 2048),
    "market-3840": lambda request: market(request, 3840),
    "hard-2048": hard,
    "large": large,
    "single-shot": single_shot,
    "memory": memory,
    "galleries": galleries,
    "vpfa": vpfa,
    "fit": fit,
    "denormals": denormals,
    "extraction": extraction,
    "arithmetic": arithmetic,
}


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to measure; default: everything")
    parser.add_argument("--peers", type=Path, help="folder of checkouts, see peers.py")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes; below 1 for a try")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--page", type=Path, default=page.PAGE)
    given = parser.parse_args()
    for name in set(given.parts) - set(PARTS):
        parser.error(f"unknown part {name!r}; known: {', '.join(PARTS)}")
    given.results.mkdir(parents=True, exist_ok=True)
    for name in given.parts or PARTS:
        begin = time.perf_counter()
        found = PARTS[name](Request(given.scale, given.peers))
        record = {
            "part": name,
            "scale": given.scale,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": attrs.asdict(describe_environment("cpu", ())),
            "threads": torch.get_num_threads(),
            **found,
        }
        (given.results / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)  # noqa: T201
    page.write(given.results, given.page)


if __name__ == "__main__":
    main()

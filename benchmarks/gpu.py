"""What only a GPU can show, in six minutes at most on one H100 or H200: ``python benchmarks/gpu.py``.

Each step runs in a process of its own, with its share of the time, so that one that fails, hangs or brings the device
down leaves the others as they are. A step prints one JSON object at its end; what it prints before is kept if it fails.

    python benchmarks/gpu.py                                  on the device; writes benchmarks/results/gpu.json
    python benchmarks/gpu.py engines fit                      some steps; the others in that file stay
    python benchmarks/gpu.py --device cpu --scale 0.005 --results /tmp/r      a rehearsal; the numbers mean nothing

Then ``python benchmarks/page.py`` puts the goals that need a GPU, and what was measured, on the page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
import workload
from sensors import sensors

from crbench import EvalProtocol, evaluate, features_from_arrays, load_aligner, load_backbone
from crbench.api.context import RunContext
from crbench.bench.fit import fit_pace
from crbench.bench.repeat import repeat
from crbench.bench.synthetic import clustered, noise_images, training
from crbench.evaluation import PRECISIONS
from crbench.harness.environment import describe_environment
from crbench.harness.extract.extractor import Extractor
from crbench.harness.stages import measure_stages
from crbench.protocol.presets import OWN_FEATURES
from crbench.records import Features
from crbench.results import Extraction

HERE = Path(__file__).parent
ON_CUDA = [precision for precision in PRECISIONS if precision != "int8"]
"""int8 products are of the CPU."""


@attrs.frozen
class Scene:
    """Where a step runs, and how large it is."""

    device: str
    scale: float

    def rows(self, count: int, least: int = 64) -> int:
        """`count` rows at full scale are so many at this scale."""
        return max(least, int(count * self.scale))

    @property
    def engines(self) -> list[str]:
        """Those that work there."""
        return ["cupy", "torch"] if self.device.startswith("cuda") else ["numba", "torch"]


def tests(scene: Scene) -> dict[str, Any]:
    """The tests that need a GPU; without one they are skipped, and that is said."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", "tests"]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).strip().splitlines()
    if done.returncode or (scene.device.startswith("cuda") and "skipped" in lines[-1]):
        raise RuntimeError("\n".join(lines[-30:]))
    return {"said": lines[-1]}


def engines(scene: Scene) -> dict[str, Any]:
    """The ranks of every engine and precision are those of the reference, also where nearly all distances are equal."""
    found = {}
    for kind, (query, gallery) in _kinds(scene).items():
        for shot in ("multi", "single:exact"):
            protocol = EvalProtocol.of(shot=shot)
            expected = evaluate(query, gallery, protocol, engine="reference", device="cpu").outcomes
            for engine in scene.engines:
                for precision in ON_CUDA:
                    own = evaluate(
                        query, gallery, protocol, engine=engine, precision=precision, device=scene.device
                    ).outcomes
                    same = np.array_equal(own.curves(), expected.curves(), equal_nan=True) and (
                        expected.ranks is None or np.array_equal(own.ranks.ranks, expected.ranks.ranks)
                    )
                    found[f"{kind}, {shot}, {engine}, {precision}"] = bool(same)
    if not all(found.values()):
        raise RuntimeError(f"other ranks than the reference: {', '.join(n for n, same in found.items() if not same)}")
    return {"equal": len(found)}


def _kinds(scene: Scene) -> dict[str, tuple[Features, Features]]:
    people = workload.people(scene.rows(200), scene.rows(3000), 256, per_person=10)
    rng = np.random.default_rng(0)
    few = rng.integers(-1, 2, (40, 256)).astype(np.float32)

    def tied(feats: Features) -> Features:
        x = few[rng.integers(0, len(few), len(feats))]
        return attrs.evolve(feats, x=torch.from_numpy(np.where(rng.random(x.shape) < 1e-4, np.nextafter(x, 9), x)))

    return {"people": people, "ties and neighbours": (tied(people[0]), tied(people[1]))}


def market(scene: Scene) -> dict[str, Any]:
    """3,368 x 15,913 x 3,840 on the device, by engine and precision."""
    query, gallery = workload.people(scene.rows(3368), scene.rows(15_913), max(16, int(3840 * min(1, scene.scale * 4))))
    return _evaluated(scene, query, gallery, budget_s=20)


def large(scene: Scene) -> dict[str, Any]:
    """100,000 x 1,000,000 x 512, exact, drawn on the device."""
    count, items, dim = scene.rows(100_000), scene.rows(1_000_000), 512
    generator = torch.Generator(scene.device).manual_seed(0)
    centres = torch.randn(items // 20 + 1, dim, generator=generator, device=scene.device)

    def side(size: int) -> Features:
        pids = torch.randint(len(centres), (size,), generator=generator, device=scene.device)
        x = torch.randn(size, dim, generator=generator, device=scene.device).mul_(2).add_(centres[pids])
        cameras = torch.randint(6, (size,), generator=generator, device=scene.device)
        return features_from_arrays(x, pids.cpu().numpy() + 1, camids=cameras.cpu().numpy())

    return _evaluated(scene, side(count), side(items), budget_s=30)


def _evaluated(scene: Scene, query: Features, gallery: Features, *, budget_s: float) -> dict[str, Any]:
    sides = [attrs.evolve(side, x=torch.as_tensor(side.x).to(scene.device)) for side in (query, gallery)]
    works = {
        f"{engine}, {precision}": partial(evaluate, *sides, OWN_FEATURES, engine=engine, precision=precision)
        for engine in scene.engines
        for precision in ON_CUDA
    }
    times, answers = workload.seconds(works, repeats=5, budget_s=budget_s * scene.scale)
    scores = {name: [float(one.scores.cmc[0]), one.scores["mAP"]] for name, one in answers.items()}
    if len({tuple(values) for values in scores.values()}) > 1:
        raise RuntimeError(f"scores differ: {scores}")
    sizes = {"query": len(query), "gallery": len(gallery), "dim": int(sides[0].x.shape[1])}
    rank1, mean = next(iter(scores.values()))
    return {**sizes, "scores": {"R1": rank1, "mAP": mean}, "seconds": times}


def transform(scene: Scene) -> dict[str, Any]:
    """The transform of VPFA at 3,840 columns, in both precisions: samples per second."""
    dim, hidden = max(16, int(3840 * scene.scale)), max(16, int(2048 * scene.scale))
    short = load_aligner("vpfa", epochs=1, draws=32, hidden=hidden)
    fitted = short.fit(training(dim, device=scene.device, persons=32), run=RunContext(device=scene.device))
    feats = clustered(scene.rows(65_536), 10, dim, device=scene.device, seed=4, rate=4)
    found = {}
    for precision in ("float32", "bf16"):
        way = partial(attrs.evolve(fitted, precision=precision), feats)
        took = repeat(way, scene.device, spread=0.02, budget_s=10 * scene.scale).quantiles
        found[precision] = {**attrs.asdict(took), "samples_per_s": len(feats) / took.median}
    return {"dim": dim, "samples": len(feats), "transform": found}


def fit(scene: Scene) -> dict[str, Any]:
    """A training step of VPFA at 3,840 columns, batches of 32, and what 18,840 of them would take."""
    dim, hidden = max(16, int(3840 * scene.scale)), max(16, int(2048 * scene.scale))
    data = training(dim, device=scene.device)
    step = fit_pace(
        load_aligner("vpfa", hidden=hidden), data, device=scene.device, spread=0.05, budget_s=20 * scene.scale
    )
    return {"dim": dim, "step": attrs.asdict(step.quantiles), "seconds_of_18840": 18_840 * step.quantiles.median}


def extraction(scene: Scene) -> dict[str, Any]:
    """Images per second of a ViT-B and a ResNet-50, with and without bf16 and compiling; share of forward alone."""
    whole = scene.scale == 1
    names = ("transreid", "resnet50") if whole else ("resnet-tiny",)
    size = 256 if whole else 16
    rows, read = noise_images(4 * size)
    ways = {"float32": {}, "bf16": {"amp": "bf16"}, "bf16, compiled": {"amp": "bf16", "compile": True}}
    found = {}
    for name in names:
        backbone = load_backbone(name, pretrained="none", device=scene.device)
        for way, how in ways.items() if whole else [("float32", {})]:
            extractor = Extractor(backbone, read, Extraction(batch_size=size, **how), flip=False, workers=8)
            stages = measure_stages(extractor, rows, device=scene.device, repeats=3)
            found[f"{name}, {way}"] = {**attrs.asdict(stages), "share": stages.share}
    return {"batch": size, "images": len(rows), "seconds_per_image": found}


STEPS: dict[str, tuple[Callable[[Scene], dict[str, Any]], int]] = {
    "tests": (tests, 80),
    "engines": (engines, 50),
    "market": (market, 50),
    "large": (large, 80),
    "transform": (transform, 30),
    "fit": (fit, 40),
    "extraction": (extraction, 90),
}
"""Steps with the seconds that each may take at most; together they end after `LIMIT_S` whatever happens."""

LIMIT_S = 345


def taken(name: str, scene: Scene, limit: float) -> dict[str, Any]:
    """The record of a step: what it found, or how it failed."""
    options = ["--step", name, "--device", scene.device, "--scale", str(scene.scale)]
    before, begin = sensors(), time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, __file__, *options], capture_output=True, text=True, check=False, timeout=max(1, limit)
        )
        code, output, error = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        code, output, error = None, "", f"not done after {limit:.0f} s\n{late.stderr or ''}"
    record = {"seconds": time.perf_counter() - begin, "before": before, "after": sensors()}
    if code == 0:
        return {**record, "ok": True, "found": json.loads(output.strip().splitlines()[-1])}
    return {**record, "ok": False, "error": f"{output}{error}"[-4000:]}


def main() -> int:
    """Take the steps, or the one that a process of its own was started for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"default: all, {', '.join(STEPS)}")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes; below 1 for a rehearsal")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    scene = Scene(given.device, given.scale)
    if given.step is not None:
        print(json.dumps(STEPS[given.step][0](scene)))  # noqa: T201
        return 0
    for name in set(given.steps) - set(STEPS):
        parser.error(f"unknown step {name!r}; known: {', '.join(STEPS)}")
    path, begin = given.results / "gpu.json", time.perf_counter()
    steps = json.loads(path.read_text(encoding="utf-8"))["steps"] if path.exists() else {}
    given.results.mkdir(parents=True, exist_ok=True)
    for name in given.steps or STEPS:
        left = LIMIT_S - (time.perf_counter() - begin)
        steps[name] = taken(name, scene, min(STEPS[name][1], left))
        how = "done" if steps[name]["ok"] else f"failed: {steps[name]['error'].strip().splitlines()[-1]}"
        print(f"{name}: {steps[name]['seconds']:.0f} s, {how}", file=sys.stderr)  # noqa: T201
        record = {
            "part": "gpu",
            "scale": scene.scale,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": attrs.asdict(describe_environment(scene.device, ())),
            "threads": torch.get_num_threads(),
            "steps": steps,
        }
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")  # after each step: nothing is lost
    return int(not all(step["ok"] for step in steps.values()))


if __name__ == "__main__":
    sys.exit(main())

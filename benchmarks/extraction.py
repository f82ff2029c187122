"""Extraction from JPEG files, stage by stage: ``python benchmarks/extraction.py --backbone resnet50 --batch-size 8``.

The files are made up: 64x128 pixels, quality 90, about 3 kB, as the images of Market-1501 are.

How near extraction comes to the pace of its network is measured in turns, in one process: the network alone on images
that are in memory, then everything from files to features. The share is the ratio of the medians. The same ratio of
processor time says what share is left where all processors are busy, however well the two overlap.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import click
import numpy as np
import PIL.Image
from tabulate import tabulate

from crbench import load_backbone
from crbench.api.context import RunContext
from crbench.config.amp import AMP
from crbench.data.decode import read_rgb
from crbench.harness.environment import pick_device
from crbench.harness.extract.extractor import Extractor
from crbench.harness.extract.pipeline import Pipeline, worker_count
from crbench.harness.stages import measure_stages
from crbench.records import Samples
from crbench.results import Extraction
from crbench.store.features import FeatureTable


def make_files(folder: Path, count: int) -> Samples:
    """Smooth random images; the keys are their paths."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:05d}.jpg" for number in range(count)]
    for path in paths:
        coarse = PIL.Image.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8))
        coarse.resize((64, 128), PIL.Image.Resampling.BICUBIC).save(path, quality=90)
    return Samples(keys=[str(path) for path in paths], pids=np.arange(count))


def shares(extractor: Extractor, rows: Samples, device: str, turns: int) -> tuple[float, float]:
    """The pace of the whole as a share of that of the network alone: by wall time, and by processor time."""
    forward = extractor.network(device)
    size, workers = extractor.extraction.batch_size, extractor.workers
    pipeline = Pipeline(extractor.read, extractor.backbone.preprocess, batch_size=size, device=device, workers=workers)
    batches = list(pipeline.batches(rows))
    ids = np.arange(2 * len(rows), dtype=np.uint64).view("V16")  # any ids that differ

    def alone() -> None:
        for batch in batches:
            forward(batch, rows)[0].cpu()

    def whole() -> None:
        extractor.fill(FeatureTable(None), rows, ids, RunContext(device=device))

    taken: dict[Callable[[], None], list[tuple[float, float]]] = {alone: [], whole: []}
    for _ in range(turns + 1):  # the first turn warms up
        for work, times in taken.items():
            wall, processor = time.perf_counter(), time.process_time()
            work()
            times.append((time.perf_counter() - wall, time.process_time() - processor))
    network, everything = (
        [statistics.median(kind) for kind in zip(*times[1:], strict=True)] for times in taken.values()
    )
    return network[0] / everything[0], network[1] / everything[1]


@click.command()
@click.option("--backbone", default="resnet-tiny", show_default=True)
@click.option("--weights", type=click.Path(path_type=Path, exists=True))
@click.option("--device", default="auto", show_default=True)
@click.option("--batch-size", default=64, show_default=True)
@click.option("--batches", default=8, show_default=True)
@click.option("--turns", default=9, show_default=True)
@click.option("-j", "--num-workers", default=0, show_default=True)
@click.option("--amp", type=click.Choice(AMP), default="off", show_default=True)
@click.option("--compile/--no-compile", default=False)
def main(
    backbone: str,
    weights: Path | None,
    device: str,
    batch_size: int,
    batches: int,
    turns: int,
    num_workers: int,
    **how: Any,
):
    """Print milliseconds per image of each stage, and the share of the network's own throughput."""
    device = pick_device(device)
    extractor = Extractor(
        load_backbone(backbone, weights=weights, device=device),
        lambda row: read_rgb(Path(row.key)),
        Extraction(batch_size=batch_size, **how),
        flip=False,
        workers=worker_count(num_workers),
    )
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), batches * batch_size)
        stages = measure_stages(extractor, files, device=device)
        wall, processor = shares(extractor, files, device, turns)
    rows = [(name, 1000 * seconds, 1 / seconds) for name, seconds in attrs.asdict(stages).items()]
    click.echo(tabulate(rows, headers=("stage", "ms per image", "images/s"), floatfmt=(".3f", ".3f", ".0f")))
    found = f"{100 * wall:.1f} %, by processor time {100 * processor:.1f} %"
    click.echo(f"share of the pace of the network alone: {found}; {extractor.workers} threads, {device}")


if __name__ == "__main__":
    main()

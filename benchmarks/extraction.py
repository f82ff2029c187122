"""Extraction from JPEG files, stage by stage: ``python benchmarks/extraction.py --backbone resnet50 --batch-size 8``.

The files are made up: 64x128 pixels, quality 90, about 3 kB, as the images of Market-1501 are.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import attrs
import click
import numpy as np
import PIL.Image
from tabulate import tabulate

from crbench import load_backbone
from crbench.config.amp import AMP
from crbench.data.decode import read_rgb
from crbench.harness.environment import pick_device
from crbench.harness.extract.extractor import Extractor
from crbench.harness.extract.pipeline import worker_count
from crbench.harness.stages import measure_stages
from crbench.records import Samples
from crbench.results import Extraction


def make_files(folder: Path, count: int) -> Samples:
    """Smooth random images; the keys are their paths."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:05d}.jpg" for number in range(count)]
    for path in paths:
        coarse = PIL.Image.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8))
        coarse.resize((64, 128), PIL.Image.Resampling.BICUBIC).save(path, quality=90)
    return Samples(keys=[str(path) for path in paths], pids=np.arange(count))


@click.command()
@click.option("--backbone", default="resnet-tiny", show_default=True)
@click.option("--weights", type=click.Path(path_type=Path, exists=True))
@click.option("--device", default="auto", show_default=True)
@click.option("--batch-size", default=64, show_default=True)
@click.option("--batches", default=4, show_default=True)
@click.option("-j", "--num-workers", default=0, show_default=True)
@click.option("--amp", type=click.Choice(AMP), default="off", show_default=True)
@click.option("--compile/--no-compile", default=False)
def main(backbone: str, weights: Path | None, device: str, batch_size: int, batches: int, num_workers: int, **how: Any):
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
        stages = measure_stages(extractor, make_files(Path(folder), batches * batch_size), device=device)
    rows = [(name, 1000 * seconds, 1 / seconds) for name, seconds in attrs.asdict(stages).items()]
    click.echo(tabulate(rows, headers=("stage", "ms per image", "images/s"), floatfmt=(".3f", ".3f", ".0f")))
    click.echo(f"share of the forward pass: {100 * stages.share:.1f} %, {extractor.workers} threads, {device}")


if __name__ == "__main__":
    main()

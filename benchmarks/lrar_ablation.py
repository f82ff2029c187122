"""LRAR's variants on `mlr-synthetic`, over several seeds that change people, splits and training: one table.

    python benchmarks/lrar_ablation.py --seed 0 --seed 1 --seed 2 --output results/lrar

Each training of 12 epochs takes about a minute on one core. Whatever is finished is taken from the output and weights
folders, so the command may be stopped and started again.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

import crbench
from crbench.api.context import RunContext
from crbench.config.run_spec import RunSpec

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "IDE + Verif": {"training": "e2e", "masks": "none", "length": "full"},
    "w/o mask": {"training": "e2e", "masks": "none"},
    "w/o val, end-to-end": {"training": "e2e", "length": "full"},
    "w/o val, progressive": {"length": "full"},
    "end-to-end": {"training": "e2e"},
    "progressive": {},
    "end-to-end, masks start near 1": {"training": "e2e", "mask_mean": 3.0},
    "progressive, masks start near 1": {"mask_mean": 3.0},
}

DISTANCES: Mapping[str, Mapping[str, Any]] = {
    "cosine": {},
    "Euclidean": {"protocol.normalise": "none", "protocol.distance": "sqeuclidean"},
}


def scores(variant: str, seed: int, distance: str, epochs: int, output: Path) -> Mapping[str, float]:
    """Rank-1 in per cent over the trials of one training, in all and by rate."""
    changes = {f"backbone.{name}": value for name, value in VARIANTS[variant].items()}
    changes |= {"backbone.epochs": epochs, "backbone.warmup_epochs": epochs / 8}
    spec = RunSpec(
        dataset="mlr-synthetic",
        backbone="lrar/tiny",
        aligner="lrar",
        seed=seed,
        trial="0-2",
        baseline=False,
        output=output,
        set={"dataset.seed": seed, **changes, **DISTANCES[distance]},
    )
    (result,) = crbench.run(spec, context=RunContext())
    if result.status != "ok":
        raise click.ClickException(f"{variant}, seed {seed}: {result.error}")
    trials = result.trials
    by_rate = {
        f"x{rate}": 100 * statistics.fmean(trial.by_rate[rate].cmc[0] for trial in trials) for rate in trials[0].by_rate
    }
    return {"R1": 100 * statistics.fmean(trial.cmc[0] for trial in trials), **by_rate}


@click.command(help=__doc__)
@click.option("--seed", "seeds", type=int, multiple=True, default=(0, 1, 2), show_default=True)
@click.option("--variant", "variants", type=click.Choice(list(VARIANTS)), multiple=True, default=tuple(VARIANTS))
@click.option("--epochs", type=int, default=12, show_default=True, help="Length of each training.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("results/lrar"), show_default=True)
def main(seeds: tuple[int, ...], variants: tuple[str, ...], epochs: int, output: Path) -> None:
    """Train what is missing, seed by seed, and print mean and standard deviation over seeds."""
    found: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for seed in seeds:
        for variant in variants:
            for distance in DISTANCES:
                figures = scores(variant, seed, distance, epochs, output)
                found.setdefault((variant, distance), []).append(figures)
                click.echo(f"seed {seed}, {variant}, {distance}: {figures['R1']:.1f}", err=True)
    columns = ("R1", "x2", "x3", "x4")
    rows = [
        (variant, distance, *(_spread([figures[column] for figures in of_seeds]) for column in columns))
        for (variant, distance), of_seeds in found.items()
    ]
    click.echo(tabulate(rows, headers=("variant", "distance", *columns), tablefmt="github"))


def _spread(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{deviation}"


if __name__ == "__main__":
    main()

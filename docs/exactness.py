"""Draws docs/exactness.svg: ``python docs/exactness.py``.

The points are computed by the code that ranks: one query and a gallery of 1,200 items with 512 columns. One item, the
positive, shows the query's person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from crbench import EvalProtocol, features_from_arrays
from crbench.evaluation.inputs import checked
from crbench.ranking.filter import Comparison

ITEMS, COLUMNS = 1_200, 512
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "exactness", "font.family": "sans-serif", "font.size": 10}


def comparison() -> Comparison:
    """The query and its gallery; item 0 is the positive. Items hold a share of the query, so that they are near."""
    rng = np.random.default_rng(0)
    query = rng.normal(size=(1, COLUMNS))
    shares = np.r_[0.3, 0.3 + rng.normal(scale=0.02, size=ITEMS - 1)]
    gallery = shares[:, None] * query + rng.normal(size=(ITEMS, COLUMNS))
    sides = features_from_arrays(query, pids=[1]), features_from_arrays(gallery, pids=range(1, ITEMS + 1))
    return Comparison.of(checked(*sides, EvalProtocol.of(shot="multi", distance="sqeuclidean"), None))


def draw(path: Path) -> dict[str, int]:
    """Write the figure; gives how many items are surely ahead of the positive, surely behind it, and uncertain."""
    both = comparison()
    exact = both.exact(torch.zeros(ITEMS, dtype=torch.int64), torch.arange(ITEMS), COLUMNS).numpy()
    tile = both.tile(slice(0, 1), slice(0, ITEMS), COLUMNS, "bf16")
    error, found = float(tile.errors[0, 0]), tile.distances[0].double().numpy()[1:] - exact[0]
    exact = exact[1:] - exact[0]
    ahead, behind = found < -error, found > error
    groups = {"surely ahead": ahead, "uncertain: computed again in float64": ~ahead & ~behind, "surely behind": behind}
    with rc_context(SETTINGS):
        figure = Figure(figsize=(8, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.axhspan(-error, error, color="#d95f02", alpha=0.15, lw=0)
        axes.axhline(0, color="black", lw=0.6)
        axes.axvline(0, color="black", lw=0.6)
        for (name, mask), colour in zip(groups.items(), ("#1b7837", "#d95f02", "#8c8c8c"), strict=True):
            shown = mask & (np.abs(exact) < 4 * error)
            axes.scatter(exact[shown], found[shown], s=10, color=colour, label=f"{name} ({mask.sum()})")
        axes.text(4 * error, -0.5 * error, "error bound of the product", ha="right", va="center")
        axes.set_xlabel("exact distance of an item to the query, minus that of the positive")
        axes.set_ylabel("the same by a bfloat16 product")
        axes.legend(loc="upper left", frameon=False)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    return {name: int(mask.sum()) for name, mask in groups.items()}


if __name__ == "__main__":
    draw(Path(__file__).with_suffix(".svg"))

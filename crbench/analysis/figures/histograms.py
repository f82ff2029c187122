"""Distances of true and false pairs, by rate and method: how well do they part?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crbench.analysis.distances import RatePairs
from crbench.analysis.figures.style import FALSE, SOFT, TRUE, new_figure
from crbench.errors import EvaluationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 64


def nearer(pairs: RatePairs) -> float:
    """The probability that a true pair is nearer than a false one, within a bin of the false ones (area under the ROC).

    NaN where there are none.
    """
    total = pairs.counts.sum()
    if not total or not len(pairs.true):
        return float("nan")
    below = np.interp(pairs.true, pairs.edges, np.concatenate([[0], np.cumsum(pairs.counts)]))
    return float(1 - (below / total).mean())


def shares(pairs: RatePairs, edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares f64[k] of true and of false pairs in bins; the collected bins of the false ones are joined."""
    true = np.histogram(pairs.true, edges)[0] / max(1, len(pairs.true))
    cumulative = np.interp(edges, pairs.edges, np.concatenate([[0], np.cumsum(pairs.counts)]))
    return true, np.diff(cumulative) / max(1, pairs.counts.sum())


def draw(methods: Mapping[str, Mapping[float, RatePairs]], distance: str) -> Figure:
    """A panel for each method and rate.

    Raises:
        EvaluationError: there are no false pairs, as with a single person.
    """
    everything = [pairs for rates in methods.values() for pairs in rates.values()]
    filled = np.flatnonzero(np.sum([pairs.counts for pairs in everything], axis=0))
    if not len(filled):
        raise EvaluationError("no pair of two people is compared, so their distances cannot be drawn")
    edges = everything[0].edges
    top = max(float(edges[filled[-1] + 1]), *(float(pairs.true.max(initial=0)) for pairs in everything))
    bins = np.linspace(0, top, _BINS + 1)
    rates = list(next(iter(methods.values())))
    figure = new_figure(2.6 * len(rates) + 0.6, 1.9 * len(methods) + 0.7)
    grid = figure.subplots(len(methods), len(rates), squeeze=False, sharex=True, sharey=True)
    for line, (name, found) in zip(grid, methods.items(), strict=True):
        for axes, rate in zip(line, rates, strict=True):
            _panel(axes, found[rate], bins, f"{name}, x{rate:g}")
    for axes in grid[-1]:
        axes.set_xlabel(f"{distance} distance")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _panel(axes: Axes, pairs: RatePairs, bins: NDArray[np.float64], title: str) -> None:
    for values, colour, label in zip(shares(pairs, bins), (TRUE, FALSE), ("same person", "other people"), strict=True):
        axes.stairs(100 * values, bins, fill=True, color=colour, alpha=0.35, label=label)
        axes.stairs(100 * values, bins, color=colour, linewidth=1)
    axes.set_title(title)
    axes.set_ylabel("% of pairs")
    axes.label_outer()
    share = nearer(pairs)
    text = f"same nearer\nthan other:\n{'not known' if math.isnan(share) else f'{100 * share:.1f} %'}"
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axes.text(0.98, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=7, color=SOFT, bbox=ground)

"""Rank-1 by two rates: that at which a method was fitted, and that at which it is tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from crbench.analysis.figures.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DARK = 0.55
"""Share of the scale from which on numbers are white."""


def draw(tables: Mapping[str, Mapping[float, Mapping[float, float]]]) -> Figure:
    """A panel for each method; all share a scale.

    Args:
        tables: fractions by method, rate of the fit and rate of the test.
    """
    first = next(iter(tables.values()))
    fits, tests = list(first), sorted({rate for line in first.values() for rate in line})
    values = {
        name: 100 * np.array([[table[at].get(rate, np.nan) for rate in tests] for at in fits])
        for name, table in tables.items()
    }
    low = min(float(np.nanmin(one)) for one in values.values())
    high = max(float(np.nanmax(one)) for one in values.values())
    figure = new_figure(0.55 * len(tests) * len(tables) + 1.4, 0.45 * len(fits) + 1.3)
    panels = figure.subplots(1, len(tables), squeeze=False, sharey=True)[0]
    for axes, (name, found) in zip(panels, values.items(), strict=True):
        image = axes.imshow(found, cmap="Blues", vmin=low, vmax=high, aspect="auto")
        for (row, column), value in np.ndenumerate(found):
            dark = high > low and (value - low) / (high - low) > _DARK
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color="white" if dark else "black", size=8)
        axes.set_xticks(range(len(tests)), [f"x{rate:g}" for rate in tests])
        axes.set_yticks(range(len(fits)), [f"x{rate:g}" for rate in fits])
        axes.set(title=name, xlabel="queries shrunk by")
        axes.grid(False)
    panels[0].set_ylabel("fitted at")
    figure.colorbar(image, ax=list(panels), label="Rank-1, per cent")
    return figure

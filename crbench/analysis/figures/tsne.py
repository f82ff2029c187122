"""t-SNE of some people before and after aligners: identity as colour, rate as brightness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.analysis.figures.style import SOFT, new_figure
from crbench.analysis.people import Floats
from crbench.data.draws import shuffled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PERPLEXITY = 30.0
_PALEST = 0.72
"""Share of white in the colour of the highest rate."""


@attrs.frozen(eq=False)
class View:
    """Some people in HR and at several rates, as one method gives them.

    Attributes:
        x: f[n, D].
        pids: i64[n].
        keys: str[n], the image of each row.
        rates: f[n], 1 = HR.
    """

    x: Floats
    pids: NDArray[np.int64]
    keys: NDArray[np.str_]
    rates: NDArray[np.floating]


def drawn_people(pids: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Some people, drawn by the seed from their numbers."""
    chosen = shuffled(f"analysis|seed {seed}|t-SNE", np.unique(pids).tolist())[:count]
    return np.array(sorted(int(str(pid)) for pid in chosen), dtype=np.int64)


def embedded(x: Floats, seed: int) -> NDArray[np.float64]:
    """Places f64[n, 2] by t-SNE of unit features, so that neighbours are those of the cosine; the same for a seed."""
    from sklearn.manifold import TSNE

    unit = np.asarray(x, dtype=np.float64)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    perplexity = min(_PERPLEXITY, (len(unit) - 1) / 3)
    found: NDArray[np.float64] = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(unit)
    return found.astype(np.float64)


def own_nearest(view: View) -> float:
    """Share of LR images whose nearest other image in HR shows their person, by the cosine of whole features."""
    unit = np.asarray(view.x, dtype=np.float64)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    hr = view.rates == 1
    products = unit[~hr] @ unit[hr].T
    products[view.keys[~hr][:, None] == view.keys[hr]] = -np.inf
    return float((view.pids[hr][products.argmax(axis=1)] == view.pids[~hr]).mean())


def draw(views: Mapping[str, View], seed: int) -> Figure:
    """A panel for each method."""
    from matplotlib.lines import Line2D

    figure = new_figure(3.6 * len(views), 4.2)
    panels = figure.subplots(1, len(views), squeeze=False)[0]
    first = next(iter(views.values()))
    rates, colours = np.unique(first.rates), _colours(np.unique(first.pids))
    for axes, (name, view) in zip(panels, views.items(), strict=True):
        places = embedded(view.x, seed)
        for rate in rates[::-1]:  # HR comes last, on top
            for pid, colour in colours.items():
                rows = (view.rates == rate) & (view.pids == pid)
                look = {"marker": "o" if rate == 1 else ".", "s": 26 if rate == 1 else 34, "linewidths": 0.4}
                shown = _paler(colour, rate, rates)
                edge = "white" if rate == 1 else "none"
                axes.scatter(*places[rows].T, color=[shown], edgecolors=edge, **look)
        axes.set_title(f"{name}: {100 * own_nearest(view):.0f} % of LR images nearest to their person")
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
    shades = [_paler((0.25, 0.25, 0.25), rate, rates) for rate in rates]
    labels = ["HR" if rate == 1 else f"x{rate:g}" for rate in rates]
    handles = [Line2D([], [], marker="o", linestyle="", color=shade) for shade in shades]
    title = f"{len(colours)} people by colour, rates by brightness; places show neighbourhoods, not distances"
    legend = figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), title=title)
    legend.get_title().set(fontsize=8, color=SOFT)
    return figure


def _colours(people: NDArray[np.int64]) -> dict[int, tuple[float, float, float]]:
    """Hues as far from each other as can be, dark enough to be seen."""
    from matplotlib.colors import hsv_to_rgb

    places = np.arange(len(people))
    hsv = np.column_stack([places / len(people), np.full(len(people), 0.85), np.where(places % 2, 0.55, 0.8)])
    return {int(pid): tuple(map(float, colour)) for pid, colour in zip(people, hsv_to_rgb(hsv), strict=True)}  # type: ignore[misc]


def _paler(colour: tuple[float, float, float], rate: float, rates: NDArray[np.floating]) -> tuple[float, float, float]:
    """The colour of a rate: HR as it is, the highest rate the palest."""
    white = _PALEST * float(np.searchsorted(rates, rate)) / max(1, len(rates) - 1)
    red, green, blue = (channel + white * (1 - channel) for channel in colour)
    return red, green, blue

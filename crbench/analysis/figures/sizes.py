"""Rank-1 by rate and by the height of the query's image: down to which size is a method of use?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.analysis.figures.style import MARKERS, SERIES, SOFT, new_figure
from crbench.analysis.offsets import Estimate
from crbench.harness.ranked import RankedTrial
from crbench.statistics import TrialQueries, intervals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BINS = 8
_MOST_INSIDE = 4
"""Methods whose legend fits among the lines."""

_DASHES = ((0, (4, 2)), (0, (1, 1.5)))
_FEWEST_QUERIES = 25
"""Queries of a bin of heights, at least."""


@attrs.frozen
class Size:
    """Rank-1 of the queries of one size.

    Attributes:
        at: the rate, or the mean height in pixels.
        label: rate, or height, or from which to which.
        queries: their number.
    """

    at: float
    label: str
    queries: int
    rank1: Estimate


def rank1_by(trial: RankedTrial, groups: NDArray[np.intp], at: Sequence[float], labels: Sequence[str]) -> list[Size]:
    """Rank-1 of groups of queries, intp[q], with intervals over people; groups of which no query counts are left out.

    Args:
        at, labels: of each group, see `Size`.
    """
    queries = TrialQueries.of(trial.trial.index, trial.split.query, trial.evaluation.per_query)
    counted = trial.evaluation.per_query.counted
    # intervals are given for all queries and by rate, so numbers of groups stand in the place of rates
    numbered = attrs.evolve(queries, rates=(groups[counted] + 1).astype(np.str_))
    found = intervals([numbered])
    sizes = []
    for group, (place, label) in enumerate(zip(at, labels, strict=True), start=1):
        values = numbered.values["R1"][numbered.rates == str(group)]
        if not len(values):
            continue
        own = None if found is None else found.by_rate.get(str(group), {}).get("R1")
        ends = (np.nan, np.nan) if own is None else (own.low, own.high)
        sizes.append(Size(place, label, len(values), Estimate(float(values.mean()), *ends)))
    return sizes


def by_rate(trial: RankedTrial) -> list[Size]:
    """Rank-1 by the rate of the query."""
    rates, groups = np.unique(trial.split.query.rates, return_inverse=True)
    return rank1_by(trial, groups, rates.tolist(), [f"x{rate:g}" for rate in rates.tolist()])


def by_height(trial: RankedTrial, heights: NDArray[np.int64]) -> list[Size]:
    """Rank-1 by the height i64[q] of the queries' images, in up to eight bins of enough queries."""
    groups = height_bins(heights)
    parts = [heights[groups == group] for group in range(groups.max() + 1)]
    labels = [f"{part.min()}" if part.min() == part.max() else f"{part.min()}-{part.max()}" for part in parts]
    return rank1_by(trial, groups, [float(part.mean()) for part in parts], labels)


def height_bins(heights: NDArray[np.int64]) -> NDArray[np.intp]:
    """A group for each height, from the smallest on; equal heights are in one.

    Example:
        >>> height_bins(np.repeat([30, 40, 64], 50))[[0, 50, 100]].tolist()
        [0, 1, 2]
    """
    values, places, counts = np.unique(heights, return_inverse=True, return_counts=True)
    least = max(_FEWEST_QUERIES, -(-len(heights) // _MOST_BINS))
    groups, group, inside = np.zeros(len(values), dtype=np.intp), 0, 0
    left = len(heights)
    for place, count in enumerate(counts.tolist()):
        if inside >= least and left >= _FEWEST_QUERIES:
            group, inside = group + 1, 0
        groups[place] = group
        inside, left = inside + count, left - count
    found: NDArray[np.intp] = groups[places]
    return found


def usable_down_to(sizes: Sequence[Size], least: float) -> Size | None:
    """The smallest images at which, and above which everywhere, Rank-1 is at least this fraction; None = nowhere."""
    usable = None
    for size in sorted(sizes, key=lambda size: -size.at):
        if size.rank1.value < least:
            break
        usable = size
    return usable


def draw(
    methods: Mapping[str, Sequence[Size]],
    xlabel: str,
    *,
    rising: bool,
    least: float | None = None,
    references: Sequence[str] = (),
) -> Figure:
    """Rank-1 with bands, a line for each method; with bars where there is a single size.

    Args:
        rising: sizes grow to the right; else they shrink.
        least: fraction above which a method counts as usable, drawn as a line.
        references: lines that others are read against, dashed and grey.
    """
    many = len(methods) > _MOST_INSIDE
    figure = new_figure(6.8 if many else 5.2, 3.4)
    axes = figure.add_subplot()
    numbers = iter(range(len(methods)))
    shown = next(iter(methods.values()))
    single = len(shown) == 1  # a band between two sizes has no width there
    for name, sizes in methods.items():
        reference = name in references
        place = references.index(name) if reference else next(numbers)
        colour = SOFT if reference else SERIES[place % len(SERIES)]
        line = {"linestyle": _DASHES[place % len(_DASHES)]} if reference else {"marker": MARKERS[place % len(MARKERS)]}
        at = [size.at for size in sizes]
        values, low, high = (
            100 * np.array([getattr(size.rank1, end) for size in sizes]) for end in ("value", "low", "high")
        )
        axes.plot(at, values, color=colour, markersize=5, label=name, **line)
        if single:
            axes.vlines(at, low, high, color=colour, linewidth=1.5, alpha=0.6)
        else:
            axes.fill_between(at, low, high, color=colour, alpha=0.14, linewidth=0)
    axes.set_xticks([size.at for size in shown], [f"{size.label}\n{size.queries}" for size in shown])
    if not rising:
        axes.invert_xaxis()
    if least is not None:
        axes.axhline(100 * least, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set(xlabel=xlabel, ylabel="Rank-1, per cent", ylim=(0, 100))
    shape = "bars" if single else "bands"
    about: dict[str, Any] = {"title": f"{shape}: 95 %\nintervals over people", "title_fontsize": 7}
    if many:
        figure.legend(loc="outside right center", **about)
    else:
        axes.legend(**about)
    return figure

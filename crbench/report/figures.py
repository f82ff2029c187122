"""The figures of the page: Rank-1 by rate, CMC curves, accuracy against cost. matplotlib draws them, if it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from markupsafe import Markup

from crbench.leaderboard.board import Block, Row
from crbench.leaderboard.formats import short
from crbench.leaderboard.speeds import Speed
from crbench.report.series import Series, curve, rates
from crbench.report.svg import CARD, SERIES, SETTINGS, SOFT, inline_svg, symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CMC_LENGTH = 20
"""Ranks that the curves show."""

_SIZE = 350, 235
_MARGINS = {"left": 0.125, "right": 0.975, "top": 0.965, "bottom": 0.175}
_POINTS_PER_INCH = 72
_MARKERS = ("o", "s", "^", "D", "v", "X")
_DASHES: tuple[Any, ...] = (
    "-",
    (0, (6, 2)),
    (0, (2, 1.5)),
    (0, (7, 2, 1.5, 2)),
    (0, (4, 1.5, 1, 1.5, 1, 1.5)),
    (0, (1, 2)),
)
_FEWEST = 2
_BANDS = (
    "Bands: 95 % intervals over people. Methods are compared on the same people, so a difference may be sure although "
    "bands overlap."
)
_TEN_STEPS = 50


@attrs.frozen
class Drawn:
    """A figure of the page.

    Attributes:
        title: stands above it.
        svg: the figure; it says in words what it shows.
        note: how to read it.
    """

    title: str
    svg: Markup
    note: str = ""


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


@contextmanager
def _style(name: str) -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context({**SETTINGS, "svg.hashsalt": name}):
        yield


def _axes(size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] / _POINTS_PER_INCH, size[1] / _POINTS_PER_INCH))
    axes = figure.add_subplot()
    figure.subplots_adjust(**_MARGINS)
    axes.tick_params(length=0, pad=4)
    return figure, axes


def _line(place: int) -> dict[str, Any]:
    colour = SERIES[place]
    return {
        "color": colour,
        "linestyle": _DASHES[place],
        "marker": _MARKERS[place],
        "markerfacecolor": colour,
        "markeredgecolor": CARD,
        "markeredgewidth": 0.8,
    }


@cache
def swatch(place: int) -> Markup:
    """Line and marker of a place as a symbol, for legends."""
    name = f"swatch-{place}"
    with _style(name):
        figure, axes = _axes((34, 12))
        figure.subplots_adjust(left=0, right=1, top=1, bottom=0)
        axes.set_axis_off()
        axes.set(xlim=(0, 2), ylim=(0, 2))
        axes.plot([0.05, 1, 1.95], [1, 1, 1], **_line(place), markevery=[1])
        return symbol(figure, name=name)


def by_rate(series: Sequence[Series], name: str) -> Drawn | None:
    """Rank-1 against the down-sampling rate of the queries; None where there are not two rates."""
    known = rates(series)
    if len(known) < _FEWEST:
        return None
    with _style(name):
        figure, axes = _axes()
        for one in series:
            found = {float(rate): one.row.scores.get(f"R1@{rate}") for rate in known}
            shown = {rate: 100 * score.mean for rate, score in found.items() if score}
            axes.plot(list(shown), list(shown.values()), **_line(one.place), clip_on=False)
            bands = [
                (rate, 100 * score.low, 100 * score.high)
                for rate, score in found.items()
                if score and score.low is not None and score.high is not None
            ]
            rows = np.array(bands).reshape(-1, 3)
            axes.fill_between(rows[:, 0], rows[:, 1], rows[:, 2], color=SERIES[one.place], alpha=0.14, linewidth=0)
        axes.set_xticks([float(rate) for rate in known], known)
        axes.set(xlabel="queries shrunk by")
        _per_cent(axes)
        label = f"Rank-1 in per cent by down-sampling rate of the queries. {_by_rate_in_words(series, known)}"
        banded = any(one.row.scores[key].low is not None for one in series for key in one.row.scores if "R1@" in key)
        return Drawn("Rank-1 by rate", inline_svg(figure, name=name, label=label), _BANDS if banded else "")


def _by_rate_in_words(series: Sequence[Series], known: Sequence[str]) -> str:
    def text(one: Series) -> str:
        scores = [(rate, one.row.scores.get(f"R1@{rate}")) for rate in known]
        return f"{one.name}: {', '.join(f'{100 * score.mean:.1f} at {rate}' for rate, score in scores if score)}."

    return " ".join(map(text, series))


def _per_cent(axes: Axes) -> None:
    """Scale and ticks of shares in per cent, over what the data reach."""
    low, high = axes.dataLim.intervaly
    step = 10 if high - low <= _TEN_STEPS else 20
    bottom, top = step * max(0, floor(low / step - 0.1)), min(100, step * ceil(high / step + 0.1))
    ticks = range(bottom, top + 1, step)
    axes.set_ylim(bottom, top)
    axes.set_yticks(ticks, [f"{tick} %" if tick == ticks[-1] else str(tick) for tick in ticks])


def cmc(series: Sequence[Series], name: str) -> Drawn | None:
    """The CMC curves; None where they have one rank only."""
    curves = [(one, curve(one.row, CMC_LENGTH)) for one in series]
    length = max((len(values) for _, values in curves), default=0)
    if length < _FEWEST:
        return None
    with _style(name):
        figure, axes = _axes()
        for one, values in curves:
            line = {**_line(one.place), "markevery": [0, 4, 9, 19][: 1 + sum(len(values) > end for end in (4, 9, 19))]}
            axes.plot(range(1, len(values) + 1), values, **line, clip_on=False)
        axes.set_xticks([rank for rank in (1, 5, 10, 15, 20) if rank <= length])
        axes.set(xlabel="rank", xlim=(0.5, length + 0.25))
        _per_cent(axes)
        words = " ".join(
            f"{one.name}: {values[0]:.1f} at rank 1, {values[-1]:.1f} at rank {len(values)}." for one, values in curves
        )
        return Drawn(
            "CMC curves",
            inline_svg(figure, name=name, label=f"Share of queries with a match among the first ranks. {words}"),
        )


def costs(block: Block, series: Sequence[Series], name: str) -> list[Drawn]:
    """Rank-1 against what a method costs: learned parameters, operations and, where it was measured, speed."""
    kinds: list[tuple[str, str, Callable[[Row], float | None]]] = [
        ("size", "learned parameters", _total("parameter_count")),
        ("operations", "multiply-accumulates for one image", _total("macs")),
        *((f"speed on {speed.machine}", speed.title, _speed(speed)) for speed in block.speeds()),
    ]
    found = (_cost(block, series, f"{name}-{place}", *kind) for place, kind in enumerate(kinds))
    return [one for one in found if one is not None]


def _total(name: str) -> Callable[[Row], float | None]:
    """What backbone and aligner have together; None where one is not known."""

    def total(row: Row) -> float | None:
        parts = [getattr(part, name) for part in (row.result.method.backbone, row.result.method.aligner)]
        return None if None in parts else float(sum(parts))

    return total


def _speed(shown: Speed) -> Callable[[Row], float | None]:
    return lambda row: next((speed.per_second for speed in row.speeds if speed.key == shown.key), None)


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis of costs, whose labels stand apart also where all costs are of one size."""
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

    axes.set_xscale("log")
    span = max(values) / min(values)
    in_decades = LogLocator(subs=(1, 2, 5) if span < 100 else (1,), numticks=6)
    axes.xaxis.set_major_locator(MaxNLocator(4) if span < 10 else in_decades)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.minorticks_off()


def _cost(
    block: Block, series: Sequence[Series], name: str, title: str, unit: str, get: Callable[[Row], float | None]
) -> Drawn | None:
    """Rank-1 of all rows against one cost; None where it does not differ between them."""
    points = [(row, cost) for row in block.rows if (cost := get(row))]
    if len({cost for _, cost in points}) < _FEWEST:
        return None
    places = {id(one.row): one.place for one in series}
    with _style(name):
        figure, axes = _axes()
        for row, cost in sorted(points, key=lambda point: id(point[0]) in places):
            place = places.get(id(row))
            look = {"color": SOFT, "marker": ".", "alpha": 0.6} if place is None else {**_line(place), "linestyle": ""}
            axes.plot([cost], [100 * row.scores["R1"].mean], **look, clip_on=False)
        _logarithmic(axes, [cost for _, cost in points])
        axes.set(xlabel=unit)
        _per_cent(axes)
        words = " ".join(
            f"{one.name}: {100 * one.row.scores['R1'].mean:.1f} at {short(cost)}."
            for one in series
            if (cost := get(one.row))
        )
        left_out = len(block.rows) - len(points)
        note = f"Not known of {left_out} of {len(block.rows)} rows." if left_out else ""
        svg = inline_svg(figure, name=name, label=f"Rank-1 in per cent against {title}. {words}")
        return Drawn(f"Rank-1 against {title}", svg, note)

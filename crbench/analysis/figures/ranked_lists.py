"""Ranked lists of some queries: what each method finds first, framed green where it is the person, red where not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crbench.analysis.figures.style import RIGHT, SOFT, WRONG, new_figure
from crbench.data.draws import hashes
from crbench.errors import ConfigError
from crbench.harness.ranked import RankedTrial
from crbench.images.tile import tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

SHOWN = 8
"""Gallery images of a list."""

ROWS = 200
"""Rows of a figure, at most: an image of more is taller than what most programs open."""


def drawn_queries(trial: RankedTrial, count: int, seed: int) -> NDArray[np.intp]:
    """Queries that count, each of another person, rate by rate in turn; drawn by the seed, not by what is found."""
    rows = trial.split.query
    order = np.argsort(hashes(f"analysis|seed {seed}|ranked lists", rows.keys.tolist()), kind="stable")
    valid = [place for place in order.tolist() if trial.evaluation.per_query.valid[place]]
    queues = {rate: [place for place in valid if rows.rates[place] == rate] for rate in np.unique(rows.rates)}
    chosen: list[int] = []
    while len(chosen) < count and any(queues.values()):
        for queue in queues.values():
            seen = {int(rows.pids[place]) for place in chosen}
            queue[:] = [place for place in queue if int(rows.pids[place]) not in seen]
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return np.array(chosen, dtype=np.intp)


def draw(trials: Mapping[str, RankedTrial], queries: NDArray[np.intp], *, blur: bool = False) -> Figure:
    """A row of images for each query and method.

    Args:
        trials: of one split, by the name of the method.
        blur: blur the top of each image.

    Raises:
        ConfigError: more than `ROWS` rows.
        EvaluationError: see `crbench.evaluation.nearest.nearest`.
        DataError: an image cannot be read.
    """
    rows = len(queries) * len(trials)
    if rows > ROWS:
        raise ConfigError(
            f"ranked lists of {len(queries)} queries and {len(trials)} methods are {rows} rows; a figure holds {ROWS}: "
            f"give --queries {max(1, ROWS // len(trials))} or fewer"
        )
    lists = {name: trial.nearest(queries, SHOWN) for name, trial in trials.items()}
    figure = new_figure(0.72 * (SHOWN + 2.2), 1.28 * rows + 0.3)
    grid = figure.subplots(rows, SHOWN + 1, squeeze=False)
    for number, query in enumerate(queries.tolist()):
        for place, (name, trial) in enumerate(trials.items()):
            line = grid[number * len(trials) + place]
            row = trial.split.query.row(query)
            image = trial.read(row)
            _image(line[0], image, blur=blur)
            line[0].set_title(f"x{row.rate:g}, {image.width} x {image.height}", fontsize=6, color=SOFT, pad=2)
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
            _list(line[1:], trial, row.pid, lists[name][query], blur=blur)
    return figure


def _list(panels: NDArray[np.object_], trial: RankedTrial, pid: int, found: NDArray[np.intp], *, blur: bool) -> None:
    gallery = trial.split.gallery
    for rank, axes in enumerate(panels, start=1):
        if rank > len(found):
            axes.set_axis_off()
            continue
        row = gallery.row(int(found[rank - 1]))
        right = row.pid == pid
        _image(axes, trial.read(row), blur=blur)
        axes.set_title(f"{rank} {'✓' if right else '✗'}", fontsize=7, color=RIGHT if right else WRONG, pad=2)
        for spine in axes.spines.values():
            spine.set(visible=True, color=RIGHT if right else WRONG, linewidth=2.2)


def _image(axes: Axes, image: Image, *, blur: bool) -> None:
    axes.imshow(np.asarray(tile(image, blur=blur)), aspect="auto", interpolation="none")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color="#b6bac2", linewidth=0.6)

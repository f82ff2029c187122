"""What all figures share: colours, sizes, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crbench.errors import ConfigError
from crbench.store.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES = ("#0072b2", "#c94f00", "#007a5a", "#aa3377", "#7d6100", "#595f67")
"""Colours of methods, which readers with any kind of sight tell apart; those of the page of ``crbench report``."""

MARKERS = ("o", "s", "^", "D", "v", "X")
TRUE, FALSE = SERIES[0], SERIES[1]
RIGHT, WRONG = "#1a8f3c", "#c62828"
SOFT = "#5f6670"

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "crbench",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.edgecolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e6ea",
    "legend.frameon": False,
}
_FORMATS = ("png", "svg")
_DPI = 150


def check_drawable(*packages: str) -> None:
    """Refuse figures whose packages are not installed.

    Raises:
        ConfigError: one is not.
    """
    if missing := [name for name in ("matplotlib", *packages) if find_spec(name) is None]:
        raise ConfigError(f"figures need {', '.join(missing)}; install them with: pip install 'crbench[plot]'")


@contextmanager
def style() -> Iterator[None]:
    """The settings of matplotlib in which figures are made and written."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def write_figure(figure: Figure, folder: Path, name: str, foot: str) -> list[Path]:
    """Write a figure as PNG and SVG, with a line below it that says what it is of; equal figures give equal files.

    Raises:
        SystemFaultError: it cannot be written.
    """
    figure.supxlabel(foot, fontsize=7, color=SOFT)
    paths = []
    for form in _FORMATS:
        path = folder / f"{name}.{form}"
        options = {"metadata": {"Date": None, "Creator": None}} if form == "svg" else {"dpi": _DPI}
        write_whole(path, lambda file, form=form, options=options: figure.savefig(file, format=form, **options))  # type: ignore[misc]
        paths.append(path)
    return paths

"""A plot of a training: loss and its parts by epoch, and scores where epochs were evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crbench.store.files import write_whole


def draw_curve(epochs: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Write the plot as PNG.

    Args:
        epochs: records of `crbench.training.Epoch` as plain dictionaries.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
        SystemFaultError: the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    numbers = range(1, len(epochs) + 1)
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot()
    marker = "o" if len(epochs) == 1 else None
    left.plot(numbers, [epoch["loss"] for epoch in epochs], label="loss", color="black", marker=marker)
    for name in epochs[0]["figures"] if epochs else ():
        if name.endswith("loss"):
            values = [epoch["figures"].get(name, float("nan")) for epoch in epochs]
            left.plot(numbers, values, label=name.replace("_", " "), linestyle="--", marker=marker)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="epoch", ylabel="loss", title=title, ylim=(0, None))
    scored = [number for number in numbers if epochs[number - 1]["scores"]]
    if scored:
        right = left.twinx()
        name = next(iter(epochs[scored[0] - 1]["scores"]))
        values = [100 * epochs[number - 1]["scores"][name] for number in scored]
        right.plot(scored, values, label=name, color="tab:red", marker="o")
        right.set(ylabel=f"{name} in per cent", ylim=(0, 100))
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=150))

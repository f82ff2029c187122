"""Features of people for the measurements, and the products that an evaluation is held against."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
import torch

from crbench import features_from_arrays
from crbench.bench.ceilings import Product, fastest_product
from crbench.records import Features

BLOCK, ITEMS = 1024, 4096
REPEATS = 5
PAUSE_S = 0.15
SEPARATION = 4.0
"""Mean similarity of two images of one person, in standard deviations of the similarity of two people.

The more images of other people come before a positive, the more there is to count. With this value Rank-1 is about 99 %
and mAP 78 % at 15,913 gallery items, as for a good network on Market-1501.
"""


def people(query: int, gallery: int, dim: int, *, per_person: int = 20, seed: int = 0) -> tuple[Features, Features]:
    """Unit rows around one centre per person, six cameras; every person is in the gallery; see `SEPARATION`."""
    rng = np.random.default_rng(seed)
    noise = max(0.0, math.sqrt(dim) / SEPARATION - 1) ** 0.5  # similarity of two images of one: 1 / (1 + noise^2)
    persons = max(1, gallery // per_person)
    centres = rng.standard_normal((persons, dim), dtype=np.float32)

    def side(count: int) -> Features:
        pids = rng.permutation(np.arange(count) % persons)
        x = rng.standard_normal((count, dim), dtype=np.float32)
        x *= noise
        x += centres[pids]
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        return features_from_arrays(x, pids=pids + 1, camids=rng.integers(0, 6, count))

    return side(query), side(gallery)


def strangers(query: Features, gallery: Features, kind: str) -> tuple[Features, Features]:
    """Features of the same sizes and labels that know nothing of people, so that nearly all come before a positive.

    Args:
        kind: ``normal``, ``relu`` (the same, not below 0: cosines near 0.32) or ``close`` (cosines near 0.99, as those
            of an untrained network).
    """
    rng = np.random.default_rng(0)
    middle = 10 * rng.standard_normal(query.x.shape[1], dtype=np.float32)

    def side(feats: Features) -> Features:
        x = rng.standard_normal(feats.x.shape, dtype=np.float32)
        x = {"normal": x, "relu": np.maximum(x, 0), "close": middle + x}[kind]
        return attrs.evolve(feats, x=torch.from_numpy(x))

    return side(query), side(gallery)


def product(query: Features, gallery: Features, multiply: Product | None = None) -> None:
    """The float32 matrix product alone, in blocks that are thrown away; by the fastest library unless one is given."""
    multiply = multiply or fastest_product("cpu")
    held = torch.empty(min(BLOCK, len(query)), min(ITEMS, len(gallery)))
    for start in range(0, len(query), BLOCK):
        rows = query.x[start : start + BLOCK]
        for first in range(0, len(gallery), ITEMS):
            items = gallery.x[first : first + ITEMS]
            multiply(rows, items, held.view(-1)[: len(rows) * len(items)].view(len(rows), len(items)))


def seconds(
    works: Mapping[str, Callable[[], object]], *, repeats: int = REPEATS, budget_s: float = 60
) -> tuple[dict[str, dict], dict[str, Any]]:
    """Median and quartiles of the time of each work.

    The works are called in turn, so that other load on the machine slows all of them. Each is called once to warm up.
    Rounds stop after `repeats`, or when `budget_s` is spent (two rounds at least). `settle` comes before each call.

    Returns:
        Times, and what the warm-up calls gave, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    answers = {name: work() for name, work in works.items()}
    started = time.perf_counter()
    for number in range(repeats):
        if number >= 2 and time.perf_counter() - started > budget_s:
            break
        for name, work in works.items():
            settle()
            begin = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - begin)
    return {name: summary(values) for name, values in times.items()}, answers


def settle() -> None:
    """Let `PAUSE_S` pass in a busy loop.

    Threads of BLAS stay on their cores for up to a tenth of a second after a product, which would slow the next work. A
    processor that slept meanwhile would be slow to wake.
    """
    until = time.perf_counter() + PAUSE_S
    while time.perf_counter() < until:
        pass


def summary(values: list[float]) -> dict:
    """Median, quartiles and number of repeats."""
    q1, median, q3 = (float(value) for value in np.percentile(values, [25, 50, 75]))
    return {"median_s": median, "q1_s": q1, "q3_s": q3, "repeats": len(values)}

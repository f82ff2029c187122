"""The longest chain of steps that depend on each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter


def longest_chain(weights: Mapping[str, float], needs: Mapping[str, Iterable[str]]) -> tuple[float, tuple[str, ...]]:
    """The largest sum of weights along a chain in which each node needs the one before, and the nodes of such a chain.

    Args:
        weights: from 0, by node.
        needs: the nodes that a node needs, which all have weights.

    Raises:
        graphlib.CycleError: nodes need each other in a circle.

    Example:
        >>> longest_chain({"a": 1, "b": 2, "c": 5, "d": 1}, {"b": ["a"], "c": ["a"], "d": ["b", "c"]})
        (7.0, ('a', 'c', 'd'))
    """
    best: dict[str, tuple[float, str | None]] = {}
    for node in TopologicalSorter({node: tuple(needs.get(node, ())) for node in weights}).static_order():
        before = max(needs.get(node, ()), key=lambda one: best[one][0], default=None)
        best[node] = weights[node] + (0.0 if before is None else best[before][0]), before
    last = max(best, key=lambda node: best[node][0], default=None)
    chain: list[str] = []
    total = 0.0 if last is None else float(best[last][0])
    while last is not None:
        chain.append(last)
        last = best[last][1]
    return total, tuple(reversed(chain))

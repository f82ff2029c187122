"""Seconds of a step, from what such steps took on this machine; where nothing is known, none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from crbench.harness.paces import Paces, Sample, pace

REACH = 4
"""A step whose time need not grow with what it works on is told from steps of at most so many times its size."""

HERE = "this command"
"""The basis of what was measured just now, as this process does it as a run does."""

UNKNOWN = "not known"


@attrs.frozen
class Figure:
    """How long one of what a step counts takes.

    Attributes:
        pace: seconds; None = not known.
        basis: what it is taken from.
    """

    pace: float | None
    basis: str

    def seconds(self, count: int) -> float | None:
        """Of so many; a step that counts nothing is done once."""
        return None if self.pace is None else self.pace * max(1, count)


@attrs.frozen(eq=False)
class Figures:
    """What is known of this machine."""

    paces: Paces

    def linear(self, *known: tuple[str, Mapping[str, Any]]) -> Figure:
        """The pace of a step whose time grows with what it works on.

        Args:
            known: steps and what they work with; the first of them that was measured counts.
        """
        for step, of in known:
            if samples := self.paces.find(step, of):
                return _figure(samples, "" if step == known[0][0] else f"{step}, ")
        return Figure(None, UNKNOWN)

    def near(self, count: int, *known: tuple[str, Mapping[str, Any]]) -> Figure:
        """The pace of a step that also does what does not grow: from the samples that are nearest to its size.

        Args:
            known: see `linear`.
        """
        for place, (step, of) in enumerate(known):
            samples = self.paces.find(step, of)
            nearest = min((_ratio(one.count, count) for one in samples), default=REACH + 1.0)
            if nearest <= REACH:
                what = "" if not place else "of another aligner, " if step == known[0][0] else f"{step}, "
                return _figure([one for one in samples if _ratio(one.count, count) == nearest], what)
        return Figure(None, UNKNOWN)


def _ratio(one: int, other: int) -> float:
    """How many times as large the larger one is."""
    small, large = sorted((max(1, one), max(1, other)))
    return large / small


def _figure(samples: Sequence[Sample], what: str) -> Figure:
    newest = samples[-1]
    number = f"{len(samples)}, the newest " if len(samples) > 1 else ""
    return Figure(pace(samples), f"{what}{newest.by}: {number}{newest.created[:10]}")

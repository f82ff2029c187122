"""The rules of a score: ranks of a query's matches, or its CMC curve, to one number."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.testing.require import no_global_change, require

_GALLERY = 30
_RANKS = 20
_TOLERANCE = 1e-12


class Score(Protocol):
    """What the checks look at of a plugin's record of a score."""

    @property
    def target(self) -> Any:
        """The function, or ``"package.module:function"``."""

    @property
    def needs(self) -> Any:
        """``ranks`` or ``cmc``."""

    @property
    def higher_is_better(self) -> bool:
        """The direction."""

    @property
    def unit(self) -> Any:
        """``fraction`` where values are in [0, 1]."""


@attrs.frozen(slots=False, eq=False)
class Case:
    """A score on made-up queries: with one match and many, matches found first and last, and a query without any."""

    factory: Callable[[], Score]

    @cached_property
    def score(self) -> Score:
        """The record."""
        made = self.factory()
        known = getattr(made, "needs", None) in ("ranks", "cmc")
        require(known and callable(_function(made)), f"{made!r} has no target(...) that needs 'ranks' or 'cmc'")
        return made

    def queries(self) -> list[tuple[NDArray[Any], ...]]:
        """The arguments for each query alone, fresh each time."""
        return _ranked() if self.score.needs == "ranks" else _curves()

    def __call__(self, queries: Sequence[tuple[NDArray[Any], ...]]) -> NDArray[Any]:
        """The values of these queries, in one call."""
        return np.asarray(_function(self.score)(*self.joined(queries)))

    def joined(self, queries: Sequence[tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], ...]:
        """The arguments of one call for all these queries."""
        if self.score.needs == "cmc":
            return (np.concatenate([curve for (curve,) in queries]),)
        ranks = [ranks for ranks, _ in queries]
        starts = np.cumsum([0, *(len(some) for some in ranks)])
        return np.concatenate(ranks), starts, np.concatenate([candidates for _, candidates in queries])

    @cached_property
    def counts(self) -> NDArray[np.bool_]:
        """Which queries have a match; the value of the others is not looked at."""
        if self.score.needs == "cmc":
            return np.ones(len(self.queries()), dtype=np.bool_)
        return np.array([len(ranks) > 0 for ranks, _ in self.queries()])

    @cached_property
    def values(self) -> NDArray[Any]:
        """Of all queries, in one call."""
        return self(self.queries())


def interface(case: Case) -> None:
    """A score names a function that can be called, and what it needs."""
    require(case.score is not None, "there is no score")


def shape(case: Case) -> None:
    """There is one float64 for each query."""
    found = f"{case.values.dtype}{list(case.values.shape)}"
    expected = len(case.queries())
    fits = case.values.dtype == np.float64 and case.values.shape == (expected,)
    require(fits, f"the values are {found}, expected float64[{expected}]")


def defined(case: Case) -> None:
    """Every query with a match has a finite value."""
    bad = np.flatnonzero(~np.isfinite(case.values.ravel()[: len(case.counts)]) & case.counts[: case.values.size])
    require(len(bad) == 0, f"the value of query {bad[:1].tolist()} is not finite, although it has a match")


def input_kept(case: Case) -> None:
    """The arrays stay as they are."""
    given, before = case.joined(case.queries()), case.joined(case.queries())
    _function(case.score)(*given)
    kept = all(np.array_equal(one, other) for one, other in zip(given, before, strict=True))
    require(kept, "the score changed its input")


def repeatable(case: Case) -> None:
    """Two calls give the same values."""
    first, again = (case(case.queries()) for _ in range(2))
    require(np.array_equal(first, again, equal_nan=True), "two calls differ")


def independence(case: Case) -> None:
    """A query's value does not depend on the queries beside it."""
    together = case.values.ravel()
    for place in np.flatnonzero(case.counts[: case.values.size]).tolist():
        alone = case(case.queries()[place : place + 1]).ravel()[:1]
        agree = np.allclose(alone, together[place], rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
        require(agree, f"query {place} has another value when it is alone; queries must not be mixed")


def global_state(case: Case) -> None:
    """A score leaves seeds, threads and other settings of the process as they are."""
    function, given = _function(case.score), case.joined(case.queries())
    with no_global_change("the score"):
        function(*given)


def fraction(case: Case) -> None:
    """A score whose unit is a fraction lies in [0, 1]."""
    if case.score.unit == "fraction":
        known = case.values.ravel()[case.counts[: case.values.size]]
        inside = ~((known < 0) | (known > 1))  # NaN is for the check of defined values
        require(bool(inside.all()), f"values from {known.min()} to {known.max()} are no fractions")


def direction(case: Case) -> None:
    """No query has a better value than one whose matches are found first."""
    perfect = case(_perfect(case)).ravel()
    better = case.values.ravel() > perfect + _TOLERANCE
    if not case.score.higher_is_better:
        better = case.values.ravel() < perfect - _TOLERANCE
    require(not bool((better & case.counts).any()), "a worse ranking has a better value; see higher_is_better")


def _function(score: Any) -> Any:
    target = getattr(score, "target", None)
    return pkgutil.resolve_name(target) if isinstance(target, str) else target


def _ranked() -> list[tuple[NDArray[Any], ...]]:
    """For each query the ranks of its matches, from 1, and the number of its candidates."""
    matches: tuple[list[int], ...] = ([1], [4], [_GALLERY], [1, 2, 3], [2, 5, 9, 30], [], [28, 29, 30])
    return [(np.array(ranks, dtype=np.int64), np.array([_GALLERY])) for ranks in matches]


def _curves() -> list[tuple[NDArray[Any], ...]]:
    """For each query the probability that its match is among the first r, f64[1, R]."""
    starts = (1.0, 0.5, 0.0, 0.25)
    return [(np.linspace(start, 1.0, _RANKS)[None] ** 2,) for start in starts]


def _perfect(case: Case) -> list[tuple[NDArray[Any], ...]]:
    """The same queries with all matches found first."""
    if case.score.needs == "cmc":
        return [(np.ones_like(curve),) for (curve,) in case.queries()]
    return [(np.arange(1, len(ranks) + 1), candidates) for ranks, candidates in case.queries()]


RULES: Sequence[Callable[[Case], None]] = (
    interface,
    shape,
    defined,
    input_kept,
    repeatable,
    independence,
    global_state,
    fraction,
    direction,
)

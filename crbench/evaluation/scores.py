"""From outcomes to scores: the metrics' values of each query, and their means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import EvaluationError
from crbench.evaluation.outcomes import Outcomes
from crbench.evaluation.selection import Selection
from crbench.protocol import EvalProtocol
from crbench.records import Samples


@attrs.frozen(eq=False)
class Scores:
    """Means over the queries that count.

    Attributes:
        cmc: f64[50], or longer where that was asked for; entry k-1 is CMC at rank k, the share of queries with a
            match among the k nearest. Where the gallery is shorter the curve goes on flat.
        means: by metric, e.g. ``mAP``; also as ``scores["mAP"]``. Fractions in [0, 1], unless a plugin's metric says
            otherwise (`crbench.api.metric.Metric.unit`).
        n_query: all queries.
        n_valid: queries that have a match in the gallery; only these count, unless ``unmatched="zero"``.
        undefined: metrics that the protocol does not define, with the reason.
    """

    cmc: NDArray[np.float64]
    means: Mapping[str, float]
    n_query: int
    n_valid: int
    undefined: Mapping[str, str] = attrs.field(factory=dict)

    def rank(self, k: int) -> float:
        """CMC at rank `k`, from 1 to the length of the curve.

        Raises:
            ValueError: the curve does not reach that rank.
        """
        if not 1 <= k <= len(self.cmc):
            raise ValueError(f"rank {k} was not computed; the curve has ranks 1 to {len(self.cmc)}")
        return float(self.cmc[k - 1])

    def __getitem__(self, name: str) -> float:
        """The mean of a metric.

        Raises:
            EvaluationError: it is undefined, or was not asked for.
        """
        if name in self.undefined:
            raise EvaluationError(f"{name} is undefined: {self.undefined[name]}")
        if name not in self.means:
            known = ", ".join(self.means) or "the CMC"
            raise EvaluationError(f"{name} was not computed, only {known}; evaluate(metrics=[{name!r}]) asks for it")
        return self.means[name]


@attrs.frozen(eq=False)
class QueryScores:
    """The scores of each query, in the order of the query rows.

    Attributes:
        cmc: f64[q, 50], or longer; entry k-1 says whether a match is among the k nearest (0 or 1), or how probable that
            is where the gallery is drawn. NaN for a query without a match.
        values: f64[q] by metric; NaN for a query without a match.
        valid: bool[q], whether the query has a match in the gallery under the protocol's rules.
        unmatched_count: queries without a match take part in means, with zero.
        undefined: see `Scores`.
    """

    cmc: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float64]]
    valid: NDArray[np.bool_]
    unmatched_count: bool
    undefined: Mapping[str, str]

    @classmethod
    def of(cls, outcomes: Outcomes, protocol: EvalProtocol, selection: Selection) -> QueryScores:
        """What the metrics make of the outcomes.

        Raises:
            PluginError: a metric fails, or gives what is no value for each query.
        """
        ranks, valid = outcomes.ranks, outcomes.valid
        curves = outcomes.curves()
        given = {"cmc": (curves,), "ranks": () if ranks is None else (ranks.ranks, ranks.starts, ranks.candidates)}
        rules = protocol.flat()
        return cls(
            cmc=curves,
            values={one.name: one(*given[one.metric.needs], valid=valid, rules=rules) for one in selection.metrics},
            valid=valid,
            unmatched_count=protocol.scoring.unmatched == "zero",
            undefined=selection.undefined,
        )

    @property
    def counted(self) -> NDArray[np.bool_]:
        """bool[q], the queries that take part in means."""
        return np.ones_like(self.valid) if self.unmatched_count else self.valid

    def scores(self, mask: NDArray[np.bool_] | None = None) -> Scores:
        """Means over the queries that count, or over those of them in a mask bool[q].

        Sums are rounded once (`math.fsum`), so the order of the queries does not matter.

        Raises:
            EvaluationError: none of the queries counts.
        """
        chosen = np.ones(len(self.valid), dtype=np.bool_) if mask is None else mask
        counted = chosen & self.counted
        if not counted.any():
            raise EvaluationError(f"none of the {int(chosen.sum())} chosen queries has a match in the gallery")
        return Scores(
            cmc=np.array([_mean(column) for column in self._numbers(self.cmc, counted).T]),
            means={name: _mean(self._numbers(values, counted)) for name, values in self.values.items()},
            n_query=int(chosen.sum()),
            n_valid=int((chosen & self.valid).sum()),
            undefined=self.undefined,
        )

    def _numbers(self, column: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The values of a mask, zero for a query without a match."""
        chosen: NDArray[np.float64] = column[mask]
        chosen[~self.valid[mask]] = 0.0
        return chosen


@attrs.frozen(eq=False)
class Evaluation:
    """Scores of one split, and how they came about.

    Attributes:
        scores: over all queries that count.
        by_rate: over the queries of each down-sampling rate, lowest first; rates of which no query counts are left out.
            Rates that are equal in six digits, by which results name them, are one.
        per_query: the scores of each query.
        outcomes: what these follow from.
        selection: the metrics.
        engine: what computed it.
        precision: of its products; finer than asked for where too much was ambiguous.
        ambiguous: pairs of a query and a gallery item that were too close to a positive for that precision, so that
            float64 decided; 0 where it decides everything. It depends on engine and precision, the scores do not.
    """

    scores: Scores
    by_rate: Mapping[float, Scores]
    per_query: QueryScores
    outcomes: Outcomes
    selection: Selection
    engine: str
    precision: str
    ambiguous: int

    @classmethod
    def of(
        cls,
        queries: Samples,
        outcomes: Outcomes,
        protocol: EvalProtocol,
        selection: Selection,
        *,
        engine: str,
        precision: str,
        ambiguous: int,
    ) -> Evaluation:
        """The scores that follow from the outcomes of these queries.

        Raises:
            EvaluationError: none of the queries counts.
            PluginError: a metric fails.
        """
        per_query = QueryScores.of(outcomes, protocol, selection)
        masks = {rate: mask for rate, mask in _rate_masks(queries).items() if np.any(per_query.counted & mask)}
        scores = per_query.scores()
        return cls(
            scores=scores,
            by_rate={rate: scores if mask.all() else per_query.scores(mask) for rate, mask in masks.items()},
            per_query=per_query,
            outcomes=outcomes,
            selection=selection,
            engine=engine,
            precision=precision,
            ambiguous=ambiguous,
        )

    def with_curves(self, length: int, queries: Samples, protocol: EvalProtocol) -> Evaluation:
        """The same with CMC curves of fewer entries, at least 50.

        Args:
            queries, protocol: those that it is of.
        """
        return Evaluation.of(
            queries,
            self.outcomes.with_curves(length),
            protocol,
            self.selection,
            engine=self.engine,
            precision=self.precision,
            ambiguous=self.ambiguous,
        )


def joined(
    parts: Sequence[Evaluation], rows: Sequence[NDArray[np.intp]], queries: Samples, protocol: EvalProtocol
) -> Evaluation:
    """One evaluation of several that share a protocol and metrics: as if all queries had been asked at once.

    For methods whose gallery depends on the rate of the query.

    Args:
        rows: of each part, which of the queries it has, intp[b]; each query is in one part.
        queries: all of them.
    """
    if len(parts) == 1:
        return parts[0]
    back = np.argsort(np.concatenate(rows))
    return Evaluation.of(
        queries,
        Outcomes.joined([part.outcomes for part in parts]).take(back),
        protocol,
        parts[0].selection,
        engine=names(part.engine for part in parts),
        precision=names(part.precision for part in parts),
        ambiguous=sum(part.ambiguous for part in parts),
    )


def names(values: Iterable[str]) -> str:
    """What several parts were computed with: each name once, sorted.

    Example:
        >>> names(["numba", "torch", "numba"])
        'numba, torch'
    """
    return ", ".join(sorted(set(values)))


def _rate_masks(queries: Samples) -> dict[float, NDArray[np.bool_]]:
    """The queries bool[q] of each rate, lowest first; of rates that share a name, the lowest stands for all."""
    found: dict[str, tuple[float, NDArray[np.bool_]]] = {}
    for domain, mask in queries.domains():
        rate, known = found.get(name := f"{domain.rate:g}", (domain.rate, np.zeros_like(mask)))
        found[name] = rate, known | mask
    return dict(found.values())


def _mean(values: NDArray[np.float64]) -> float:
    """Of f64[n], whose sum is rounded once."""
    counts = bool(((values == 0) | (values == 1)).all())  # as most CMC curves are; their sums are exact
    return (float(values.sum()) if counts else math.fsum(values.tolist())) / len(values)

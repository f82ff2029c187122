"""What an evaluation gives: outcomes per query, and scores as their means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import EvaluationError
from crbench.records import Samples


@attrs.frozen(eq=False)
class Scores:
    """Means over the queries that count, as fractions in [0, 1].

    Attributes:
        cmc: f64[R]; entry k-1 is CMC at rank k, the share of queries with a match among the k nearest. Where the
            gallery is shorter than R the curve goes on flat.
        mAP, mINP: means of `Outcomes.ap` and `Outcomes.inp`; None where these are.
        n_query: all queries.
        n_valid: queries that have a match in the gallery; only these count, unless ``unmatched="zero"``.
    """

    cmc: NDArray[np.float64]
    mAP: float | None  # noqa: N815 (the field's own spelling)
    mINP: float | None  # noqa: N815
    n_query: int
    n_valid: int

    def rank(self, k: int) -> float:
        """CMC at rank `k`, from 1 to R.

        Raises:
            ValueError: the curve does not reach that rank.
        """
        if not 1 <= k <= len(self.cmc):
            raise ValueError(f"rank {k} was not computed; the curve has ranks 1 to {len(self.cmc)}")
        return float(self.cmc[k - 1])


@attrs.frozen(eq=False)
class Outcomes:
    """What became of each query, in the order of the query rows.

    Attributes:
        cmc: f64[q, R]; entry k-1 says whether a match is among the k nearest (0 or 1), or how probable that is where
            the gallery is drawn. NaN for a query without a match.
        ap, inp: f64[q], average precision and inverse negative penalty; NaN for a query without a match; None for a
            single-shot gallery, where the mean of `ap` would only be the mean reciprocal rank.
        valid: bool[q], whether the query has a match in the gallery under the protocol's rules.
        unmatched_count: queries without a match take part in means, with zero.
    """

    cmc: NDArray[np.float64]
    ap: NDArray[np.float64] | None
    inp: NDArray[np.float64] | None
    valid: NDArray[np.bool_]
    unmatched_count: bool = False

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
            mAP=None if self.ap is None else _mean(self._numbers(self.ap, counted)),
            mINP=None if self.inp is None else _mean(self._numbers(self.inp, counted)),
            n_query=int(chosen.sum()),
            n_valid=int((chosen & self.valid).sum()),
        )

    def take(self, rows: NDArray[np.intp]) -> Outcomes:
        """The outcomes of some queries, in the order of the rows intp[b]."""
        return Outcomes(
            cmc=self.cmc[rows],
            ap=None if self.ap is None else self.ap[rows],
            inp=None if self.inp is None else self.inp[rows],
            valid=self.valid[rows],
            unmatched_count=self.unmatched_count,
        )

    @classmethod
    def joined(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Outcomes of all queries from parts, each of which knows some of the queries that have a match."""
        first, *others = parts
        cmc, ap, inp, valid = first.cmc, first.ap, first.inp, first.valid
        for part in others:
            cmc = np.where(part.valid[:, None], part.cmc, cmc)
            ap = None if ap is None or part.ap is None else np.where(part.valid, part.ap, ap)
            inp = None if inp is None or part.inp is None else np.where(part.valid, part.inp, inp)
            valid = valid | part.valid
        return cls(cmc=cmc, ap=ap, inp=inp, valid=valid, unmatched_count=first.unmatched_count)

    def _numbers(self, column: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The outcomes of a mask, zero for a query without a match."""
        chosen: NDArray[np.float64] = column[mask]
        chosen[~self.valid[mask]] = 0.0
        return chosen


@attrs.frozen(eq=False)
class Evaluation:
    """Scores of one split, and how they came about.

    Attributes:
        scores: over all queries that count.
        by_rate: over the queries of each down-sampling rate, lowest first; rates of which no query counts are left out.
        outcomes: per query.
        engine: what computed it.
        precision: of its products; finer than asked for where too much was ambiguous.
        ambiguous: pairs of a query and a gallery item that were too close to a positive for that precision, so that
            float64 decided; 0 where it decides everything. It depends on engine and precision, the scores do not.
    """

    scores: Scores
    by_rate: Mapping[float, Scores]
    outcomes: Outcomes
    engine: str
    precision: str
    ambiguous: int

    @classmethod
    def of(cls, queries: Samples, outcomes: Outcomes, *, engine: str, precision: str, ambiguous: int) -> Evaluation:
        """The scores that follow from the outcomes of these queries.

        Raises:
            EvaluationError: none of the queries counts.
        """
        masks = {domain.rate: mask for domain, mask in queries.domains() if np.any(outcomes.counted & mask)}
        scores = outcomes.scores()
        return cls(
            scores=scores,
            by_rate={rate: scores if mask.all() else outcomes.scores(mask) for rate, mask in masks.items()},
            outcomes=outcomes,
            engine=engine,
            precision=precision,
            ambiguous=ambiguous,
        )


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of several that share a protocol and have no query or rate in common.

    For methods whose gallery depends on the rate of the query; outcomes come in the order of the parts.
    """
    if len(parts) == 1:
        return parts[0]
    outcomes = [part.outcomes for part in parts]
    whole = Outcomes(
        cmc=np.concatenate([part.cmc for part in outcomes]),
        ap=_joined([part.ap for part in outcomes]),
        inp=_joined([part.inp for part in outcomes]),
        valid=np.concatenate([part.valid for part in outcomes]),
        unmatched_count=outcomes[0].unmatched_count,
    )
    return attrs.evolve(
        parts[0],
        scores=whole.scores(),
        by_rate={rate: scores for part in parts for rate, scores in part.by_rate.items()},
        outcomes=whole,
        ambiguous=sum(part.ambiguous for part in parts),
    )


def _joined(columns: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    present = [column for column in columns if column is not None]
    return np.concatenate(present) if present else None


def _mean(values: NDArray[np.float64]) -> float:
    """Of f64[n], whose sum is rounded once."""
    whole = np.array_equal(values, np.rint(values))  # as most CMC curves are; their sums need no care
    return (float(values.sum()) if whole else math.fsum(values.tolist())) / len(values)

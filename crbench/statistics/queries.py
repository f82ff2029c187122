"""The queries of a trial that count, each with its scores: what all statistics begin with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import DataError
from crbench.evaluation.scores import QueryScores
from crbench.metrics.choice import choose
from crbench.metrics.cmc import SUMMARY_RANKS
from crbench.records import Samples
from crbench.registry.discovery import installed
from crbench.results import MetricFacts, Result
from crbench.results.outcomes import founded_scores, hashed_keys


@attrs.frozen(eq=False)
class TrialQueries:
    """The queries of one trial that take part in its means.

    Attributes:
        index: number of the trial.
        keys: str[n], names of the images, or hashes of them.
        pids, camids: i64[n].
        rates: str[n], as in results: ``f"{rate:g}"``.
        matched: bool[n], whether the query has a match; one that has none counts as 0 if the protocol says so.
        values: f64[n] by score: ``R1``, ``R5``, ``R10``, ``R20`` and each metric, e.g. ``mAP``. A score of the trial is
            the mean of these.
    """

    index: int
    keys: NDArray[np.str_]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    rates: NDArray[np.str_]
    matched: NDArray[np.bool_]
    values: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(cls, index: int, queries: Samples, scores: QueryScores) -> TrialQueries:
        """Those of a trial.

        Args:
            queries: of the trial, in the order of `scores`.
        """
        counted, matched = scores.counted, scores.valid
        columns = {f"R{k}": scores.cmc[:, k - 1] for k in SUMMARY_RANKS} | dict(scores.values)
        levels, places = np.unique(queries.rates[counted], return_inverse=True)
        return cls(
            index=index,
            keys=queries.keys[counted],
            pids=queries.pids[counted],
            camids=queries.camids[counted],
            rates=np.array([f"{rate:g}" for rate in levels.tolist()], dtype=np.str_)[places],
            matched=matched[counted],
            values={name: np.where(matched, column, 0.0)[counted] for name, column in columns.items()},
        )

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> TrialQueries:
        """Those of a mask bool[n], or of rows intp[b] in their order."""
        columns: dict[str, Any] = {
            name: getattr(self, name)[rows] for name in ("keys", "pids", "camids", "rates", "matched")
        }
        values = {name: column[rows] for name, column in self.values.items()}
        return attrs.evolve(self, **columns, values=values)

    def hashed(self) -> TrialQueries:
        """The same with `hashed_keys`."""
        return attrs.evolve(self, keys=np.array(hashed_keys(self.keys.tolist())))

    def without_rates(self) -> TrialQueries:
        """The same images, whatever their rates: those of protocols with other rates are paired so."""
        return attrs.evolve(self, rates=np.full(len(self.rates), "any"))

    def at_rate(self, rate: str) -> TrialQueries:
        """Those of a rate; none where none of them has a match, as such a rate is in no result."""
        mask = self.rates == rate
        return self.take(mask if self.matched[mask].any() else np.zeros_like(mask))


def numbers_of(facts: Mapping[str, MetricFacts]) -> set[str]:
    """The scores that are no fractions."""
    return {name for name, one in facts.items() if one.unit == "number"}


def read_queries(result: Result, metrics: Collection[str] | None = None) -> list[TrialQueries]:
    """The queries of each trial of a result that was read from a file, from the outcomes beside it.

    Args:
        metrics: scores of the result that are wanted beside the CMC; None = all.

    Raises:
        UnfoundedError: the scores that it states do not follow from its outcomes.
        DataError: it was not read from a file; or see `crbench.results.outcomes.read_outcomes`.
        ConfigError: a score that is wanted, whose plugin is not installed.
    """
    if result.origin is None:
        raise DataError(f"cell {result.cell_id}: it was not read from a file, beside which its outcomes lie")
    names = result.metric_facts if metrics is None else metrics
    trials = founded_scores(Path(result.origin).parent, result, names)
    return [TrialQueries.of(trial.index, trial.queries, scores) for trial, scores in trials]


def read_joined(results: Sequence[Result], metrics: Collection[str] | None = None) -> list[TrialQueries]:
    """The queries of the trials of several results of one method, each trial once; see `read_queries`."""
    found: dict[int, TrialQueries] = {}
    for result in results:
        for trial in read_queries(result, metrics):
            found.setdefault(trial.index, trial)
    return [found[index] for index in sorted(found)]


def recomputable(results: Iterable[Result]) -> set[str]:
    """The scores beside the CMC that all results have, and whose code here is that of the results."""
    facts = [result.metric_facts for result in results]
    common = set.intersection(*map(set, facts))
    offered = [name for name in common if len(installed().claims("metric", name)) == 1]
    codes = {one.name: one.code_sha256 for one in choose(offered)}
    return {name for name in offered if all(own[name].code_sha256 == codes[name] for own in facts)}

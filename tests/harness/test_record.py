from __future__ import annotations

import numpy as np
from people import trial

from crbench import load_aligner
from crbench.api.context import RunContext
from crbench.evaluation import Outcomes, Ranks
from crbench.harness.cell import Fitted, TrialRun
from crbench.harness.record import CellAccumulator
from crbench.records import Samples
from crbench.registry.resolve import resolve
from crbench.results import TrialScores
from crbench.results.outcomes import TrialOutcomes


def test_fits_are_told_apart_though_none_of_them_lives_on():
    accumulator = CellAccumulator(resolve("aligner", "none"))
    ranks = Ranks(np.array([1]), np.array([0, 1]), np.array([1]))
    outcomes = TrialOutcomes(0, Samples(keys=["a"], pids=[1]), Outcomes(ranks, None))
    queries = trial([1], [1])
    scores = TrialScores(index=0, split="0" * 64, cmc=(1.0,), n_query=1, n_valid=1)
    transform = load_aligner("none").fit(None, run=RunContext())
    for key in ("a", "b", "a"):  # each is freed at once, so that the next one may lie where it lay
        fitted = Fitted(key, transform, seconds=1.0, cached=False, samples_per_s=1.0, timed=1, macs=None)
        accumulator.add_trial(
            TrialRun(
                scores=scores,
                outcomes=outcomes,
                queries=queries,
                fitted=fitted,
                seconds=0.5,
                columns=8,
                gallery_passes=1.0,
            )
        )
    assert (accumulator.timings["fit"].count, accumulator.timings["fit"].seconds) == (2, 2.0)

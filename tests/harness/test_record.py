from __future__ import annotations

from crbench import evaluate, features_from_arrays, load_aligner
from crbench.api.context import RunContext
from crbench.harness.cell import Fitted, trial_scores
from crbench.harness.record import CellAccumulator


def test_fits_are_told_apart_though_none_of_them_lives_on():
    feats = features_from_arrays([[1.0, 0.0], [0.0, 1.0]], pids=[1, 2])
    accumulator, scores = CellAccumulator(aligner=None), trial_scores(0, evaluate(feats, feats))
    transform = load_aligner("none").fit(None, run=RunContext())
    for key in ("a", "b", "a"):  # each is freed at once, so that the next one may lie where it lay
        accumulator.add_trial(
            scores, Fitted(key, transform, seconds=1.0, cached=False, samples_per_s=1.0, timed=1), 0.5
        )
    assert (accumulator.timings["fit"].count, accumulator.timings["fit"].seconds) == (2, 2.0)

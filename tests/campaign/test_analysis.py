"""Directions of simulated people: intervals of what is known exactly hold it."""

from __future__ import annotations

import numpy as np
import pytest
from campaign.form import WHOLE
from scipy import stats

from crbench.analysis import explained
from crbench.analysis.offsets import Estimate, Offsets, angle

pytestmark = pytest.mark.campaign

REPEATS = 300 if WHOLE else 80
CHANCE = 1e-3
COLUMNS, PEOPLE, DEGREES = 16, 50, 20.0
OWN, NOISE = 0.25, 0.3


def sample(seed: int, sizes: str) -> dict[str, Estimate]:
    """Numbers of people whose offsets are 1.5 along one axis at one rate and 2 along another one at the next."""
    rng = np.random.default_rng(seed)
    images = np.full(PEOPLE, 4) if sizes == "equal" else np.ceil(rng.lognormal(1, 0.7, PEOPLE)).astype(int)
    pids = np.repeat(np.arange(PEOPLE), images)
    one, other = np.eye(COLUMNS)[0], np.zeros(COLUMNS)
    other[:2] = np.cos(np.radians(DEGREES)), np.sin(np.radians(DEGREES))
    lr = rng.normal(size=(PEOPLE, COLUMNS))[pids] + 0.4 * rng.normal(size=(len(pids), COLUMNS))
    own = OWN * rng.normal(size=(PEOPLE, COLUMNS))[pids]
    first = lr + 1.5 * one + own + NOISE * rng.normal(size=lr.shape)
    second = lr + 2.0 * other + own + NOISE * rng.normal(size=lr.shape)
    offsets = Offsets.of(lr, first, pids)
    return {
        "length": offsets.length(),
        "angle": angle(offsets, Offsets.of(lr, second, pids)),
        "explained": explained(lr, first, lr + 1.5 * one, pids).share(),
    }


TRUTH = {
    "length": 1.5,
    "angle": DEGREES,
    "explained": 1.5**2 / (1.5**2 + COLUMNS * (OWN**2 + NOISE**2)),
}


@pytest.mark.parametrize("sizes", ["equal", "unequal"])
def test_intervals_of_directions_hold_the_truth(sizes: str) -> None:
    samples = [sample(seed, sizes) for seed in range(REPEATS)]
    for name, truth in TRUTH.items():
        held = sum(one[name].low <= truth <= one[name].high for one in samples)
        assert stats.binomtest(held, REPEATS, 0.95).pvalue > CHANCE, (name, held / REPEATS)
        values = [one[name].value for one in samples]
        error = np.std(values, ddof=1) / np.sqrt(REPEATS)
        assert abs(np.mean(values) - truth) < 4 * error, name

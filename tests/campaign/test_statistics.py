"""Statistics on simulated people: intervals hold the truth, p-values are uniform, shifts are found as computed.

A person has an ability; a query of it succeeds by that and by chance. People are few or many, have equal or very
unequal numbers of queries, and are shown by one trial or again by several.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import pytest
from campaign.form import WHOLE
from numpy.typing import NDArray
from people import trial
from scipy import special, stats

from crbench.statistics import TrialQueries, differences, intervals
from crbench.statistics.paired import power

pytestmark = pytest.mark.campaign

REPEATS = 1000 if WHOLE else 300
DRAWS = {"replicates": 2000 if WHOLE else 200}
CHANCE = 1e-3
"""Below it, what is found is no accident of the simulation."""


@attrs.frozen
class World:
    """Where people come from.

    Attributes:
        people: in a sample.
        sizes: queries of each of n people, in every trial.
        trials: over the same people, with new queries.
        shown: share of the people that a trial shows.
    """

    people: int
    sizes: Callable[[int, np.random.Generator], NDArray[np.int64]]
    trials: int = 1
    shown: float = 1.0

    def sample(self, rng: np.random.Generator, shifts: tuple[float, ...] = (0.0,)) -> list[list[TrialQueries]]:
        """Rows of trials, one row for each shift; row i succeeds by its shift more often than a row without one."""
        ability = rng.normal(0.5, 1.5, self.people)
        sizes = self.sizes(self.people, rng)
        rows: list[list[TrialQueries]] = [[] for _ in shifts]
        for index in range(self.trials):
            who = np.flatnonzero(rng.random(self.people) < self.shown)
            pids = np.repeat(who, sizes[who])
            for row, shift in zip(rows, shifts, strict=True):
                found = rng.random(len(pids)) < special.expit(ability[pids]) * (1 - shift) + shift
                row.append(trial(pids, {"R1": found, "mAP": found * rng.random(len(pids))}, index=index))
        return rows


def equal(people: int, _: np.random.Generator) -> NDArray[np.int64]:
    return np.full(people, 5)


def unequal(people: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.ceil(rng.lognormal(1, 1, people)).astype(np.int64)


def expected(shift: float = 0.0) -> float:
    """Rank-1 of all people: the mean of a logistic of normal abilities, by quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    mean = float(np.sum(special.expit(0.5 + 1.5 * points) * weights) / np.sum(weights))
    return mean * (1 - shift) + shift


WORLDS = {
    "10 unequal people": World(10, unequal),
    "40 people, 10 trials that show half of them": World(40, equal, trials=10, shown=0.5),
    **(
        {
            "10 people": World(10, equal),
            "30 unequal people, 10 trials over them": World(30, unequal, trials=10),
            "10 unequal people, 10 trials over them": World(10, unequal, trials=10),
            "20 unequal people": World(20, unequal),
            "50 people": World(50, equal),
            "50 unequal people": World(50, unequal),
            "150 people, 10 trials over them": World(150, equal, trials=10),
            "500 unequal people": World(500, unequal),
        }
        if WHOLE
        else {}
    ),
}
over_worlds = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())


def within(hits: int, low: float, high: float) -> bool:
    """Whether the share of hits is from `low` to `high`, up to the chance of the simulation."""
    print(f"{hits / REPEATS:.1%} of {REPEATS}")  # noqa: T201  the figures that `tox run -e campaign` reports
    few = stats.binomtest(hits, REPEATS, low, alternative="less").pvalue
    many = stats.binomtest(hits, REPEATS, high, alternative="greater").pvalue
    return min(few, many) > CHANCE


@over_worlds
def test_intervals_hold_the_score_of_all_people_in_93_to_97_per_cent(world: World) -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(REPEATS):
        found = intervals(world.sample(rng)[0], **DRAWS)
        assert found is not None
        hits += found.metrics["R1"].low <= expected() <= found.metrics["R1"].high
    assert within(hits, 0.93, 0.97)


@over_worlds
def test_intervals_of_differences_hold_them_in_93_to_97_per_cent(world: World) -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(REPEATS):
        found = differences(world.sample(rng, (0.0, 0.2)), "R1", permutations=1, **DRAWS)
        hits += found.low[1, 0] <= expected(0.2) - expected() <= found.high[1, 0]
    assert within(hits, 0.93, 0.97)


@pytest.mark.parametrize(
    "world", [World(12, unequal), World(25, unequal, trials=4)], ids=["12 people", "25 people, 4 trials"]
)
def test_equal_methods_have_uniform_p_values_over_500_repeats(world: World) -> None:
    """Of a score without ties, as p-values of few different scores are coarse."""
    rng = np.random.default_rng(3)
    found = [
        differences(world.sample(rng, (0.0, 0.0)), "mAP", replicates=2, permutations=999, seed=seed).p[0, 1]
        for seed in range(500)
    ]
    assert stats.kstest(found, "uniform").pvalue > CHANCE


@pytest.mark.parametrize("shift", [0.15, 0.3])
def test_a_known_shift_is_found_as_often_as_computed(shift: float) -> None:
    """Of a score without ties, too. What 60 people tell follows from how 20,000 vary."""
    rng = np.random.default_rng([4, round(100 * shift)])
    world = World(60, equal)
    many = [row[0] for row in attrs.evolve(world, people=20_000).sample(rng, (shift, 0.0))]
    gains = (many[0].values["mAP"] - many[1].values["mAP"]).reshape(-1, 5).mean(axis=1)
    chance = power(gains.mean(), gains.std() / np.sqrt(world.people), world.people)
    found = [
        differences(world.sample(rng, (shift, 0.0)), "mAP", replicates=2, permutations=499, seed=seed)
        for seed in range(REPEATS)
    ]
    rejected = sum(one.p[0, 1] <= 0.05 for one in found)
    print(f"computed: {chance:.1%}")  # noqa: T201
    assert within(rejected, chance - 0.03, chance + 0.03)


def test_all_places_are_right_in_95_per_cent_where_rows_are_nearly_equal() -> None:
    """Three rows that are equal, whose places may be 1 to 3, and one that is worse."""
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(REPEATS):
        rows = World(40, equal).sample(rng, (0.3, 0.3, 0.3, 0.0))
        places = differences(rows, "R1", replicates=2, permutations=999, seed=seed).rank_intervals()
        hits += all(first == 1 and last >= 3 for first, last in places[:3]) and places[3][1] == 4
    assert within(hits, 0.95, 1.0)

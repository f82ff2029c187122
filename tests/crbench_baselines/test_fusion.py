"""Weights of the halves of match-rate: learned on training people, nested, where the truth is known."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
import torch
from crbench_baselines.fusion import GRID, Fusion, centres_of, learned_weights
from crbench_baselines.match_rate import MatchRate
from torch.nn.functional import normalize

from crbench.api.context import RunContext
from crbench.api.pairing import TrainFeatures
from crbench.errors import DataError
from crbench.records import Features, Samples, TestFeatures

PEOPLE, DIM = 24, 8


def train(*, lr_noise: float, hr_noise: float, own_frame: bool, rate: float = 2.0) -> TrainFeatures:
    """People seen by three cameras; LR features of a person lie elsewhere if they have a frame of their own.

    Args:
        lr_noise, hr_noise: of each image in LR and in HR.
    """
    rng = np.random.default_rng(0)
    pids, camids = np.repeat(np.arange(PEOPLE), 3), np.tile([1, 2, 3], PEOPLE)
    rows = Samples(keys=[f"{pid}_{cam}" for pid, cam in zip(pids, camids, strict=True)], pids=pids, camids=camids)
    hr = rng.normal(size=(PEOPLE, DIM))[pids]
    lr = rng.normal(size=(PEOPLE, DIM))[pids] if own_frame else hr

    def noisy(x: np.ndarray, noise: float) -> torch.Tensor:
        return torch.from_numpy((x + noise * rng.normal(size=x.shape)).astype(np.float32))

    return TrainFeatures(
        source=Features(noisy(lr, lr_noise), rows.at_rate(rate)), target=Features(noisy(hr, hr_noise), rows)
    )


def weights(of: TrainFeatures, **options: Any) -> dict[float, float]:
    generator = torch.Generator().manual_seed(0)
    return learned_weights(of, lambda rows: None, **{"centre": False, "generator": generator, **options})


def test_the_half_that_finds_people_gets_the_weight() -> None:
    """LR features in a frame of their own say nothing against HR ones, and everything against LR ones."""
    assert weights(train(lr_noise=0.3, hr_noise=0.3, own_frame=True))[2.0] < 0.3
    assert weights(train(lr_noise=1.5, hr_noise=0.01, own_frame=False))[2.0] > 0.5


def test_a_weight_is_judged_by_average_precision_of_plain_loops() -> None:
    features = train(lr_noise=0.8, hr_noise=0.8, own_frame=False)
    order = np.arange(PEOPLE)[torch.randperm(PEOPLE, generator=torch.Generator().manual_seed(0)).numpy()]
    lr, hr = normalize(features.source.x).numpy(), normalize(features.target.x).numpy()
    rows, sums = features.source.rows, np.zeros(len(GRID))
    for chosen in (order[::2], order[1::2]):
        own = np.flatnonzero(np.isin(rows.pids, chosen))
        for place, weight in enumerate(GRID):
            for query in own:
                similar = {j: weight * lr[query] @ hr[j] + (1 - weight) * lr[query] @ lr[j] for j in own if j != query}
                found = [
                    rows.pids[j] == rows.pids[query] for j in sorted(similar, key=similar.__getitem__, reverse=True)
                ]
                hits = np.flatnonzero(found)
                sums[place] += np.mean([(i + 1) / (hit + 1) for i, hit in enumerate(hits)])
    assert weights(features) == {2.0: GRID[int(sums.argmax())]}


def test_nobody_is_judged_by_a_fit_that_saw_the_person() -> None:
    features, seen, judged = train(lr_noise=0.5, hr_noise=0.5, own_frame=False), [], []

    @attrs.frozen
    class Spy:
        people: frozenset[int]

        def __call__(self, feats: TestFeatures) -> TestFeatures:
            pairs = zip(features.source.x.tolist(), features.source.rows.pids.tolist(), strict=True)
            owners = {tuple(x): pid for x, pid in pairs}
            judged.append({owners[tuple(x)] for x in feats.x.tolist()})
            return feats

    def fit(rows: TrainFeatures) -> Spy:
        seen.append(set(rows.source.rows.pids.tolist()) | set(rows.target.rows.pids.tolist()))
        return Spy(frozenset(seen[-1]))

    learned_weights(features, fit, centre=True, generator=torch.Generator().manual_seed(0))
    assert len(seen) == 2
    for known, asked in zip(seen, judged, strict=True):
        assert known
        assert asked
        assert not known & asked
    assert seen[0] | seen[1] == set(range(PEOPLE))


def drawn(count: int, rate: float, seed: int) -> Features:
    """Random features at a rate."""
    x = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    rows = Samples(keys=[str(place) for place in range(count)], pids=np.arange(count), rates=np.full(count, rate))
    return Features(torch.from_numpy(x), rows)


def test_weights_count_for_queries_alone_and_give_weighted_cosines() -> None:
    query, gallery, shrunk = (drawn(4, 2.0, 1), drawn(5, 1.0, 2), drawn(5, 2.0, 3))
    transform = attrs.evolve(
        MatchRate().fit(train(lr_noise=1, hr_noise=1, own_frame=False), run=RunContext()), fusion=Fusion({}, {2.0: 0.8})
    )
    left, right = transform(TestFeatures.of(query)).x, transform(TestFeatures.of(gallery, views=[shrunk])).x
    expected = 0.8 * normalize(query.x) @ normalize(gallery.x).T + 0.2 * normalize(query.x) @ normalize(shrunk.x).T
    cosines = normalize(left) @ normalize(right).T
    scale = np.sqrt(2 * (0.8**2 + 0.2**2))
    assert torch.allclose(cosines * scale, expected, atol=1e-6), "equal to them but for a factor of each query"


def test_a_fit_passes_through_its_state() -> None:
    aligner = MatchRate(centre=True, weights="learned")
    fitted = aligner.fit(train(lr_noise=0.5, hr_noise=0.5, own_frame=False), run=RunContext())
    again = aligner.restore(fitted.state())  # type: ignore[attr-defined]
    assert again.fusion.weights == fitted.fusion.weights
    assert {rate: centre.tolist() for rate, centre in again.fusion.centres.items()} == {
        rate: centre.tolist() for rate, centre in fitted.fusion.centres.items()
    }


def test_rates_that_were_not_trained_take_the_nearest_centre_and_weight() -> None:
    centres = {1.0: torch.zeros(2), 2.0: torch.tensor([1.0, 0.0]), 4.0: torch.tensor([0.0, 1.0])}
    fusion = Fusion(centres, {2.0: 0.9, 4.0: 0.1})
    rows = Samples(keys=["a", "b", "c"], pids=[1, 2, 3], rates=[1, 2, 8])
    feats = TestFeatures.of(Features(torch.tensor([[3.0, 0.0]] * 3), rows))
    assert torch.allclose(fusion.unit(feats), normalize(torch.tensor([[3.0, 0.0], [2.0, 0.0], [3.0, -1.0]])))
    one = torch.ones(3, 1)
    halves = fusion.halves(feats, one, one)
    assert torch.allclose(halves, torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]]))


def test_what_cannot_be_learned_from_is_refused() -> None:
    features = train(lr_noise=1, hr_noise=1, own_frame=False)
    keys = [f"lr {key}" for key in features.source.rows.keys.tolist()]
    renamed = attrs.evolve(features.source, rows=attrs.evolve(features.source.rows, keys=keys))
    with pytest.raises(DataError, match=r"match-rate: .* that are there in HR and in LR"):
        weights(attrs.evolve(features, source=renamed))
    one = attrs.evolve(features.source.rows, camids=np.ones(3 * PEOPLE, dtype=np.int64))
    alone = TrainFeatures(attrs.evolve(features.source, rows=one), attrs.evolve(features.target, rows=one.at_rate(1)))
    with pytest.raises(DataError, match="seen by two cameras"):
        weights(alone)
    with pytest.raises(DataError, match="centre takes the means"):
        centres_of(TrainFeatures(features.source.take(np.array([], dtype=np.intp)), features.target))

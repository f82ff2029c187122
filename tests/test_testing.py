"""Every check passes what keeps the contract and names the rule that something else breaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from crbench.api.context import RunContext
from crbench.api.pairing import TrainFeatures
from crbench.records import Batch, Encoded, Features, Samples, Split
from crbench.testing import (
    RandomBackbone,
    TinyDataset,
    check_aligner,
    check_backbone,
    check_dataset,
    check_distance,
    random_features,
    tiny_dataset,
    train_features,
)

Map = Callable[[Features], Features]


@attrs.frozen
class Fixed:
    """An aligner whose fitted transform is `transform`."""

    transform: Any

    def fit(self, train: TrainFeatures, *, run: RunContext) -> Any:
        return self.transform


def changed(change: Callable[[torch.Tensor], torch.Tensor]) -> Map:
    return lambda feats: attrs.evolve(feats, x=change(feats.x))


def in_place(feats: Features) -> Features:
    feats.x[:, :1] += 1
    return feats


def reversed_rows(feats: Features) -> Features:
    return feats.take(np.arange(len(feats))[::-1].copy())


def rows_lost(feats: Features) -> Features:
    return attrs.evolve(feats, rows=feats.rows.at_rate(1))


def by_position(feats: Features) -> Features:
    return attrs.evolve(feats, x=feats.x + torch.arange(len(feats)).float().unsqueeze(1))


class WithState:
    def __call__(self, feats: Features) -> Features:
        return feats

    def state(self) -> dict[str, torch.Tensor]:
        return {"bias": torch.zeros(1)}


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (3, "cannot be called"),
        (lambda feats: feats.x, "returned Tensor, not Features"),
        (changed(torch.Tensor.double), "float64, not float32"),
        (changed(lambda x: x * float("nan")), "not finite"),
        (changed(lambda x: x.clone().requires_grad_()), "carry gradients"),
        (in_place, "changed its input"),
        (reversed_rows, "other rows, or the rows in another order"),
        (rows_lost, "other rows"),
        (by_position, "shuffled rows give other features"),
        (WithState(), r"no restore\(state\)"),
    ],
)
def test_transforms_that_break_the_contract_are_named(transform: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_aligner(lambda: Fixed(transform))


def test_a_transform_that_keeps_the_contract_passes() -> None:
    check_aligner(lambda: Fixed(lambda feats: feats))


def fit_with_global_noise(train: TrainFeatures, run: RunContext) -> Map:
    offset = torch.randn(1)
    return changed(lambda x: x + offset)


def fit_in_place(train: TrainFeatures, run: RunContext) -> Map:
    train.source.x.mul_(2)
    return lambda feats: feats


def fit_for_trained_rates(train: TrainFeatures, run: RunContext) -> Map:
    known = {domain for domain, _ in train.source.rows.domains()}

    def transform(feats: Features) -> Features:
        if any(domain.rate > 1 and domain not in known for domain, _ in feats.rows.domains()):
            return attrs.evolve(feats, x=feats.x * float("nan"))
        return feats

    return transform


@attrs.frozen
class Fitting:
    function: Callable[[TrainFeatures, RunContext], Map]

    def fit(self, train: TrainFeatures, *, run: RunContext) -> Map:
        return self.function(train, run)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (fit_with_global_noise, "draw from run.seed alone"),
        (fit_in_place, "fit changed the training features"),
        (fit_for_trained_rates, "a rate that was not trained: features are not finite"),
    ],
)
def test_fits_that_break_the_contract_are_named(function: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_aligner(lambda: Fitting(function))


def test_a_check_leaves_the_global_generators_alone() -> None:
    state, legacy = torch.get_rng_state(), np.random.get_state()[1]
    with pytest.raises(AssertionError):
        check_aligner(lambda: Fitting(fit_with_global_noise))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], legacy)


def test_something_without_fit_is_no_aligner() -> None:
    with pytest.raises(AssertionError, match="has no method fit"):
        check_aligner(lambda: 3)  # type: ignore[arg-type, return-value]


@attrs.frozen
class OddBackbone(RandomBackbone):
    change: Callable[[torch.Tensor], torch.Tensor] = attrs.field(default=lambda x: x, kw_only=True)

    def extract(self, batch: Batch) -> Encoded:
        return Encoded(x=self.change(RandomBackbone.extract(self, batch).x))


class Counter(RandomBackbone):
    calls = 0

    def extract(self, batch: Batch) -> Encoded:
        type(self).calls += 1
        return Encoded(x=RandomBackbone.extract(self, batch).x + self.calls)


def test_a_random_backbone_passes() -> None:
    check_backbone(RandomBackbone)
    check_backbone(lambda: RandomBackbone(dim=5, seed=3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (torch.Tensor.double, "not float32"),
        (lambda x: x[:, :3], r"shape \(4, 3\), expected \(4, 16\)"),
        (lambda x: x * float("inf"), "not finite"),
        (lambda x: x.clone().requires_grad_(), "carry gradients"),
        (lambda x: x - x.mean(dim=0), "depends on the others of its batch"),
        (lambda x: x * torch.arange(len(x)).unsqueeze(1), "keep their order"),
    ],
)
def test_backbones_that_break_the_contract_are_named(change: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_backbone(lambda: OddBackbone(change=change))


def test_a_backbone_that_drifts_is_named() -> None:
    with pytest.raises(AssertionError, match="two extractions differ"):
        check_backbone(Counter)


def test_something_without_extract_is_no_backbone() -> None:
    with pytest.raises(AssertionError, match="lacks dim, preprocess or extract"):
        check_backbone(lambda: 3)  # type: ignore[arg-type, return-value]


def test_the_tiny_dataset_passes_and_has_eight_persons(tmp_path: Path) -> None:
    check_dataset(tiny_dataset, tmp_path)
    dataset = tiny_dataset()
    split = dataset.split(dataset.protocols["mlr"], 1, root=tmp_path)
    pids = np.concatenate([split.train.pids, split.query.pids, split.gallery.pids])
    assert np.unique(pids).tolist() == list(range(1, 9))


class GreyDataset(TinyDataset):
    def read(self, key: str, *, root: Path) -> Any:
        return TinyDataset.read(self, key, root=root).convert("L")


class SortedDigests(TinyDataset):
    def digests(self, keys: Any, *, root: Path) -> Any:
        return np.sort(TinyDataset.digests(self, keys, root=root))


class NoisyDataset(TinyDataset):
    calls = 0

    def read(self, key: str, *, root: Path) -> Any:
        type(self).calls += 1
        image = TinyDataset.read(self, key, root=root)
        image.putpixel((0, 0), (self.calls % 256, 0, 0))
        return image


class DriftingDataset(TinyDataset):
    calls = 0

    def split(self, protocol: Any, index: int, *, root: Path) -> Split:
        type(self).calls += 1
        split = TinyDataset.split(self, protocol, index, root=root)
        return attrs.evolve(split, gallery=split.gallery.take(slice(0, len(split.gallery) - self.calls)))


class NoMatches(TinyDataset):
    def split(self, protocol: Any, index: int, *, root: Path) -> Split:
        split = TinyDataset.split(self, protocol, index, root=root)
        return attrs.evolve(split, gallery=attrs.evolve(split.gallery, pids=split.gallery.pids + 100))


class EmptyQuery(TinyDataset):
    def split(self, protocol: Any, index: int, *, root: Path) -> Split:
        return attrs.evolve(TinyDataset.split(self, protocol, index, root=root), query=Samples(keys=[], pids=[]))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (GreyDataset, "is L, not RGB"),
        (SortedDigests, "digests do not follow the order"),
        (NoisyDataset, "differs when read again"),
        (DriftingDataset, "two splits of trial 0 differ"),
        (NoMatches, "no query person is in the gallery"),
        (EmptyQuery, "there are no query rows"),
        (lambda: TinyDataset(protocols={}), "protocols is empty"),
        (lambda: 3, "lacks info, protocols"),
    ],
)
def test_datasets_that_break_the_contract_are_named(dataset: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=message):
        check_dataset(dataset, tmp_path)


def euclidean(query: Features, gallery: Features) -> torch.Tensor:
    return torch.cdist(query.x, gallery.x)


def test_a_distance_passes() -> None:
    check_distance(lambda: euclidean)


@pytest.mark.parametrize(
    ("distance", "message"),
    [
        (lambda q, g: -euclidean(q, g), "smaller must mean closer"),
        (lambda q, g: euclidean(q, g).double(), "not float32"),
        (lambda q, g: euclidean(q, g)[:, :2], "have shape"),
        (lambda q, g: euclidean(q, g) / 0, "not finite"),
        (lambda q, g: euclidean(q, g) + torch.rand(1), "two calls differ"),
        (lambda q, g: euclidean(q, g) + torch.arange(len(g)), "another order of the gallery"),
        (lambda q, g: euclidean(attrs.evolve(q, x=q.x.mul_(2)), g), "changed its input"),
        (3, "cannot be called"),
    ],
)
def test_distances_that_break_the_contract_are_named(distance: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_distance(lambda: distance)


def test_fakes_repeat_and_differ_by_seed() -> None:
    assert torch.equal(random_features(seed=1).x, random_features(seed=1).x)
    assert not torch.equal(random_features(seed=1).x, random_features(seed=2).x)
    assert torch.equal(train_features(seed=1).source.x, train_features(seed=1).source.x)


def test_train_features_are_shifted_by_the_rate() -> None:
    train = train_features(shift=4.0, noise=0.0, rates=(2, 4))
    pairs = train.pairs("image")
    gaps = {domain.rate: (source - target).norm(dim=1) for domain, source, target in pairs.domains()}
    assert torch.allclose(gaps[4.0], gaps[2.0] * 1.5, rtol=1e-4)

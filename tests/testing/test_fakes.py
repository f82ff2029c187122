"""The fakes repeat, differ by seed, and keep every contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from crbench.testing import (
    RandomBackbone,
    check_backbone,
    check_dataset,
    random_features,
    tiny_dataset,
    train_features,
)


def test_fakes_repeat_and_differ_by_seed() -> None:
    assert torch.equal(random_features(seed=1).x, random_features(seed=1).x)
    assert not torch.equal(random_features(seed=1).x, random_features(seed=2).x)
    assert torch.equal(train_features(seed=1).source.x, train_features(seed=1).source.x)


def test_train_features_are_shifted_by_the_rate() -> None:
    train = train_features(shift=4.0, noise=0.0, rates=(2, 4))
    pairs = train.pairs("image")
    gaps = {domain.rate: (source - target).norm(dim=1) for domain, source, target in pairs.domains()}
    assert torch.allclose(gaps[4.0], gaps[2.0] * 1.5, rtol=1e-4)


def test_a_random_backbone_passes() -> None:
    check_backbone(RandomBackbone)
    check_backbone(lambda: RandomBackbone(dim=5, seed=3))


def test_the_tiny_dataset_passes_and_has_eight_persons(tmp_path: Path) -> None:
    check_dataset(tiny_dataset, tmp_path)
    dataset = tiny_dataset()
    split = dataset.split(dataset.protocols["mlr"], 1, root=tmp_path)
    pids = np.concatenate([split.train.pids, split.query.pids, split.gallery.pids])
    assert np.unique(pids).tolist() == list(range(1, 9))

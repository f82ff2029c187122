from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from crbench_vpfa.pairs import cycle_identities, draw, paired
from hypothesis import given
from hypothesis import strategies as st

from crbench.api.pairing import TrainFeatures
from crbench.records import Features, Samples
from crbench.testing import train_features

LOGGER = logging.getLogger("test")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=30), st.integers(1, 80), st.integers(0, 5))
def test_identities_occur_equally_often(pids: list[int], draws: int, seed: int) -> None:
    rows = cycle_identities(np.array(pids), draws, seeded(seed)).numpy()
    assert len(rows) == draws
    counts = [int((np.array(pids)[rows] == pid).sum()) for pid in set(pids)]
    assert max(counts) - min(counts) <= 1


@given(st.integers(1, 5), st.integers(1, 4))
def test_an_identity_shows_all_its_rows_in_turn(persons: int, rates: int) -> None:
    pids = np.tile(np.arange(persons), rates)
    rows = cycle_identities(pids, persons * rates, seeded())
    assert sorted(rows.tolist()) == list(range(persons * rates))


def test_id_means_are_those_of_each_identity_and_rate() -> None:
    train = train_features(persons=3, images=4, rates=(2, 3))
    drawn = draw(paired(train, "id_mean", 2, LOGGER), train, "id_mean", 0, seeded())
    assert drawn.source.shape == (6, 16)
    rows = train.source.rows
    mean = train.source.x[np.flatnonzero((rows.pids == 2) & (rows.rates == 3))].mean(dim=0)
    assert torch.isclose(drawn.source, mean).all(dim=1).sum() == 1


def test_draws_count_pairs_and_zero_takes_each_once() -> None:
    train = train_features(persons=4, images=2, rates=(2,))
    pairs = paired(train, "id_mean", 2, LOGGER)
    assert len(draw(pairs, train, "id_mean", 10, seeded()).order) == 10
    assert draw(pairs, train, "id_mean", 0, seeded()).order.tolist() == [0, 1, 2, 3]


def test_image_pairs_join_the_same_image() -> None:
    train = train_features(shift=0.0, noise=0.0)
    drawn = draw(paired(train, "image", 2, LOGGER), train, "image", 0, seeded())
    assert drawn.source.shape[0] == len(train.source)
    assert torch.equal(drawn.source, drawn.target)


def test_bootstrap_averages_halves_of_one_identity_and_rate() -> None:
    pids = [1] * 4 + [2] * 4
    # Powers of two per image: the mean of a half tells which images it holds.
    values = torch.tensor([2.0**i for i in range(4)] * 2)
    rows = Samples(keys=[f"{i}" for i in range(8)], pids=pids, rates=2)
    x = torch.stack([values, torch.tensor(pids).float()], dim=1)
    train = TrainFeatures(source=Features(x, rows), target=Features(x, rows.at_rate(1)))
    drawn = draw(paired(train, "bootstrap", 2, LOGGER), train, "bootstrap", 60, seeded())
    assert drawn.source.shape == (60, 2)
    assert torch.equal(drawn.source[:, 1], drawn.target[:, 1])
    halves = {(2.0**i + 2.0**j) / 2 for i in range(4) for j in range(i)}
    assert set(drawn.source[:, 0].tolist()) == set(drawn.target[:, 0].tolist()) == halves
    assert not torch.equal(drawn.source[:, 0], drawn.target[:, 0])


def test_identities_with_too_few_images_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    train = train_features(persons=5, images=2, rates=(2,))
    keep = np.arange(1, len(train.source))
    train = TrainFeatures(source=train.source.take(keep), target=train.target)
    with caplog.at_level(logging.INFO, logger="test"):
        pairs = paired(train, "id_mean", 2, LOGGER)
    assert sorted(pairs.source.rows.pids.tolist()) == [2, 3, 4, 5]
    assert "1 of 5 identities" in caplog.text

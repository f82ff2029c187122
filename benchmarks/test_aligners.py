"""Aligners on 256-d features of 200 people at three rates."""

from __future__ import annotations

import pytest

from crbench import load_aligner
from crbench.api.context import RunContext
from crbench.testing import train_features

CLOSED = ("none", "mean-shift", "diagonal", "ridge", "procrustes", "coral")


@pytest.fixture(scope="module")
def train():
    return train_features(persons=200, images=3, dim=256)


@pytest.mark.parametrize("name", CLOSED)
def test_fit(benchmark, train, name):
    benchmark(load_aligner(name).fit, train, run=RunContext())


@pytest.mark.parametrize("name", [*CLOSED, "vpfa/light"])
def test_transform(benchmark, train, name):
    settings = {"epochs": 1, "draws": 64} if name.startswith("vpfa") else {}
    transform = load_aligner(name, **settings).fit(train, run=RunContext())
    result = benchmark(transform, train.source)
    assert len(result) == len(train.source)

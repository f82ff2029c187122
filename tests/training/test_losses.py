"""The triplet loss against a loop over anchors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crbench.training.losses import batch_hard_triplet


def by_loop(features: np.ndarray, labels: np.ndarray) -> float:
    terms = []
    for anchor, label in zip(features, labels, strict=True):
        distance = np.sqrt(((features - anchor) ** 2).sum(axis=1))
        gap = distance[labels == label].max() - distance[labels != label].min()
        terms.append(math.log1p(math.exp(gap)))
    return float(np.mean(terms))


@given(seed=st.integers(0, 1000), persons=st.integers(2, 5), images=st.integers(2, 4))
def test_it_is_the_mean_over_anchors_of_the_hardest_triplet(seed: int, persons: int, images: int) -> None:
    labels = np.repeat(np.arange(persons), images)
    features = np.random.default_rng(seed).normal(size=(len(labels), 6))
    loss = batch_hard_triplet(torch.from_numpy(features), torch.from_numpy(labels))
    assert loss.item() == pytest.approx(by_loop(features, labels), rel=1e-9, abs=1e-7)


def test_equal_features_have_a_finite_gradient() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    batch_hard_triplet(features, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(features.grad).all()

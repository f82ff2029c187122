"""The triplet loss against a loop over anchors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crbench.training.losses import CenterLoss, batch_hard_triplet


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


def test_centres_move_to_the_mean_of_their_class_and_pull_the_features() -> None:
    loss = CenterLoss(classes=3, dim=2, alpha=1.0)
    features = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 3.0]], requires_grad=True)
    value = loss(features, torch.tensor([0, 0, 2]))
    value.backward()
    assert value.item() == pytest.approx((4 + 16 + 9) / 3)
    assert torch.allclose(features.grad, 2 / 3 * features.detach())
    # Eq. 4: the sum of the gaps over one more than their number
    assert torch.equal(loss.centers, torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 1.5]]))
    loss.eval()(features, torch.tensor([0, 0, 2]))
    assert loss.centers[0, 0] == 2


def test_the_triplet_loss_is_computed_in_single_precision_under_autocast() -> None:
    features = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)) + 100
    labels = torch.arange(8) // 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = batch_hard_triplet(features, labels)
    assert torch.equal(loss, batch_hard_triplet(features, labels))

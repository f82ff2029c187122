"""A network's needs, counted without running it, against counting by hand and against a run of it."""

from __future__ import annotations

import attrs
import pytest
import torch

from crbench.data.preprocess import Preprocess
from crbench.harness.costs import NetworkCost
from crbench.prediction.network import NetworkNeeds
from crbench.records import Encoded, Samples
from crbench.registry.guard import UNKNOWN
from crbench.registry.resolve import resolve
from crbench.testing import RandomBackbone

ROWS = Samples(keys=["a"], pids=[1], camids=[0])


@attrs.frozen
class Linear:
    """Pixels times a matrix, and again by a square one."""

    model: torch.nn.Module
    dim: int = 5
    preprocess: Preprocess = attrs.field(factory=lambda: Preprocess(size=(4, 2)))

    def extract(self, batch):
        return Encoded(x=self.model(batch.inputs.flatten(1)))


def test_products_are_counted_and_the_largest_tensors_that_live_at_once():
    backbone = Linear(torch.nn.Sequential(torch.nn.Linear(24, 5, bias=False), torch.nn.Linear(5, 5, bias=False)))
    needs = NetworkNeeds.of(backbone, ROWS, "cpu", UNKNOWN)
    assert needs.macs == 24 * 5 + 5 * 5
    # pixels are the caller's; the views that products take of their weights are of 24 x 5 floats at most
    assert 2 * 5 * 4 <= needs.activation_bytes <= 4 * (24 + 24 * 5 + 3 * 5 * 5)


def test_it_counts_as_a_run_does():
    backbone = resolve("backbone", "resnet-tiny").build(weights=None, device="cpu")
    assert NetworkNeeds.of(backbone, ROWS, "cpu", UNKNOWN).macs == NetworkCost.of(backbone, ROWS, "cpu", UNKNOWN).macs


def test_nothing_is_computed():
    class Loud(torch.nn.Module):
        def forward(self, x):
            assert type(x).__name__ == "FakeTensor"
            return x[:, :5].clone()

    assert NetworkNeeds.of(Linear(Loud()), ROWS, "cpu", UNKNOWN).macs is None


@pytest.mark.parametrize("backbone", [RandomBackbone(), Linear(torch.nn.Identity())])
def test_what_torch_cannot_count_is_not_known(backbone):
    assert NetworkNeeds.of(backbone, ROWS, "cpu", UNKNOWN).macs is None


def test_a_network_that_needs_values_is_not_known():
    class Branching(torch.nn.Module):
        def forward(self, x):
            return x if x.sum().item() > 0 else -x

    assert NetworkNeeds.of(Linear(Branching()), ROWS, "cpu", UNKNOWN) == NetworkNeeds()

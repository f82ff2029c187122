"""Parameters and multiply-accumulate operations, which do not depend on the machine."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from crbench.api.context import RunContext
from crbench.api.entry import Entry
from crbench.data.preprocess import Preprocess
from crbench.errors import PluginError
from crbench.harness.costs import NetworkCost, transform_macs
from crbench.harness.run import run
from crbench.records import Encoded, Samples, TestFeatures
from crbench.registry.discovery import Registered
from crbench.registry.guard import UNKNOWN, Owner
from crbench.registry.load import load_aligner
from crbench.testing import train_features

ROWS = Samples(keys=["a", "b"], pids=[1, 2], camids=[3, 4], rates=[2, 3])


class Network:
    """A convolution of 3 to 4 channels with 3x3 kernels, and a linear layer of 4 to 5 columns."""

    preprocess = Preprocess(size=(8, 6))
    dim = 5

    def __init__(self):
        self.model = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3, padding=1, bias=False),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(4, 5),
        )
        self.seen = []

    def extract(self, batch):
        self.seen.append((len(batch.inputs), batch.rates.tolist(), batch.camids.tolist()))
        with torch.no_grad():
            return Encoded(self.model(batch.inputs))


PARAMETERS, MACS = 3 * 4 * 9 + 4 * 5 + 5, 8 * 6 * 3 * 4 * 9 + 4 * 5


def test_a_network_is_counted_for_one_image():
    network = Network()
    cost = NetworkCost.of(network, ROWS, "cpu", UNKNOWN)
    assert cost == NetworkCost(parameters=PARAMETERS, macs=MACS)
    assert network.seen == [(1, [2.0], [3])]


def test_a_network_may_count_what_its_features_depend_on():
    class WithHead(Network):
        parameter_count = 7

    assert NetworkCost.of(WithHead(), ROWS, "cpu", UNKNOWN) == NetworkCost(parameters=7, macs=MACS)
    WithHead.parameter_count = -1
    with pytest.raises(PluginError, match="parameter_count: expected a whole number from 0, got -1"):
        NetworkCost.of(WithHead(), ROWS, "cpu", UNKNOWN)


def test_without_a_network_of_torch_nothing_is_known():
    class Foreign(Network):
        model = property(lambda self: "net.onnx", lambda self, value: None)

    assert NetworkCost.of(Foreign(), ROWS, "cpu", UNKNOWN) == NetworkCost()


def test_a_network_that_refuses_one_image_has_unknown_operations():
    class Picky(Network):
        def extract(self, batch):
            raise ValueError("sixteen images or none")

    assert NetworkCost.of(Picky(), ROWS, "cpu", UNKNOWN) == NetworkCost(parameters=PARAMETERS)


FEATS = TestFeatures.of(train_features(dim=16).source)


def change(feats):
    return attrs.evolve(feats, x=feats.x + 1)


@pytest.mark.parametrize(
    ("transform", "macs"),
    [
        (lambda feats: attrs.evolve(feats, x=feats.x @ torch.ones(16, 16)), 16 * 16),
        (lambda feats: feats, 0),
        (change, None),
        (lambda feats: attrs.evolve(feats, x=torch.from_numpy(feats.x.numpy() @ np.ones((16, 16), "f4"))), None),
    ],
    ids=["product", "nothing", "element by element", "another library"],
)
def test_a_transform_is_counted_for_one_sample(transform, macs):
    assert transform_macs(transform, FEATS, UNKNOWN) == macs


def test_layers_that_onednn_may_compute_are_counted_too():
    train = train_features(dim=16)
    aligner = load_aligner("vpfa", hidden=8, blocks=1, epochs=1, draws=32)
    assert transform_macs(aligner.fit(train, run=RunContext()), FEATS, UNKNOWN) == 2 * 16 * 8


def counted(*, weights=None, device="cpu"):
    torch.manual_seed(0)
    return Network()


def test_results_say_what_backbone_and_aligner_cost(spec, offer):
    owner = Owner(plugin="counted", distribution="counted", version="1")
    offer(Registered("backbone", Entry("counted", counted), owner))
    none, ridge = run(spec(aligner="ridge", backbone="counted"))
    for result in (none, ridge):
        assert (result.method.backbone.parameter_count, result.method.backbone.macs) == (PARAMETERS, MACS)
    assert (none.method.aligner.macs, ridge.method.aligner.macs) == (0, 5 * 5)

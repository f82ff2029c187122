"""Linear layers by oneDNN: the same numbers but for roundings, and only where nothing else is asked for."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from crbench import linear

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")


@pytest.fixture
def taken(monkeypatch):
    """How many products oneDNN was given."""
    given, original = [], linear.linear

    def counted(*arguments):
        given.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(linear, "is_fastest", lambda: True)
    monkeypatch.setattr(linear, "linear", counted)
    return given


@needs_onednn
@pytest.mark.parametrize("shape", [(5, 8), (2, 3, 8)])
@pytest.mark.parametrize("bias", [False, True])
def test_layers_give_what_torch_gives(taken, shape, bias):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 16, bias=bias), nn.ReLU(), nn.Linear(16, 4, bias=bias))
    x = torch.randn(shape)
    with torch.no_grad():
        expected = network(x)
        with linear.linear_layers():
            found = network(x)
    assert len(taken) == 2
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@needs_onednn
def test_operations_are_counted(taken):
    counter = FlopCounterMode(display=False, custom_mapping=linear.flops())
    with counter, torch.no_grad(), linear.linear_layers():
        functional.linear(torch.ones(2, 3, 8), torch.ones(4, 8))
    assert len(taken) == 1
    assert counter.get_total_flops() == 2 * (2 * 3) * 4 * 8


@needs_onednn
def test_what_does_not_suit_is_left_to_torch(taken):
    x, weight = torch.randn(3, 8), torch.randn(4, 8, requires_grad=True)
    with linear.linear_layers():
        functional.linear(x, weight).sum().backward()
        with torch.no_grad():
            functional.linear(x.double(), weight.double())
            functional.linear(x, torch.randn(8, 4).T)
            functional.linear(x[:1], weight)
            functional.linear(x[:0], weight)
            functional.linear(input=x, weight=weight)
            functional.linear(x.bfloat16(), weight.bfloat16())
    assert weight.grad is not None
    assert taken == []


@needs_onednn
def test_a_network_that_casts_or_compiles_by_itself_is_left_alone(taken):
    network, x, compiled = nn.Linear(8, 4), torch.ones(2, 8), []

    def backend(graph, inputs):
        compiled.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    with linear.linear_layers(), torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert network(x).dtype == torch.bfloat16
        assert taken == []
        torch.compile(network, backend=backend)(x)
    assert compiled
    assert not [name for name in compiled if "mkldnn" in name]


def test_elsewhere_nothing_changes(monkeypatch):
    monkeypatch.setattr(linear, "is_fastest", lambda: False)
    monkeypatch.setattr(linear, "linear", None)
    with linear.linear_layers(), torch.no_grad():
        assert functional.linear(torch.ones(2, 3), torch.ones(1, 3)).tolist() == [[3.0], [3.0]]

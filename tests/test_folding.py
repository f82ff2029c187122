"""Folded batch normalisation: the same outputs but for roundings, and only what can be folded is."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from crbench.folding import folded

IMAGES = torch.randn(3, 4, 40, 40, generator=torch.Generator().manual_seed(0))


def learned(network: nn.Module) -> nn.Module:
    """The network in evaluation mode, with statistics and factors as a training leaves them."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
                module.running_mean.normal_(generator=generator)
                module.running_var.uniform_(0.01, 3, generator=generator)
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
                module.weight.normal_(generator=generator)
                module.bias.normal_(generator=generator)
    return network.eval()


def left(network: nn.Module) -> int:
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def check(network: nn.Module, images: Tensor = IMAGES, **options: object) -> nn.Module:
    """The folded network, after a look at what must hold for any."""
    learned(network)
    before = copy.deepcopy(network.state_dict())
    made = folded(network, images[:1], **options)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    with torch.no_grad():
        expected, found = network(images), made(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    return made


convolutions = st.builds(
    lambda bias, groups, stride, padding, mode: nn.Conv2d(
        4, 4, 3, stride=stride, padding=padding, groups=groups, bias=bias, padding_mode=mode if padding else "zeros"
    ),
    st.booleans(),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2]),
    st.sampled_from(["zeros", "reflect"]),
)
norms = st.builds(lambda affine: nn.BatchNorm2d(4, affine=affine), st.booleans())
others = st.builds(lambda kind: kind(), st.sampled_from([nn.ReLU, nn.Identity, nn.Sigmoid]))


@given(st.lists(st.one_of(convolutions, norms, norms, others), min_size=1, max_size=6))
def test_chains_of_layers_give_what_they_gave(layers: list[nn.Module]) -> None:
    made = check(nn.Sequential(*layers))
    kinds = [type(layer) for layer in layers if type(layer) is not nn.Identity]
    foldable = sum(pair == (nn.Conv2d, nn.BatchNorm2d) for pair in pairwise(kinds))
    assert left(made) == sum(kind is nn.BatchNorm2d for kind in kinds) - foldable


def test_a_linear_layer_takes_the_normalisation_after_it_but_none_over_another_axis() -> None:
    assert left(check(nn.Sequential(nn.Flatten(), nn.Linear(6400, 6), nn.BatchNorm1d(6)))) == 0
    assert left(check(nn.Sequential(nn.Flatten(2), nn.Linear(1600, 6), nn.BatchNorm1d(4)))) == 1


class Twice(nn.Module):
    """A network in which something is used twice."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.norm, self.other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        if what == "weight":
            self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.what == "output":
            return self.norm(x) + x
        if self.what == "view":
            return self.norm(x) + x[:, :1]
        if self.what == "in place":
            return self.norm(x.mul_(2))
        if self.what == "layer":
            return self.first(self.norm(x))
        if self.what == "norm":
            return self.norm(self.second(self.norm(x)))
        if self.what == "weight":
            return self.norm(self.second(x))
        return self.norm(x) if x.shape[0] else x


@pytest.mark.parametrize("what", ["output", "view", "in place", "layer", "norm", "weight"])
def test_what_something_else_needs_is_not_folded(what: str) -> None:
    network = Twice(what)
    assert folded(learned(network), IMAGES[:1]) is network
    check(Twice(what))


def test_what_is_asked_of_a_shape_is_no_use() -> None:
    assert left(check(Twice("nothing"))) == 1  # `other` is never called


def test_statistics_of_the_batch_are_not_folded() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    assert folded(learned(network), IMAGES[:1]) is network
    training = learned(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))
    training[1].train()
    assert folded(training, IMAGES) is training


class NormAct(nn.BatchNorm2d):
    """A normalisation with an activation in it, as some packages have."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


def test_of_a_subclass_is_left_what_the_caller_says() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 1), NormAct(4))
    assert left(check(network)) == 1
    assert left(check(network, rest={NormAct: lambda norm: nn.ReLU()})) == 0


def test_weights_of_half_precision_are_folded_in_float64() -> None:
    network = learned(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))).bfloat16()
    made = folded(network, IMAGES[:1].bfloat16())
    wide = folded(copy.deepcopy(network).double(), IMAGES[:1].double())
    assert torch.equal(made[0].weight, wide[0].weight.bfloat16())


def test_a_network_that_is_trained_further_is_folded_anew() -> None:
    network = learned(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))
    before = folded(network, IMAGES[:1])(IMAGES)
    network.train()
    network(IMAGES)
    network.eval()
    assert torch.allclose(folded(network, IMAGES[:1])(IMAGES), network(IMAGES), atol=1e-4)
    assert not torch.allclose(before, network(IMAGES), atol=1e-3)

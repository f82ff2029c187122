from __future__ import annotations

import pytest
import torch
from crbench_vpfa.module import VectorPanning


def make(dim: int = 12, **options: object) -> VectorPanning:
    module = VectorPanning(dim, **{"hidden": 16, **options})
    module.initialise("normal", 1e-3, torch.Generator().manual_seed(0))
    return module


def test_has_the_published_number_of_parameters() -> None:
    module = VectorPanning(3840)
    assert module.parameter_count() == 24_139_520
    assert list(module.state_dict())[:4] == ["model.0.weight", "model.0.bias", "model.1.weight", "model.1.bias"]
    assert module.model[9].weight.shape == (3840, 2048)


def test_paper_initialisation_starts_near_the_identity() -> None:
    generator = torch.Generator().manual_seed(0)
    module = VectorPanning(3840)
    module.initialise("normal", 1e-3, generator)
    z = torch.randn(64, 3840, generator=generator)
    with torch.no_grad():
        offset = module(z) - z
    assert 0.015 < float(offset.abs().mean()) < 0.035  # about 0.025 by the estimate of the README


def test_the_variance_reading_of_the_initialisation_would_not_start_near_the_identity() -> None:
    module = VectorPanning(512)
    module.initialise("normal", 1e-3**0.5, torch.Generator().manual_seed(0))
    z = torch.randn(64, 512, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert float((module(z) - z).abs().mean()) > 0.3


def test_framework_initialisation_has_pytorchs_bounds() -> None:
    module = VectorPanning(64, hidden=256)
    module.initialise("framework", 1e-3, torch.Generator().manual_seed(0))
    for layer in (module.model[0], module.model[3]):
        bound = layer.in_features**-0.5
        for values in (layer.weight, layer.bias):
            assert 0.9 * bound < float(values.detach().abs().max()) <= bound


def test_initialisation_draws_from_its_generator_alone() -> None:
    state = torch.get_rng_state()
    first, second = make(), make()
    assert torch.equal(torch.get_rng_state(), state)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_blocks_and_width_are_as_told(blocks: int) -> None:
    linear = [layer for layer in make(blocks=blocks, hidden=20).model if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in linear] == [20] * blocks + [12]


def test_gate_bounds_the_offset_and_without_residual_the_offset_is_all() -> None:
    z = torch.randn(5, 12, generator=torch.Generator().manual_seed(0))
    gated, free = make(residual=False), make(residual=False, gate="none")
    for module in (gated, free):
        module.model[9].bias.data.fill_(7)
    with torch.no_grad():
        assert float(gated(z).abs().max()) <= 1
        assert float(free(z).min()) > 6
        gated.residual = True
        assert torch.allclose(gated(z), z + 1, atol=1e-3)

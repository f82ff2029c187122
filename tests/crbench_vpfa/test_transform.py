from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from crbench_vpfa import transform as module
from crbench_vpfa.module import VectorPanning
from crbench_vpfa.transform import PanningTransform

from crbench import load_aligner
from crbench.api.context import RunContext
from crbench.errors import ConfigError
from crbench.records import Domain
from crbench.testing import train_features

OPTIONS: dict[str, Any] = {"hidden": 32, "epochs": 2, "draws": 64, "lr": 1e-2}


def fitted(**options: Any) -> PanningTransform:
    return load_aligner("vpfa/paper", **{**OPTIONS, **options}).fit(train_features(), run=RunContext())


@pytest.mark.parametrize("residual", [True, False])
def test_bf16_is_close_to_float32_and_keeps_the_weights(residual: bool) -> None:
    source = train_features().source
    exact, fast = (fitted(residual=residual, precision=precision) for precision in ("float32", "bf16"))
    one, other = exact(source).x, fast(source).x
    assert other.dtype == torch.float32
    assert not torch.equal(one, other)
    # Offsets lie in [-1, 1]; bfloat16 has 8 significant bits.
    assert (one - other).abs().max() < 0.03
    assert all(
        torch.equal(left, right) for left, right in zip(exact.state().values(), fast.state().values(), strict=True)
    )


def test_a_restored_transform_computes_as_its_aligner_says() -> None:
    source, fast = train_features().source, fitted(precision="bf16")
    restored = load_aligner("vpfa/paper", **OPTIONS, precision="bf16").restore(fast.state())
    assert torch.equal(restored(source).x, fast(source).x)


def test_all_rates_of_a_module_take_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = VectorPanning.forward
    monkeypatch.setattr(VectorPanning, "forward", lambda self, z, *rest: seen.append(len(z)) or forward(self, z, *rest))
    source, transform = train_features().source, fitted()
    seen.clear()
    transform(source)
    assert seen == [len(source)]
    apart = fitted(scope="per_rate")
    seen.clear()
    apart(source)
    assert seen == [len(source) // 3] * 3


@pytest.mark.parametrize("compile", [False, True])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, compile: bool) -> None:
    """With a stand-in for the compiler that insists on one shape."""
    shapes = set()

    def compiled(pan: Any, **options: Any) -> Any:
        return lambda z: shapes.add(z.shape) or pan(z)

    source = train_features().source
    expected = fitted()(source).x
    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setitem(module.BLOCK_ROWS, "cpu", 7)
    torch.testing.assert_close(fitted(compile=compile)(source).x, expected)
    assert shapes == ({torch.Size([7, 16])} if compile else set())


def test_a_compiler_that_fails_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import TorchDynamoException

    def fail(z: torch.Tensor) -> torch.Tensor:
        raise TorchDynamoException("no compiler\nand more")

    monkeypatch.setattr(torch, "compile", lambda pan, **options: fail)
    with pytest.raises(ConfigError, match=r"vpfa: torch\.compile failed \(no compiler\); set vpfa\.compile=false"):
        fitted(compile=True)(train_features().source)


def test_the_network_is_made_ready_once() -> None:
    transform = fitted(precision="bf16")
    source = train_features().source
    transform(source)
    ready = dict(transform._ready)
    transform(source)
    assert transform._ready == ready
    assert len(ready) == 1
    assert attrs.evolve(transform)._ready == {}
    assert set(transform.modules) == {tuple(Domain(rate=rate) for rate in (2.0, 3.0, 4.0))}

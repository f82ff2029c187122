"""A fit that was stopped continues from its last state, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from crbench import load_aligner
from crbench.api.context import RunContext, TrainingSession
from crbench.testing import train_features


class Memory:
    """A checkpoint that keeps a state after every epoch, and stops the fit after so many."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.kept: tuple[dict[str, Tensor], Mapping[str, Any]] | None = None
        self.stop_after = stop_after
        self.saves = 0

    def load(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]] | None:
        return self.kept

    def due(self) -> bool:
        return True

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self.kept = {name: tensor.clone() for name, tensor in tensors.items()}, dict(facts)
        self.saves += 1
        if self.saves == self.stop_after:
            raise KeyboardInterrupt


@attrs.define
class Steps:
    """A tracker that counts."""

    total: int
    done: int = 0

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def advance(self, count: int = 1, **figures: float) -> None:
        self.done += count


def run_with(memory: Memory, bars: list[Steps]) -> RunContext:
    def progress(total: int, description: str, unit: str) -> Steps:
        bars.append(Steps(total))
        return bars[-1]

    return RunContext(seed=3, session=TrainingSession(fit=memory), progress=progress)


@pytest.mark.parametrize("options", [{}, {"scope": "per_rate"}, {"schedule": "cosine", "pairs": "bootstrap"}])
@pytest.mark.parametrize("stop_after", [1, 4, 6])
def test_a_stopped_fit_ends_as_one_that_was_not(options: dict[str, Any], stop_after: int) -> None:
    small = {"hidden": 16, "epochs": 6, "draws": 40, "batch_size": 16, "min_count": 1, **options}
    aligner, train = load_aligner("vpfa/paper", **small), train_features()
    whole = aligner.fit(train, run=RunContext(seed=3)).state()
    memory, bars = Memory(stop_after), []
    with pytest.raises(KeyboardInterrupt):
        aligner.fit(train, run=run_with(memory, bars))
    memory.stop_after = None
    continued = aligner.fit(train, run=run_with(memory, bars)).state()
    assert all(torch.equal(continued[name], tensor) for name, tensor in whole.items())
    modules = len({name for name in whole if name.endswith("model.0.weight")})
    assert memory.saves == 6 * modules, "no epoch was done twice"
    assert bars[-1].done == bars[-1].total

"""A small transformer in place of ViT-B/16, and checkpoints of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from crbench_transreid.network import TransReID
from crbench_transreid.vit import ARCHITECTURES
from transreid_weights import TINY, State, filled


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``vit-base`` be a transformer that is built in no time."""
    monkeypatch.setitem(ARCHITECTURES, "vit-base", TINY)  # type: ignore[arg-type]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkpoint of the tiny network, after `change` of its tensors."""

    def write(change: Callable[[State], Any] = dict, *, size: tuple[int, int] = (64, 32), **network: Any) -> Path:
        path = tmp_path / "transformer_120.pth"
        torch.save(change(filled(TransReID(TINY, size, **network).state_dict())), path)
        return path

    return write

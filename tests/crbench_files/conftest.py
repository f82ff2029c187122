"""Batches of random input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crbench.records import Batch


@pytest.fixture
def batch():
    def make(count, size=(32, 16)):
        inputs = torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))
        return Batch(inputs, np.ones(count, dtype=np.float32), np.ones(count, dtype=np.int64))

    return make

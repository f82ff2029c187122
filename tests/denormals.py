"""How much of an array of denormal numbers the threads of torch leave as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from crbench.denormals import flush_denormals

_COUNT = 1 << 18
"""Numbers; enough for two threads to share them."""


def share_kept() -> float:
    """Of denormal numbers that torch multiplies by one on the CPU, the share that is not zero afterwards."""
    # Made and compared as bits, as the conversion of a float would flush it, too.
    bits = np.full(_COUNT, 1, dtype=np.uint32)
    torch.from_numpy(bits.view(np.float32)).mul_(1.0)
    return float((bits != 0).mean())


@contextmanager
def two_threads() -> Iterator[None]:
    """Inside, torch computes with two threads, which are there and keep denormal numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert share_kept() == 1
        yield
        assert share_kept() == 1
    finally:
        flush_denormals(False)
        torch.set_num_threads(before)

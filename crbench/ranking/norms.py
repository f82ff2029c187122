"""Norms of feature rows, taken once: they show whether all values are finite, and normalise the rows."""

from __future__ import annotations

import torch

from crbench.ranking.threads import Workers

_CHUNK = 1 << 22
"""Elements per float64 work array."""


def row_norms(x: torch.Tensor) -> torch.Tensor:
    """f64[n], norms of rows f32[n, D] or f64[n, D], where they lie; wrong by at most ``D 2**-53`` of themselves.

    They are finite where all values are, and 0 where all values are 0: squares of what float32 holds fit into float64.

    Example:
        >>> row_norms(torch.tensor([[3.0, 4.0], [1e-45, 0.0], [0.0, torch.nan]]))
        tensor([5.0000e+00, 1.4013e-45,        nan], dtype=torch.float64)
    """
    if x.device.type == "cpu":
        from crbench.ranking.backends.numba import NumbaBackend

        workers, rows = Workers.on(x.device), torch.arange(len(x))
        with workers.alone():
            return NumbaBackend(workers, x.shape[1]).dots(x, x, rows, rows, x.shape[1]).sqrt()
    found = torch.empty(len(x), dtype=torch.float64, device=x.device)
    step = max(1, _CHUNK // x.shape[1])
    for start in range(0, len(x), step):
        some = slice(start, start + step)
        found[some] = torch.linalg.vector_norm(x[some], dim=1, dtype=torch.float64)
    return found

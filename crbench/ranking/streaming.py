"""A stream of feature rows to the device that compares them.

Features that the device's memory does not hold stay in the host's memory, or in a mapped file. The rows of a tile are
copied to the device while it works on the tile before. Inner products of single pairs are computed where the rows lie.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from crbench.ranking.backends.interface import CountingBackend
from crbench.transfer import Transfer

_PREFETCHED = 2
"""Copies that are ready or under way: the one that is fetched next, and the one after it."""


class RowStream:
    """The rows of one side, for a device that may be another one.

    Attributes:
        x: f32[n, D] or f64[n, D].
        device: where rows are copied.
        elsewhere: the rows do not lie on `device`.
    """

    def __init__(self, x: torch.Tensor, device: torch.device) -> None:
        self.x = x
        self.device = device
        self.elsewhere = x.device != device
        self._transfer = Transfer(str(device))
        self._pool = ThreadPoolExecutor(1) if self.elsewhere else None
        self._coming: deque[tuple[slice | torch.Tensor, int, Future[torch.Tensor]]] = deque(maxlen=_PREFETCHED)

    def prefetch(self, index: slice | torch.Tensor, prefix: int) -> None:
        """Start copying rows that will soon be fetched by the very same index object."""
        if self._pool is not None:
            self._coming.append((index, prefix, self._pool.submit(self._ready, index, prefix)))

    def fetch(self, index: slice | torch.Tensor, prefix: int) -> torch.Tensor:
        """The first columns of some rows [m, prefix]; on CUDA, the copy does not delay work that is under way."""
        if self._pool is None:
            return self.x[:, :prefix][index]
        for place, (rows, columns, coming) in enumerate(self._coming):
            if rows is index and columns == prefix:
                del self._coming[place]
                return self._transfer.upload(coming.result())
        return self._transfer.upload(self._ready(index, prefix))

    def _ready(self, index: slice | torch.Tensor, prefix: int) -> torch.Tensor:
        rows = self.x[:, :prefix]
        if isinstance(index, slice):
            rows = rows[index]
            return self._transfer.buffer(tuple(rows.shape), rows.dtype).copy_(rows)
        buffer = self._transfer.buffer((len(index), prefix), rows.dtype)
        return torch.index_select(rows, 0, index.to(rows.device), out=buffer)


def dots(
    backend: CountingBackend, a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor, items: torch.Tensor, columns: int
) -> torch.Tensor:
    """f64[m], inner products of pairs, computed where `a` lies; `b`, the indices and the result may lie elsewhere.

    A float32 `b` is widened where `a` is float64.

    See `crbench.ranking.backends.interface.CountingBackend.dots`. The result lies where `rows` do.
    """
    here = a.device
    return backend.dots(a, b.to(here, a.dtype), rows.to(here), items.to(here), columns).to(rows.device)

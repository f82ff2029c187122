"""Copies between host and device that run beside the device's own work."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor


@attrs.frozen(eq=False)
class Download:
    """A tensor that is being copied to the host; `take` waits for it."""

    _host: Tensor
    _done: torch.cuda.Event | None = None

    def take(self) -> Tensor:
        """The tensor, complete, in host memory."""
        if self._done is not None:
            self._done.synchronize()
        return self._host


class Transfer:
    """Asynchronous copies for CUDA, from and to pinned memory; on a CPU nothing is copied.

    Args:
        device: torch device name.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._cuda = self._device.type == "cuda"
        self._stream = torch.cuda.Stream(self._device) if self._cuda else None  # type: ignore[no-untyped-call]

    def buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Host memory to be filled and uploaded; its values are not set."""
        return torch.empty(shape, dtype=dtype, pin_memory=self._cuda)

    def upload(self, host: Tensor) -> Tensor:
        """`host` on the device; work that is queued after this call waits for it, work before it does not delay it.

        PyTorch reuses a pinned buffer only when its copy has ended, so the caller may drop `host` at once.
        """
        if self._stream is None:
            return host.to(self._device)
        with torch.cuda.stream(self._stream):
            uploaded = host.to(self._device, non_blocking=True)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        uploaded.record_stream(current)
        return uploaded

    def download(self, x: Tensor) -> Download:
        """Start copying `x` to the host, after the work that computes it; the call does not wait for either."""
        if not self._cuda:
            return Download(x.cpu())
        host = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
        host.copy_(x, non_blocking=True)
        # Blocking: a thread that waits in a busy loop would take a core from the threads that decode images.
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(self._device))
        return Download(host, done)

"""Where features are compared, where they lie meanwhile, and how much memory that may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from crbench.config.units import CUDA_SHARE, THREAD_BUDGET
from crbench.errors import EvaluationError
from crbench.records import Features

if TYPE_CHECKING:
    import torch

_HELD = 0.5
"""Share of a device's free memory that features may take; larger ones stay in the host's."""


def placed(
    query: Features, gallery: Features, request: str | None, *, stay: bool
) -> tuple[Features, Features, torch.device]:
    """Both sides in one place, and the device to compare them on.

    Args:
        query, gallery: x is a torch tensor.
        request: name of the device; None = the CUDA device of either side, else the CPU.
        stay: features may stay in the host's memory where the device's does not hold them.

    Raises:
        EvaluationError: there is no such device, or crbench does not compare on it.
    """
    sides = query.x, gallery.x
    device = _device(request, [x.device for x in sides])
    size = sum(x.numel() * x.element_size() for x in sides if x.device != device)
    home = "cpu" if stay and size > _HELD * _free(device) else device
    query, gallery = (attrs.evolve(feats, x=feats.x.to(home)) for feats in (query, gallery))
    return query, gallery, device


def default_budget(device: torch.device) -> int:
    """Bytes that an evaluation uses beside the features, unless told otherwise."""
    import torch

    if device.type != "cuda":
        return THREAD_BUDGET * max(2, torch.get_num_threads())
    return torch.cuda.get_device_properties(device).total_memory // CUDA_SHARE


def _device(request: str | None, devices: list[torch.device]) -> torch.device:
    import torch

    if request is None:
        return next((device for device in devices if device.type == "cuda"), torch.device("cpu"))
    try:
        device = torch.empty(0, device=request).device  # with its number
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise EvaluationError(f"device {request!r} cannot be used ({reason}); expected cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):  # others lack float64
        raise EvaluationError(f"features cannot be compared on device {request!r}; expected cpu, cuda or cuda:N")
    return device


def _free(device: torch.device) -> float:
    """Bytes of a device's memory that are free; of the host's, as many as are asked for."""
    if device.type != "cuda":
        return float("inf")
    import torch

    return float(torch.cuda.mem_get_info(device)[0])

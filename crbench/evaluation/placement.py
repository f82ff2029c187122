"""Device placement: where features are compared, where they lie meanwhile, and how much memory that may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from crbench.config.units import CUDA_SHARE, THREAD_BUDGET
from crbench.errors import EvaluationError
from crbench.records import Features

if TYPE_CHECKING:
    import torch

_HELD = 0.5
"""Share of a device's free memory that features may take; larger ones stay in the host's memory."""


def placed(
    query: Features, gallery: Features, name: str | None, *, stay: bool
) -> tuple[Features, Features, torch.device]:
    """Query and gallery in one memory, and the device to compare them on.

    Args:
        query, gallery: x is a torch tensor.
        name: the device asked for; None = the CUDA device of either side, else the CPU.
        stay: features that the device's memory does not hold may stay in the host's.

    Raises:
        EvaluationError: there is no such device, or crbench does not compare on it.
    """
    sides = query.x, gallery.x
    device = _device(name, [x.device for x in sides])
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


def _device(name: str | None, devices: list[torch.device]) -> torch.device:
    """The device of that name; None = the first CUDA device among `devices`, else the CPU."""
    import torch

    if name is None:
        return next((device for device in devices if device.type == "cuda"), torch.device("cpu"))
    try:
        device = torch.empty(0, device=name).device  # "cuda" becomes "cuda:0".
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise EvaluationError(f"device {name!r} cannot be used ({reason}); expected cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):  # Others lack float64.
        raise EvaluationError(f"features cannot be compared on device {name!r}; expected cpu, cuda or cuda:N")
    return device


def _free(device: torch.device) -> float:
    """Free bytes of a device's memory; the host's counts as unlimited."""
    if device.type != "cuda":
        return float("inf")
    import torch

    return float(torch.cuda.mem_get_info(device)[0])

"""The arithmetic of networks in extraction and training: float32, or autocast to a half precision."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Amp = Literal["off", "bf16", "fp16"]
"""``off`` computes in float32; the others autocast to this type."""

AMP: tuple[Amp, ...] = typing.get_args(Amp)

AmpRequest = Literal["off", "bf16", "fp16", "auto"]
"""What a run may be asked for: ``auto`` takes what is fast on the machine and changes no ranks."""

AMP_REQUESTS: tuple[AmpRequest, ...] = typing.get_args(AmpRequest)


def half_dtype(amp: str) -> torch.dtype | None:
    """The type that autocast computes in; None for ``off``.

    Example:
        >>> half_dtype("bf16")
        torch.bfloat16
    """
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(amp)

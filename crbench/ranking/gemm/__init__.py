"""Matrix products in several precisions, with bounds of their errors.

`products` multiplies operands in a precision; `int8` splits rows into digits for integer products; `precision` chooses
the precision.
"""

from __future__ import annotations

import torch

INT8_BASE = 254.0
"""Base of the two int8 digits that stand for a float32 value, see `crbench.ranking.gemm.int8`."""


def processor_has(*instructions: str) -> bool:
    """Whether this processor has one of these sets of instructions, by torch's names; an older torch cannot tell."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in instructions)

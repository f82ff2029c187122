"""Which precision the products of an evaluation start with, and which one follows where it is too coarse."""

from __future__ import annotations

import numpy as np

from crbench.ranking.gemm import processor_has
from crbench.ranking.gemm.products import INT8_COLUMNS, K_BLOCK, K_BLOCKED
from crbench.ranking.interface import RankInputs

_FINER = {"int8": "fp32", "bf16": "bf16x3", "tf32": "fp32", "bf16x3": "fp32"}

_TOO_MANY = 1 / 32
"""Share of a tile's pairs; with more of them uncertain, a finer product is cheaper than deciding in float64."""

_TOO_MANY_FOR_K_BLOCKS = 1 / 128
"""The same for products in K-blocks, which take a sixth longer and leave a quarter as many pairs uncertain."""

_FEW = 256
"""Rows of a side; with fewer on either, splitting them into digits costs more than a faster product saves."""

_SHORT = 256
"""Columns up to which three int8 products, and adding them up, take as long as a float32 one."""


def for_cpu(inputs: RankInputs) -> str:
    """The precision where none is asked for: int8 where the processor is fast at it, for enough long rows."""
    if inputs.query.x.shape[1] <= _SHORT:
        return "fp32"
    lengths = len(np.unique(inputs.query.dims)), len(np.unique(inputs.gallery.dims))
    least = min(len(inputs.query) // lengths[0], len(inputs.gallery) // lengths[1])
    return "int8" if least >= _FEW and _has_fast_int8() else "fp32"


def for_tiles(inputs: RankInputs) -> str:
    """The precision of `crbench.ranking.filter.Comparison.tile`: float32 with the smallest error bound there is."""
    return K_BLOCKED if inputs.device.type == "cpu" and inputs.query.x.shape[1] > K_BLOCK else "fp32"


def finer(precision: str, share: float, inputs: RankInputs) -> str | None:
    """The precision to turn to where such a share of a tile's pairs is uncertain; None = go on as before."""
    if precision == "fp32" and inputs.device.type == "cpu" and inputs.query.x.shape[1] > K_BLOCK:
        return K_BLOCKED if share > _TOO_MANY_FOR_K_BLOCKS else None
    return _FINER.get(precision) if share > _TOO_MANY else None


def usable(precision: str, inputs: RankInputs) -> str:
    """The precision, or the one to use for features that are too long for it."""
    return "fp32" if precision == "int8" and inputs.query.x.shape[1] > INT8_COLUMNS else precision


def why_slow(precision: str, inputs: RankInputs) -> str | None:
    """Why a precision costs more than it saves on the device; None where it does not."""
    if inputs.device.type != "cpu" or precision == "fp32":
        return None
    if precision == "int8":
        return None if _has_fast_int8() else "this processor has no fast instructions for int8 products"
    return f"on a CPU, {precision} products are made of float32 ones"


def _has_fast_int8() -> bool:
    """Whether this processor has instructions that make int8 products several times faster than float32 ones."""
    return processor_has("avx512_vnni", "amx_int8")

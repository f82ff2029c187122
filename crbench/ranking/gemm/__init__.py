"""Matrix products in several precisions, with bounds of their errors.

`products` multiplies operands in a precision; `int8` splits rows into digits for integer products; `precision` chooses
the precision.
"""

INT8_BASE = 254.0
"""Base of the two int8 digits that stand for a float32 value, see `crbench.ranking.gemm.int8`."""

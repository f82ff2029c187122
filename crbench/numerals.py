"""Numbers that come as text: in tables, options, file names and spellings of rules, each read by the same strict rule.

Python and NumPy read more than people write: ``int("1_2")`` is 12, digits of every script count, and ``float("nan")``
is a number. In data such a text is a mistake, or a name that looks like a number, so it is refused.
"""

from __future__ import annotations

import math
import re

_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LEAST, _MOST = -(2**63), 2**63 - 1


def parse_integer(text: str) -> int:
    """The integer that ASCII digits spell, with a minus sign or without; leading zeros are allowed, as in ``0002``.

    Raises:
        ValueError: another form (``1_2``, ``+1``, ``1e3``, ``1.0``, blanks), or beyond 64 bits.

    Example:
        >>> parse_integer("0002"), parse_integer("-1")
        (2, -1)
    """
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not an integer")
    # so many digits are beyond 64 bits unless they are zeros, and Python itself refuses to read some thousands of them
    value = int(text) if len(text.lstrip("-0")) < 20 else _MOST + 1
    if not _LEAST <= value <= _MOST:
        raise ValueError(f"{text!r} is not an integer of 64 bits; expected -2^63 to 2^63 - 1")
    return value


def parse_number(text: str) -> float:
    """The finite number that ASCII digits spell, with a fraction and an exponent or without: ``2``, ``2.5``, ``.5``,
    ``1e-3``.

    Raises:
        ValueError: another form (``2_0``, ``+1``, ``nan``, ``inf``, blanks), or beyond float64.

    Example:
        >>> parse_number("2"), parse_number("1e-3")
        (2.0, 0.001)
    """
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number below 1.8e308")
    return value

"""Memory budgets and times: a number, or a text with a unit."""

from __future__ import annotations

import re

from crbench.errors import ConfigError
from crbench.numerals import parse_number

LEAST_BUDGET = 1 << 20
"""Bytes."""

THREAD_BUDGET = 40 << 20
"""Bytes per thread, of two at least, that an evaluation on a CPU uses on top of the features, unless told otherwise."""

CUDA_SHARE = 16
"""Unless told otherwise, an evaluation on a CUDA device uses one in so many bytes of the device's memory."""

_UNITS = {"": 1, "B": 1, **{f"{p}B": 1000 ** (i + 1) for i, p in enumerate("KMGT")}}
_UNITS.update({f"{p}IB": 1024 ** (i + 1) for i, p in enumerate("KMGT")})


def parse_budget(value: str | int) -> int:
    """Bytes of a budget such as ``512MB``, ``1.5 GiB`` or ``100000000``.

    Raises:
        ConfigError: neither a number of bytes nor a number with a unit, or less than `LEAST_BUDGET`.

    Example:
        >>> parse_budget("512MB"), parse_budget("1.5 GiB")
        (512000000, 1610612736)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value), re.ASCII)
    if match is None or match[2].upper() not in _UNITS:
        raise ConfigError(f"memory budget {value!r} is not a number of bytes; expected e.g. 512MB, 2GiB or 100000000")
    count = int(float(match[1]) * _UNITS[match[2].upper()])
    if count < LEAST_BUDGET:
        raise ConfigError(f"memory budget {value!r} is too small; expected {LEAST_BUDGET} bytes (1MiB) or more")
    return count


_SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse_duration(value: str | float) -> float:
    """Seconds of a time such as ``90``, ``90s``, ``15m`` or ``1.5h``.

    Raises:
        ConfigError: no such time, or none that is positive.

    Example:
        >>> parse_duration("15m"), parse_duration(90)
        (900.0, 90.0)
    """
    text = str(value).strip()
    unit = text[-1:] if text[-1:] in _SECONDS else ""
    try:
        seconds = parse_number(text.removesuffix(unit)) * _SECONDS.get(unit, 1)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise ConfigError(f"time {value!r} is not a positive time; expected e.g. 90, 90s, 15m or 2h")
    return seconds

"""Numbers as people read them in a table."""

from __future__ import annotations


def printed(fraction: float) -> float:
    """A fraction in per cent, rounded as tables print it.

    Example:
        >>> printed(0.71249)
        71.2
    """
    return round(100 * fraction, 1)


def per_cent(fraction: float) -> str:
    """A fraction in per cent: ``52.0``."""
    return f"{printed(fraction) + 0.0:.1f}"


def signed(fraction: float) -> str:
    """A difference of fractions in per cent, with its sign: ``+11.0``."""
    return f"{printed(fraction) + 0.0:+.1f}"


def number(value: float) -> str:
    """A number in up to four digits."""
    return f"{value:.4g}"


def probability(p: float) -> str:
    """A probability with three decimals.

    Example:
        >>> probability(0.0312), probability(0.0001)
        ('0.031', '<0.001')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def short(number: float) -> str:
    """A count in about three digits.

    Example:
        >>> short(24139520), short(384)
        ('24.1M', '384')
    """
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{suffix}"
    return f"{number:.0f}"


def rate(per_second: float) -> str:
    """Like `short`, with three digits of small numbers too: 0.0213 is ``0.0213``."""
    return short(per_second) if per_second >= 100 else f"{per_second:.3g}"


def seconds(time: float) -> str:
    """Seconds in about three digits."""
    return f"{time:.0f}" if time >= 100 else f"{time:.3g}"

"""Numbers as options, read as `crbench.numerals` reads them: no ``1_0``, no ``nan``, no digits of other scripts."""

from __future__ import annotations

from typing import Any

import click

from crbench.numerals import parse_integer, parse_number

_RATES_END = 1000


class Integer(click.types.IntParamType):
    """An integer."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The integer that a text spells; what is no text passes as it is."""
        try:
            return super().convert(parse_integer(value) if isinstance(value, str) else value, param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class IntegerRange(Integer, click.IntRange):
    """An integer within bounds."""


class Number(click.types.FloatParamType):
    """A finite number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number that a text spells; what is no text passes as it is."""
        try:
            return super().convert(parse_number(value) if isinstance(value, str) else value, param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class NumberRange(Number, click.FloatRange):
    """A finite number within bounds."""


INTEGER = Integer()
NUMBER = Number()


def shares(_: click.Context, parameter: click.Parameter, value: str | None) -> list[float]:
    """Callback of options that take a list of shares, as in ``1e-2,1e-3``."""
    try:
        found = [] if value is None else [parse_number(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of shares; expected e.g. 1e-2,1e-3") from None
    if wrong := [share for share in found if not 0 <= share < 1]:
        raise click.BadParameter(f"{wrong[0]:g} is not a share; expected 0 or more and less than 1")
    return found


def rates(_: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    """Callback of options that take a list of rates, as in ``1-8`` or ``1,1.5,2-4``; sorted, each once."""
    found: set[float] = set()
    for part in value.split(","):
        first, dash, last = part.partition("-")
        try:
            if dash:
                found.update(map(float, range(parse_integer(first), parse_integer(last) + 1)))
            else:
                found.add(parse_number(part))
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a list of rates; expected e.g. 1-8 or 1,1.5,2") from None
    if not found or not all(1 <= rate < _RATES_END for rate in found):
        raise click.BadParameter(f"{value!r}: expected rates from 1 to less than {_RATES_END}, the smallest first")
    return tuple(sorted(found))

"""Messages in plain words: what was meant by a name, what a validator of attrs found, and lines that fit a terminal."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is none of those that are known.

    Example:
        >>> suggestion("kernal", ["kernel", "encoder"]), suggestion("x", [])
        ("; did you mean 'kernel'? known: kernel, encoder", '; known: none')
    """
    listed = list(known)
    close = difflib.get_close_matches(name, listed, n=1)
    meant = f" did you mean {close[0]!r}?" if close else ""
    return f";{meant} known: {', '.join(listed) or 'none'}"


def broken(text: str, width: int | None) -> str:
    """The text in lines of at most `width` characters, but for longer words.

    Example:
        >>> broken("one two three", 8)
        'one two\\nthree'
    """
    if width is None:
        return text
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def columns_that_fit(kept: Sequence[bool], fits: Callable[[Sequence[int]], bool]) -> list[int]:
    """The columns of a table that a line has place for: others are left out from the right until they fit.

    Args:
        kept: for each column, whether it stays in any case. Where none does, none is left out.
        fits: whether lines of the columns of these numbers are short enough.

    Example:
        >>> columns_that_fit([True, False, False], lambda columns: len(columns) < 3)
        [0, 1]
    """
    shown = list(range(len(kept)))
    while any(kept) and not fits(shown) and (loose := [place for place in shown if not kept[place]]):
        shown.remove(loose[-1])
    return shown


def left_out_note(width: int, titles: Iterable[str]) -> str:
    """What a table says of the columns that lines of `width` characters have no place for."""
    return f"columns left out, as lines have {width} characters: {', '.join(titles)} (--wide shows them)"


_BOUNDS: Mapping[str, str] = {">": "above", ">=": "at least", "<": "below", "<=": "at most"}

_SAID: Mapping[str, Callable[[re.Match[str]], str]] = {
    r"'(\w+)' must be ([<>]=?) (\S+): (.*)": lambda m: (
        f"{m[1]}: {m[4]} is out of range; expected a value {_BOUNDS[m[2]]} {m[3]}"
    ),
    r"'(\w+)' must be in [\[\({](.*?),?[\]\)}] \(got (.*)\)": lambda m: (
        f"{m[1]}: {m[3]} is not one of {m[2].replace(chr(39), '')}"
    ),
    r"'(\w+)' must be <class '(?:\w+\.)*(\w+)'> \(got (.*) that is a <class '(?:\w+\.)*(\w+)'>\)\.": lambda m: (
        f"{m[1]}: {m[3]} is of type {m[4]}; expected {m[2]}"
    ),
    r"Length of '(\w+)' must be ([<>]=?) (\d+): (\d+)": lambda m: (
        f"{m[1]}: {m[4]} values given; expected {_BOUNDS[m[2]]} {m[3]}"
    ),
    r"'(\w+)' must match regex (.*) \((.*) doesn't\)": lambda m: f"{m[1]}: {m[3]} is not of the form {m[2]}",
    r"'(\w+)' must be callable \(got (.*) that is a .*": lambda m: f"{m[1]}: {m[2]} cannot be called",
}
"""What attrs' own validators say, and the same as our messages say it; another text stays as it is."""


def plain_fault(error: BaseException) -> str:
    """The first line of an error in plain words.

    Example:
        >>> plain_fault(ValueError("'lr' must be > 0: 0"))
        'lr: 0 is out of range; expected a value above 0'
    """
    text = str(error.args[0] if error.args else error).strip()
    line = next(iter(text.splitlines()), "") or type(error).__name__
    for pattern, said in _SAID.items():
        if match := re.fullmatch(pattern, line):
            return said(match)
    return line

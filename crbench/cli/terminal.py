"""What the terminal wants, and what was typed there."""

from __future__ import annotations

import os
import shlex
import sys


def wants_colour() -> bool:
    """NO_COLOR and FORCE_COLOR (no-color.org, force-color.org) count when set and not empty; else: a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def shown(text: str) -> str:
    r"""`text` on one line, without what a terminal obeys: names of files and words of plugins may hold anything.

    Bytes of names that are not UTF-8 stay as they are.

    Example:
        >>> shown("a\x1b[31m")
        'a\\x1b[31m'
    """
    return "".join(
        char if char.isprintable() or "\udc80" <= char <= "\udcff" else char.encode("unicode_escape").decode()
        for char in text
    )


def command_text() -> str:
    """The command line as it was given, without the path of the program."""
    return shlex.join(["crbench", *sys.argv[1:]])

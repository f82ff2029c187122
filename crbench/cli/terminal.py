"""What the terminal wants, and what was typed there."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

import click


def wants_colour() -> bool:
    """NO_COLOR and FORCE_COLOR (no-color.org, force-color.org) count when set and not empty; else: a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def table_width(wide: bool) -> int | None:
    """Characters of a line that tables may take: those of the terminal; None where there is none or `wide` is asked."""
    return None if wide or not sys.stdout.isatty() else shutil.get_terminal_size().columns


wide_option = click.option(
    "--wide", is_flag=True, help="Show all columns; by default those are left out that the terminal has no place for."
)


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

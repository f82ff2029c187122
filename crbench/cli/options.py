"""Options that several commands share, so that each means one thing everywhere.

``-o`` or ``--output`` is where a command writes what it makes; ``--format`` is how it prints what it found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE_OR_FOLDER = click.Path(path_type=Path)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Adds an option, an argument or several of them to a command."""


def option_group(*options: Decorator) -> Decorator:
    """One decorator in the place of several, whose options ``--help`` shows in the order given.

    Example:
        >>> sizes = option_group(click.option("--width"), click.option("--height"))
        >>> @click.command()
        ... @sizes
        ... def draw(width, height):
        ...     ...
        >>> [option.name for option in draw.params]
        ['width', 'height']
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


log_options = option_group(
    click.option("-q", "--quiet", count=True, help="Warnings only."),
    click.option("-v", "--verbose", count=True, help="More notes."),
)
"""-q and -v, which `crbench.cli.progress.configure_logging` takes."""


def format_option(choices: Sequence[str] = ("table", "json")) -> Decorator:
    """The option --format; the first of its choices is the default."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help="What to print.",
    )

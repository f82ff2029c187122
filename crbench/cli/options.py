"""Options that several commands share, so that each means one thing everywhere.

``-o`` or ``--output`` is where a command writes what it makes; ``--format`` is how it prints what it found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click


class _Output(click.Path):
    """A file to write that holds no result: a table or a page in its place would lose it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.suffix == ".json" and path.is_file() and _holds_result(path):
            self.fail(f"{path} holds a result, which would be lost; choose another name", param, ctx)
        return path


def _holds_result(path: Path) -> bool:
    from crbench.errors import CrbenchError
    from crbench.results.files import read_content
    from crbench.results.search import read_text

    try:
        found = read_content(read_text(path, "result"), str(path), kind="result")
    except CrbenchError:
        return False
    return isinstance(found, dict) and found.keys() >= {"cell_id", "trials"}


FILE = click.Path(path_type=Path, dir_okay=False)
OUTPUT = _Output(path_type=Path, dir_okay=False)
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

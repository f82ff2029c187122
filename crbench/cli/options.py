"""Options that several commands share, so that each means one thing everywhere.

``-o`` or ``--output`` is where a command writes what it makes; ``--format`` is how it prints what it found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click


def format_option(choices: Sequence[str] = ("table", "json")) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option --format; the first of its choices is the default."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help="What to print.",
    )

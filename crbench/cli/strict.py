"""``--strict`` of commands that search folders for files of crbench."""

from __future__ import annotations

import click

strict_option = click.option(
    "--strict",
    is_flag=True,
    help="Stop with exit code 3 where a folder holds other or damaged JSON files; else they are listed and left out.",
)

"""Lists of what is installed, as tables that fit the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from crbench.cli.terminal import shown
from crbench.wording import broken, columns_that_fit, left_out_note

_LEAST = 20
"""Characters of a line of text, however narrow the terminal is."""


def item(text: str, width: int | None) -> str:
    """A line that belongs to a heading above, set in; what does not fit follows set in deeper."""
    if width is None:
        return f"  {text}"
    return textwrap.fill(
        text, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def list_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, kept: Collection[str], text: str, width: int | None
) -> str:
    """A table whose lines have at most `width` characters, as far as may be; None = as wide as it is.

    Args:
        headers: of the columns, each another.
        rows: cells; what a terminal would obey in them is spelled out.
        kept: headers of the columns that stay; the others are left out from the right, and named below.
        text: header of the column among them that is broken into lines.
    """
    from tabulate import tabulate

    clean = [[shown(cell) for cell in row] for row in rows]
    if width is not None:
        place, beside = headers.index(text), [at for at, name in enumerate(headers) if name in kept and name != text]
        # tabulate sets each heading in two characters more than it has, and columns two apart
        taken = sum(max(len(headers[at]) + 2, *(len(row[at]) for row in clean), 0) + 2 for at in beside)
        limit = max(_LEAST, width - taken)
        clean = [[broken(cell, limit) if at == place else cell for at, cell in enumerate(row)] for row in clean]

    def table(columns: Sequence[int]) -> str:
        return tabulate(
            [[row[at] for at in columns] for row in clean], [headers[at] for at in columns], disable_numparse=True
        )

    def fits(columns: Sequence[int]) -> bool:
        return width is None or max(map(len, table(columns).splitlines())) <= width

    columns = columns_that_fit([name in kept for name in headers], fits)
    left_out = [name for at, name in enumerate(headers) if at not in columns]
    note = broken(left_out_note(width, left_out), width) if left_out and width is not None else ""
    return "\n".join(filter(None, (table(columns), note)))

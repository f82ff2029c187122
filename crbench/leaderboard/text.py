"""The leaderboard as text: plain for a terminal, Markdown for GitHub, LaTeX for a paper. Layout is tabulate's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs
from tabulate import tabulate

from crbench.leaderboard.board import Board, View
from crbench.leaderboard.column import Cell
from crbench.leaderboard.markup import LATEX_MARKS, PREAMBLE, escape_latex, escape_markdown, finish_latex, guard_latex
from crbench.leaderboard.tables import Table, below, tables
from crbench.wording import broken, columns_that_fit, left_out_note

_ANSI = {"best": ("\x1b[1m", "\x1b[0m"), "second": ("\x1b[4m", "\x1b[0m"), "": ("", "")}
_MARKDOWN = {"best": ("**", "**"), "second": ("<u>", "</u>"), "": ("", "")}


def render_table(board: Board, view: View, *, colour: bool) -> str:
    """Plain text; with `colour`, best and second best are bold and underlined by terminal codes."""

    def section(table: Table) -> str:
        body = _plain(table, colour=colour)
        above = (broken(", ".join(table.facts), view.width), table.rules)
        return "\n".join(filter(None, (*above, body, *lines((*table.notes, *table.warnings)))))

    def lines(texts: Iterable[str]) -> list[str]:
        return [broken(text, view.width) for text in texts]

    width = None if view.columns else view.width  # columns that somebody names are all shown
    shown = [narrowed(table, width) for table in tables(board, view)]
    return "\n\n".join([*map(section, shown), "\n".join(lines(below(shown, board, view)))]) + "\n"


def narrowed(table: Table, width: int | None) -> Table:
    """The table with as many of its columns, from the left, as lines of `width` characters hold.

    Columns that are `kept` stay, whatever the width; a note names those that do not.
    """
    if width is None:
        return table

    def fits(places: Sequence[int]) -> bool:
        return max(map(len, _plain(_of_columns(table, places), colour=False).splitlines())) <= width

    shown = columns_that_fit([column.kept for column in table.columns], fits)
    left_out = [column.title for place, column in enumerate(table.columns) if place not in shown]
    if not left_out:
        return table
    narrow = _of_columns(table, shown)
    return attrs.evolve(narrow, notes=(left_out_note(width, left_out), *table.notes))


def _of_columns(table: Table, places: Sequence[int]) -> Table:
    columns = tuple(table.columns[place] for place in places)
    return attrs.evolve(table, columns=columns, rows=tuple(tuple(row[place] for place in places) for row in table.rows))


def _plain(table: Table, *, colour: bool) -> str:
    return _grid(table, "simple", lambda cell: _wrap(cell.text, _ANSI[cell.mark if colour else ""]), str)


def render_github(board: Board, view: View) -> str:
    """GitHub-flavoured Markdown; best is bold, second underlined; names are escaped."""

    def section(table: Table) -> str:
        first, *others = map(escape_markdown, table.facts)
        caption = ", ".join([f"**{first}**", *others])
        body = _grid(
            table, "pipe", lambda cell: _wrap(escape_markdown(cell.text), _MARKDOWN[cell.mark]), escape_markdown
        )
        rules = f"<sub>{escape_markdown(table.rules)}</sub>" if table.rules else ""
        warnings = [f"<sub>{escape_markdown(line)}</sub>" for line in (*table.notes, *table.warnings)]
        return "\n\n".join(filter(None, (caption, body, rules, *warnings)))

    shown = tables(board, view)
    lines = [f"<sub>{escape_markdown(line)}</sub>" for line in below(shown, board, view)]
    return "\n\n".join([*map(section, shown), *lines]) + "\n"


def render_latex(board: Board, view: View) -> str:
    """One ``table`` per block; best is bold, second underlined; names are escaped. A comment names the packages."""

    def section(table: Table) -> str:
        body = _grid(table, "latex_booktabs", lambda cell: _wrap(guard_latex(cell.text), LATEX_MARKS[cell.mark]), str)
        caption = ", ".join(table.facts)
        comment = f"% {table.rules}\n" if table.rules else ""
        warnings = "".join(f"\n% {line}" for line in (*table.notes, *table.warnings))
        top = f"{comment}\\begin{{table}}\n\\centering\n\\caption{{{escape_latex(caption)}}}\n"
        return f"{top}{finish_latex(body)}\n\\end{{table}}{warnings}"

    shown = tables(board, view)
    comments = "\n".join(f"% {line}" for line in below(shown, board, view))
    return "\n\n".join([PREAMBLE, *map(section, shown), comments]) + "\n"


def _grid(table: Table, form: str, cell: Callable[[Cell], str], heading: Callable[[str], str]) -> str:
    return tabulate(
        [[cell(item) for item in row] for row in table.rows],
        headers=[heading(column.heading) for column in table.columns],
        tablefmt=form,
        disable_numparse=True,
        colalign=["right" if column.numeric else "left" for column in table.columns],
    )


def _wrap(text: str, mark: tuple[str, str]) -> str:
    return text.join(mark)

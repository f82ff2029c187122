"""The leaderboard as one HTML page that needs nothing else: no network, no second file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import logging
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from crbench.leaderboard import as_text
from crbench.leaderboard.board import Board, View
from crbench.leaderboard.citations import bibtex
from crbench.leaderboard.tables import failure, footnote, notes, published_tables
from crbench.report.details import details as details_of
from crbench.report.figures import can_draw, swatch
from crbench.report.grid import grid_of
from crbench.report.sections import Section, sections
from crbench.report.strips import Request
from crbench.report.svg import STYLES
from crbench.report.words import rules_in_words
from crbench.results.labels import clean

_log = logging.getLogger(__name__)

_PUBLISHED_NAMES = ("aligner",)


def page(board: Board, view: View, *, details: bool, request: Request | None = None) -> str:
    """The page; every text from a result is escaped, and the page's policy allows no script but its own.

    Args:
        details: rows can be opened.
        request: images of queries to show; None = none.
    """
    environment, style, script = _templates()
    blocks = (*board.blocks, *board.partial)
    if not can_draw():
        _log.warning("no figures without matplotlib; install it with: pip install 'crbench[plot]'")
    shown = sections(board, view, details=details, request=request)
    if request and not any(section.strips for section in shown):
        _log.warning("no queries in images, as no table has two ranked methods")
    printed = [
        (table, grid_of(table, id=f"published-{number}", names=_PUBLISHED_NAMES))
        for number, table in enumerate(published_tables(board, view.published), start=1)
    ]
    grids = [*(section.grid for section in shown), *(grid for _, grid in printed)]
    return environment.get_template("page.html.jinja").render(
        style=style,
        script=script,
        digest=_digest,
        cited=details and bool(shown),
        kind="Report" if details else "Leaderboard",
        sections=shown,
        images=any(section.strips for section in shown),
        swatches=[swatch(place) for place in range(STYLES)] if can_draw() else [],
        columns={head.key: head.title for grid in grids for head in (*grid.before, *grid.after)},
        published=printed,
        failed=[(failure(result), _lines(result.error or "")) for result in board.failed],
        protocols=[rules_in_words(block) for block in {block.rules: block for block in blocks}.values()],
        footnote=footnote([*(section.table for section in shown), *(table for table, _ in printed)]),
        notes=[note for note in notes(board, view) if not note.startswith("failed: ")],
        date=max((block.date for block in blocks), default=""),
        versions=sorted({version for block in blocks for version in block.versions}),
        packed={
            **{name: _packed(as_text(board, view, name)) for name in ("csv", "latex")},
            **(_opened(environment, shown) if details else {}),
        },
    )


def _templates() -> tuple[Environment, Markup, Markup]:
    """The templates, and the page's style and script."""
    loader = PackageLoader("crbench.report")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = (Markup(loader.get_source(environment, name)[0]) for name in ("page.css", "page.js"))
    return environment, style, script


def _opened(environment: Environment, shown: Sequence[Section]) -> dict[str, str]:
    """What the page shows where a reader asks for more: each row of each table, as JSON lists of HTML; and BibTeX."""
    template = environment.get_template("details.html.jinja")
    rows = {
        f"{section.id}-details": [template.render(details=details_of(row)) for row in section.table.lines]
        for section in shown
    }
    results = [result for section in shown for row in section.block.rows for result in row.results]
    cited = {"bibtex": _packed(bibtex(results))} if results else {}
    return {**cited, **{id: _packed(json.dumps(texts)) for id, texts in rows.items()}}


def _digest(source: str) -> str:
    """The name of an inline script or style in the page's content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _packed(text: str) -> str:
    """`text` as base64 of gzip, which the page unpacks where it is asked for: a tenth of the bytes."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _lines(message: str) -> str:
    return "\n".join(clean(line) for line in message.splitlines())

"""The leaderboard as one HTML page that needs nothing else: no network, no second file."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from crbench.leaderboard import as_text
from crbench.leaderboard.board import Block, Board, View
from crbench.leaderboard.tables import Table, block_table, failure, footnote, notes, published_tables
from crbench.results import Result
from crbench.results.labels import clean


def page(board: Board, view: View) -> str:
    """The page; every text from a result is escaped, and the page's policy allows no script but its own."""
    loader = PackageLoader("crbench.report")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = (loader.get_source(environment, name)[0] for name in ("page.css", "page.js"))
    blocks = (*board.blocks, *board.partial)
    measured = [block_table(board, block, view) for block in blocks]
    printed = published_tables(board, view.published)
    return environment.get_template("page.html.jinja").render(
        style=Markup(style),
        script=Markup(script),
        digest=_digest,
        sections=[_section(block, table) for block, table in zip(blocks, measured, strict=True)],
        filters={
            clean(block.fingerprint): clean(f"{block.title}, protocol {block.protocol}") for block in board.blocks
        },
        published=printed,
        failed=[(failure(result), _lines(result.error or "")) for result in board.failed],
        footnote=footnote([*measured, *printed]),
        notes=[note for note in notes(board, view) if not note.startswith("failed: ")],
        date=max((block.date for block in blocks), default=""),
        versions=sorted({version for block in blocks for version in block.versions}),
        csv=as_text(board, view, "csv"),
        latex=as_text(board, view, "latex"),
    )


def _digest(source: str) -> str:
    """The name of an inline script or style in the page's content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _lines(message: str) -> str:
    return "\n".join(clean(line) for line in message.splitlines())


def _section(block: Block, table: Table) -> dict[str, Any]:
    return {
        "fingerprint": clean(block.fingerprint),
        "table": table,
        "cells": [_details(row.backbone, row.aligner, result) for row in block.rows for result in row.results],
    }


def _details(backbone: str, aligner: str, result: Result) -> dict[str, Any]:
    """What a reader needs to repeat a row."""
    where = result.environment
    versions = {"crbench": where.crbench, "python": where.python, "torch": where.torch, "numpy": where.numpy}
    return {
        "name": f"{backbone} + {aligner}",
        "command": clean(result.command),
        "machine": clean(f"{where.cpu}, {where.threads} thread(s), device {where.device}, {where.platform}"),
        "versions": clean(", ".join(f"{name} {version}" for name, version in {**versions, **where.packages}.items())),
        "weights": ", ".join(dict.fromkeys(t.weights_sha256[:12] for t in result.trials if t.weights_sha256)),
        "seconds": f"{result.duration_s:.0f}",
        "created": result.created,
        "warnings": [clean(warning) for warning in result.warnings],
    }

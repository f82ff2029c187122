"""The site: ``tox run -e docs`` builds it into ``build/site``, and a warning is an error."""

from __future__ import annotations

import os
import re
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

from crbench import __version__
from crbench.api.entry import KINDS
from crbench.scaffold import write_plugin

project = "crbench"
author = "The crbench developers"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
]
default_role = "py:obj"  # docstrings put names in single backticks
smartquotes = False  # it makes one dash of the two of an option

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = False  # attrs writes its own text for them
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has them
python_maximum_signature_line_length = 88

_PAGES = {"README.md": "/overview.md", "CONTRIBUTING.md": "/contributing.md", "CHANGELOG.md": "/changelog.md"}
"""Where files of the repository are on the site."""

_WIDE, _PROSE = 4, 30
"""Columns of a table, and characters of its last cells in the mean, from which on phones show it cell by cell."""

html_theme = "furo"
html_title = f"crbench {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_math_renderer = "mathml"  # browsers draw it; scripts that do would be asked for from a network
html_show_copyright = False


def _new_plugins(app: Any) -> None:
    """Write what ``crbench plugins new`` writes, so that pages show it as it is."""
    made = Path(app.srcdir).parent / "build" / "made"
    shutil.rmtree(made, ignore_errors=True)
    for kind in KINDS:
        write_plugin(f"my-{kind}", kind, made / f"my-{kind}")


def _pages_of_files(app: Any, name: str, source: list[str]) -> None:
    """Read files of the repository in the place of their ``include``, and lead links to such files to their page."""
    docs = Path(app.srcdir)
    page = docs / f"{name}.md"
    if found := re.fullmatch(r"```\{include\} (\S+)\n```\n", source[0]):
        page = (page.parent / found[1]).resolve()
        app.env.note_dependency(str(page))
        source[0] = page.read_text(encoding="utf-8")
    source[0] = re.sub(r"\]\((?!\w+:|#)([^)#]+)", lambda link: f"]({_target(docs, page.parent, link[1])}", source[0])


def _target(docs: Path, folder: Path, link: str) -> str:
    """Where a link of a file in a folder leads to on the site, seen from the folder of all pages."""
    place = os.path.relpath((folder / link).resolve(), docs.parent)
    if plugin := re.fullmatch(r"plugins/crbench_(\w+)/README\.md", place):
        return f"/methods/{plugin[1]}.md"
    if place in _PAGES:
        return _PAGES[place]
    return "/" + os.path.relpath(docs.parent / place, docs)


def _examples_as_code(app: Any, ctx: Any, lines: list[str]) -> None:
    """Set the examples of a command, which are lines below a ``\\b``, as code, and words beside them as comments."""
    found: list[str] = []
    for kept, group in groupby(lines, key=lambda line: line.startswith("| ")):
        block = list(group)
        if kept and any(line.startswith("| crbench ") for line in block):
            block = [".. code-block:: sh", "", *(f"   {_commented(line[2:])}" for line in block), ""]
        found += block
    lines[:] = found


def _commented(example: str) -> str:
    return re.sub(r"^(crbench .*?\S {2,})(?=\S)", r"\1# ", example)


def _plain_defaults(app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str) -> Any:
    """Say ``...`` for defaults that are made anew for each object, where attrs has a name of its own."""
    return re.sub(r"= NOTHING\b", "= ...", signature or "") or None, returns


def _tables_for_phones(app: Any, doctree: Any) -> None:
    """Mark wide tables that end in prose, and name each cell: phones show a cell below the other, see ``site.css``."""
    for table in doctree.findall(nodes.table):
        heads, *rows = ([*row.findall(nodes.entry)] for row in table.findall(nodes.row))
        prose = sum(len(row[-1].astext()) for row in rows) / max(1, len(rows))
        if len(heads) < _WIDE or prose < _PROSE or any(len(row) != len(heads) for row in rows):
            continue
        table["classes"].append("stacked")
        for row in rows:
            for head, cell in zip(heads[1:], row[1:], strict=True):
                cell.insert(0, nodes.inline("", head.astext(), classes=["cell-head"]))


def _formula(translator: Any, node: Any) -> None:
    """Write a formula as MathML."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Connect what is above."""
    app.add_html_math_renderer("mathml", (_formula, None), (_formula, None))
    app.connect("builder-inited", _new_plugins)
    app.connect("source-read", _pages_of_files)
    app.connect("doctree-read", _tables_for_phones)
    app.connect("sphinx-click-process-description", _examples_as_code)
    app.connect("autodoc-process-signature", _plain_defaults)

"""The site: ``tox run -e docs`` builds it into ``build/site``, and a warning is an error."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

from crbench import __version__

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

html_theme = "furo"
html_title = f"crbench {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False


def _links_to_included(app: Any, name: str, source: list[str]) -> None:
    """Lead links to files that are a page of the site to that page."""
    source[0] = re.sub(r"\]\((?:\.\./)+plugins/crbench_(\w+)/README\.md", r"](/methods/\1.md", source[0])
    source[0] = re.sub(r"\]\((?:\.\./)+CONTRIBUTING\.md", "](/contributing.md", source[0])


def _examples_as_code(app: Any, ctx: Any, lines: list[str]) -> None:
    """Set the examples of a command, which are lines below a ``\\b``, as code."""
    found: list[str] = []
    for kept, group in groupby(lines, key=lambda line: line.startswith("| ")):
        block = list(group)
        if kept and any(line.startswith("| crbench ") for line in block):
            block = [".. code-block:: sh", "", *(f"   {line[2:]}" for line in block), ""]
        found += block
    lines[:] = found


def _plain_defaults(app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str) -> Any:
    """Say ``...`` for defaults that are made anew for each object, where attrs has a name of its own."""
    return re.sub(r"= NOTHING\b", "= ...", signature or "") or None, returns


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect("source-read", _links_to_included)
    app.connect("sphinx-click-process-description", _examples_as_code)
    app.connect("autodoc-process-signature", _plain_defaults)

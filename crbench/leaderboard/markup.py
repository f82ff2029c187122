"""Text of results in Markdown and LaTeX: names may hold whatever these read as commands."""

from __future__ import annotations

import html
import re

from tabulate import LATEX_ESCAPE_RULES

PREAMBLE = r"% in the preamble: \usepackage{booktabs}"
"""Comment on the package that tables of tabulate's ``latex_booktabs`` need."""

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
# tabulate escapes LaTeX commands in cells. So cells are marked by characters of Unicode's private use area, which
# `clean` keeps out of names; afterwards these are replaced by commands.
LATEX_MARKS = {"best": ("\ue000", "\ue002"), "second": ("\ue001", "\ue002"), "": ("", "")}
_LATEX_AFTER = {
    "\ue000": r"\textbf{",
    "\ue001": r"\underline{",
    "\ue002": "}",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "†": r"$^\dagger$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "\ue003": "{}",
    "\ufffd": "?",
}


def escape_markdown(text: str) -> str:
    """Text that GitHub's Markdown shows as it is."""
    return _MARKDOWN_SPECIAL.sub(r"\\\1", html.escape(text, quote=False))


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return finish_latex("".join(LATEX_ESCAPE_RULES.get(char, char) for char in text))


def guard_latex(text: str) -> str:
    """A cell for tabulate. What LaTeX would read as an argument of the line break before it gets an empty group."""
    return f"\ue003{text}" if text.startswith(("[", "*")) else text


def finish_latex(text: str) -> str:
    """What tabulate escaped, with marks and signs as LaTeX commands."""
    return "".join(_LATEX_AFTER.get(char, char) for char in text).replace("--", "-{}-")

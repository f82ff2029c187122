"""Writes the golden leaderboards from the results of ``tests/leaderboard/conftest.py``; look at the diff before use.

``result-*.json`` are not written here: each is a fixed sample of a version of the file format,
which must stay readable.

Run as ``python tests/golden/make_leaderboard.py`` from the repository root.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from crbench.report import render

HERE = Path(__file__).parent
FILES = {"table": "txt", "github": "md", "latex": "tex", "csv": "csv", "json": "json"}

if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))  # helpers of tests, as pytest finds them
    results = runpy.run_path(str(HERE.parent / "leaderboard" / "conftest.py"))["board"]()
    for form, suffix in FILES.items():
        text = render(results, format=form, per_rate=form != "github", published=form != "json")
        (HERE / f"leaderboard.{suffix}").write_text(text, encoding="utf-8", newline="\n")

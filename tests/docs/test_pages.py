"""What pages show that is computed or listed elsewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree

from crbench.metrics.registry import METRICS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_figure_of_exactness_is_that_of_its_script(tmp_path):
    spec = importlib.util.spec_from_file_location("exactness", DOCS / "exactness.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    counts = script.draw(tmp_path / "exactness.svg")
    drawn, kept = (
        re.findall(r"<text[^>]*>([^<]+)</text>", path.read_text())
        for path in (tmp_path / "exactness.svg", DOCS / "exactness.svg")
    )
    assert drawn == kept, "run: python docs/exactness.py"
    page = (DOCS / "exactness.md").read_text()
    assert (
        f"leaves {counts['uncertain: computed again in float64']} of {sum(counts.values()):,} images uncertain" in page
    )


def test_every_metric_stands_on_its_page():
    page = (DOCS / "metrics.md").read_text()
    assert [metric.name for metric in METRICS if f"`{metric.name}`" not in page or metric.source not in page] == []


def test_wide_tables_of_prose_name_their_cells_for_phones():
    """Which show a cell below the other; tables of numbers are scrolled sideways as they were."""
    spec = importlib.util.spec_from_file_location("conf", DOCS / "conf.py")
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    line = "===== ===== ======= ========================================"
    head = "name  short default meaning"
    row = "shot  shot  exact   all images of the gallery, or one"
    prose = publish_doctree(f"{line}\n{head}\n{line}\n{row}\n{line}")
    numbers = publish_doctree(f"{line}\n{head}\n{line}\nshot  1     2       3\n{line}")
    for tree in (prose, numbers):
        conf._tables_for_phones(None, tree)
    named = [node.astext() for node in prose.findall(nodes.inline) if "cell-head" in node["classes"]]
    assert named == head.split()[1:]
    assert [table["classes"] for table in numbers.findall(nodes.table)] == [[]]

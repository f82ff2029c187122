"""Every example of every page works: it is run in the order of its page, or, where that says why not, read."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs.examples import Session, examples, parse

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
METHODS = sorted(ROOT.glob("plugins/*/README.md"))


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [*PAGES, *METHODS], ids=name)
def test_commands_parse(page):
    for example in examples(page):
        for line in example.lines if example.language in ("sh", "") else []:
            if line.startswith("crbench "):
                parse(line)


@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)], ids=name)
def test_examples_run(page, reader, install):
    session = Session(install)
    for example in examples(page):
        session.follow(example)

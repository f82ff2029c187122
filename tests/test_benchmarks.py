"""The page of benchmarks is what the stored results say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("benchmarks_page", ROOT / "benchmarks" / "page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_stored_results(page):
    assert page.PAGE.read_text(encoding="utf-8") == page.render(page.RESULTS), "run python benchmarks/page.py"


def test_the_picture_is_there_when_the_page_shows_it_and_small(page):
    picture = page.PAGE.parent / page.PICTURE
    assert picture.exists() == (page.RESULTS / "memory.json").exists()
    assert not picture.exists() or picture.stat().st_size < 200_000


def test_numbers_of_a_result_are_on_its_page(page, tmp_path):
    record = {
        "scale": 0.5,
        "created": "2026-11-21T09:00:00+00:00",
        "threads": 3,
        "environment": {"cpu": "Abacus", "torch": "2", "python": "3"},
        "query": 1000,
        "dim": 64,
        "peaks": {"10000": {"features": 2_560_000, "extra": 41_000_000, "seconds": 0.125}},
    }
    (tmp_path / "memory.json").write_text(json.dumps(record))
    text = page.render(tmp_path)
    assert "Abacus, 3 threads" in text
    assert "sizes scaled by 0.5" in text
    assert all(number in text for number in ("10,000", "2.6", "41.0", "0.12"))

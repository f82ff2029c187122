"""Reading 300 result files of three blocks and ranking them."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from result_facts import facts_of

from crbench import load_results, render
from crbench.results import to_json

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
COUNT = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    (first, *_) = load_results([GOLDEN / "result-2.json"])
    for block in range(3):
        for cell in range(COUNT):
            name = f"{block:04x}{cell:08x}"
            facts = facts_of(f"set-{block}", first.protocol)
            (folder / f"{name}.json").write_text(to_json(attrs.evolve(first, cell_id=name, seed=cell, **facts)))
    return folder


def test_read(benchmark, folder):
    assert len(benchmark(load_results, [folder])) == 3 * COUNT


@pytest.mark.parametrize("form", ["table", "csv", "html"])
def test_render(benchmark, folder, form):
    results = load_results([folder])
    assert benchmark(render, results, format=form)

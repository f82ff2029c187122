"""Folders of users: called by their own names, told apart by their contents."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import attrs
import pytest

from crbench.errors import ConfigError
from crbench.leaderboard.build import build
from crbench.leaderboard.differences import differences
from crbench.report import FORMATS, render
from crbench.results import DataFacts, FittedOn, Result, from_json, to_json

Make = Callable[..., Result]

ONE, OTHER = "folder:51938184fc88", "folder:0a1b2c3d4e5f"


@pytest.fixture
def of_folder(make: Make) -> Callable[..., Result]:
    def of_folder(
        aligner: str, rank1: float, *, dataset: str, folder: str | None, cell: int, **fields: object
    ) -> Result:
        return make(aligner, (rank1,), cell=cell, dataset=dataset, data=DataFacts(folder=folder), **fields)

    return of_folder


def titles(results: list[Result]) -> list[str]:
    return [block.title for block in build(results).blocks]


def test_the_name_survives_the_file_and_its_absence_too(of_folder: Callable[..., Result]) -> None:
    """Files that were written before folders had names are read, and written, as they were."""
    named = of_folder("none", 0.4, dataset=ONE, folder="people", cell=1)
    assert json.loads(to_json(named))["data"]["folder"] == "people"
    assert from_json(to_json(named), "named").data.folder == "people"
    older = of_folder("none", 0.4, dataset=ONE, folder=None, cell=1)
    assert "folder" not in json.loads(to_json(older))["data"]
    assert from_json(to_json(older), "older").data.folder is None
    assert titles([older]) == [ONE]


@pytest.mark.parametrize("folder", ["", "a/people"])
def test_a_path_is_no_name(folder: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        DataFacts(folder=folder)


@pytest.mark.parametrize("form", FORMATS)
def test_boards_call_a_folder_by_its_name(of_folder: Callable[..., Result], form: str) -> None:
    found = render([of_folder("none", 0.4, dataset=ONE, folder="people", cell=1)], format=form)
    assert "folder:people" in found


def test_equal_contents_are_one_table_called_by_the_newest_name(of_folder: Callable[..., Result]) -> None:
    """Two paths to one content, and a result from before folders had names."""
    results = [
        of_folder("none", 0.4, dataset=ONE, folder="people", cell=1, created="2026-11-21T03:00:00+00:00"),
        of_folder("ridge", 0.5, dataset=ONE, folder="moved", cell=2, created="2026-11-22T03:00:00+00:00"),
        of_folder("coral", 0.3, dataset=ONE, folder=None, cell=3, created="2026-11-23T03:00:00+00:00"),
    ]
    for some in (results, results[::-1]):
        (block,) = build(some).blocks
        assert (block.title, len(block.rows)) == ("folder:moved", 3)
    lines = csv.DictReader(io.StringIO(render(results, format="csv")))
    assert {(line["dataset"], line["title"]) for line in lines} == {(ONE, "folder:moved")}


def test_equal_names_of_other_contents_are_two_tables_with_digits(of_folder: Callable[..., Result]) -> None:
    results = [
        of_folder("none", 0.4, dataset=dataset, folder="people", cell=cell)
        for cell, dataset in enumerate((ONE, OTHER), start=1)
    ]
    assert titles(results) == ["folder:people (0a1b2c3d4e5f)", "folder:people (51938184fc88)"]
    assert {block.dataset for block in build(results).blocks} == {ONE, OTHER}
    failed = [attrs.evolve(one, status="failed", error="Boom", trials=(), metrics={}, by_rate={}) for one in results]
    text = render(failed)
    assert "folder:people (0a1b2c3d4e5f), protocol" in text
    assert "folder:people (51938184fc88), protocol" in text


@pytest.mark.parametrize("name", ["folder:people", ONE, "folder:~/shop/people"])
def test_a_folder_is_asked_for_by_its_name_or_content(of_folder: Callable[..., Result], name: str) -> None:
    """All results of its content, whatever they call it."""
    results = [
        of_folder("none", 0.4, dataset=ONE, folder="people", cell=1),
        of_folder("ridge", 0.5, dataset=ONE, folder="moved", cell=2),
        of_folder("none", 0.4, dataset=OTHER, folder="shop", cell=3),
    ]
    (block,) = json.loads(render(results, format="json", datasets=(name,)))["blocks"]
    assert (block["dataset"], len(block["rows"])) == (ONE, 2)
    with pytest.raises(ConfigError, match=r"folder:nobody: no result has it; .*folder:people.*folder:shop"):
        render(results, datasets=("folder:nobody",))


def test_rows_that_were_fitted_on_folders_are_told_apart_by_content(make: Make) -> None:
    def fitted(cell: int, dataset: str, folder: str) -> Result:
        on = FittedOn(dataset=dataset, protocol="mlr", folder=folder)
        return make("ridge", (0.5,), cell=cell, of_aligner={"fitted_on": on})

    (block,) = build([fitted(1, ONE, "people"), fitted(2, OTHER, "people")]).blocks
    assert [row.aligner for row in block.rows] == [
        "ridge on folder:people (0a1b2c3d4e5f)",
        "ridge on folder:people (51938184fc88)",
    ]
    (block,) = build([fitted(1, ONE, "people"), fitted(1, ONE, "moved")]).blocks
    assert len(block.rows) == 1


def test_differences_are_of_contents_not_of_names(of_folder: Callable[..., Result]) -> None:
    first = of_folder("none", 0.4, dataset=ONE, folder="people", cell=1)
    moved = of_folder("none", 0.4, dataset=ONE, folder="moved", cell=1)
    assert not [one for one in differences(first, moved) if "folder" in f"{one.name}{one.first}{one.second}"]
    other = of_folder("none", 0.4, dataset=OTHER, folder="people", cell=2)
    (found,) = [one for one in differences(first, other) if one.name == "data set"]
    assert (found.first, found.second) == ("folder:people (51938184fc88)", "folder:people (0a1b2c3d4e5f)")


def test_tables_stand_in_order_of_the_names_that_they_show(of_folder: Callable[..., Result]) -> None:
    results = [
        of_folder("none", 0.4, dataset=ONE, folder="ann", cell=1),
        of_folder("none", 0.4, dataset=OTHER, folder="zoe", cell=2),
    ]
    assert titles(results) == ["folder:ann", "folder:zoe"]

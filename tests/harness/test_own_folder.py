"""A run on a folder of the user's: what results call it, and that they follow its content, not its place."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import builders
import pytest

from crbench.errors import ConfigError, DataError
from crbench.harness.run import run
from crbench.harness.verify import rerun
from crbench.results import to_json
from crbench.results.labels import component_label, dataset_label


@pytest.fixture
def people(tmp_path):
    for name in ("ann", "bob", "cem", "dana"):
        for number in range(4):
            builders.save(tmp_path / "private" / "people" / name / f"{name}{number}.png")
    return tmp_path / "private" / "people"


def only(spec, folder, **values):
    (result,) = run(spec(dataset=f"folder:{folder}", backbone="random", trial="0-1", **values))
    return result


def test_results_name_the_content_and_no_path(spec, people, tmp_path, caplog):
    caplog.set_level("INFO", "crbench")
    result = only(spec, people)
    digits = re.fullmatch("folder:([0-9a-f]{12})", result.dataset)[1]
    assert (result.data.folder, dataset_label(result)) == ("people", "folder:people")
    assert f"folder:{people} is folder:people in results, with content {digits}" in caplog.messages
    assert "--dataset folder:people" in result.command
    assert str(tmp_path / "private") not in to_json(result)
    assert [path.name for path in (tmp_path / "results").glob("[!.]*")] == [f"folder-people-{digits}-mlr"]


def test_a_folder_that_is_fitted_on_is_named_too(spec, people, caplog):
    caplog.set_level("INFO", "crbench")
    fitted = run(spec(aligner="shift", fit_on=f"folder:{people}", trial=0))[1]
    assert component_label(fitted.method.aligner) == "shift on folder:people"
    digits = fitted.method.aligner.fitted_on.dataset.partition(":")[2]
    assert f"folder:{people} is folder:people in results, with content {digits}" in caplog.messages


def test_a_moved_folder_is_the_same_and_a_changed_one_another(spec, people, tmp_path, monkeypatch):
    first = only(spec, people)
    moved = shutil.move(people, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert only(spec, Path("elsewhere")).cell_id == first.cell_id
    assert only(spec, Path("elsewhere"), resume=False).data.folder == "elsewhere"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert only(spec, "~/elsewhere").cell_id == first.cell_id
    builders.save(Path(moved) / "ann" / "ann9.png")
    changed = only(spec, moved)
    assert changed.dataset != first.dataset
    assert changed.fingerprint != first.fingerprint


def test_a_result_of_it_is_verified_where_it_is_said_to_be(spec, people):
    result = only(spec, people)
    with pytest.raises(
        ConfigError, match=r"of folder:people, whose place here is not known; give --dataset folder:PATH"
    ):
        rerun(result, within=0.0)
    assert rerun(result, within=0.0, dataset=f"folder:{people}").level == "run here"


def test_messages_call_it_as_it_was_asked_for(spec, people):
    with pytest.raises(ConfigError, match=rf"data set 'folder:{people}' has no protocol 'none-such'"):
        only(spec, people, protocol="none-such")


def test_a_folder_that_is_not_there(spec, tmp_path):
    with pytest.raises(DataError, match=r"dataset 'folder': .*nowhere does not exist; expected folder:PATH"):
        only(spec, tmp_path / "nowhere")

"""``crbench results``: files of earlier versions rewritten, and all files checked against their outcomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from result_facts import resealed

from crbench.cli import invoke
from crbench.results import SCHEMA_VERSION, load_results, to_json

GOLDEN = Path(__file__).parents[1] / "golden"


def test_files_of_earlier_versions_are_rewritten_and_others_are_not(tmp_path: Path, capsys) -> None:
    old, new = tmp_path / "a" / "old.json", tmp_path / "new.json"
    old.parent.mkdir()
    old.write_bytes((GOLDEN / "result-1.json").read_bytes())
    new.write_bytes((GOLDEN / "result-2.json").read_bytes())
    newer = json.loads(new.read_text()) | {"schema_version": SCHEMA_VERSION + 1, "energy": 3}
    (tmp_path / "newer.json").write_text(json.dumps(resealed(newer)))
    texts = {path: path.read_text() for path in (new, tmp_path / "newer.json")}
    (before,) = load_results([old])
    assert invoke(["results", "upgrade", str(tmp_path)]) == 0
    assert capsys.readouterr().err.endswith("crbench: 3 results, 1 upgraded\n")
    assert json.loads(old.read_text())["schema_version"] == SCHEMA_VERSION
    assert load_results([old]) == [before]
    assert {path: path.read_text() for path in texts} == texts
    assert invoke(["results", "upgrade", str(old)]) == 0
    assert capsys.readouterr().err == "crbench: 1 result, 0 upgraded\n"


def test_a_file_that_is_named_and_no_result_stops_the_upgrade(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert invoke(["results", "upgrade", str(tmp_path / "a.json")]) == 3
    assert "a.json: not a crbench result" in capsys.readouterr().err


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Results of a small run."""
    arguments = ["--dataset", "mlr-synthetic", "--aligner", "mean-shift", "--trial", "0", "--limit", "4"]
    folders = ["--output", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    assert invoke(["run", *arguments, *folders, "--set", "backbone.epochs=1", "-q"]) == 0
    return tmp_path / "results"


def test_whole_results_are_valid_and_edited_or_damaged_ones_are_named(run_folder: Path, capsys) -> None:
    capsys.readouterr()
    assert invoke(["results", "validate", str(run_folder)]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "crbench: 2 results, 0 refused; 2 agree with their outcomes\n")
    verify = ["cache", "verify", "--cache-dir", str(run_folder.parent / "cache"), "--results", str(run_folder)]
    assert invoke(verify) == 0
    assert "2 results, 0 damaged" in capsys.readouterr().err
    first, second = sorted(run_folder.rglob("*.json"))
    (result,) = load_results([first])
    edited = json.loads(to_json(result))
    trial = edited["trials"][0]
    for part in (trial, *trial["by_rate"].values()):
        part["cmc"] = [1.0] * 50
    for metrics in (edited["metrics"], *edited["by_rate"].values()):
        metrics.update({name: {"mean": 1.0, "std": None, "values": [1.0]} for name in metrics if name[0] == "R"})
    first.write_text(json.dumps(resealed(edited)))
    second.with_suffix(".npz").unlink()
    (run_folder / "other.json").write_text("{}")
    assert load_results([first])[0].metrics["R1"].mean == 1.0, "it agrees with itself"
    assert invoke(["results", "validate", str(run_folder)]) == 3
    shown = capsys.readouterr()
    lines = sorted(shown.out.splitlines())
    assert len(lines) == 3
    assert sum("do not follow from its outcomes" in line for line in lines) == 1
    assert sum("no such file; the outcomes of a result lie beside it" in line for line in lines) == 1
    assert sum("other.json: not a crbench result" in line for line in lines) == 1
    assert shown.err.endswith("crbench: 3 results, 3 refused; 0 agree with their outcomes\n")
    assert invoke(verify) == 3
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [line for line in lines if "other.json" not in line], "which is none of a run"
    assert "2 results, 2 damaged" in shown.err

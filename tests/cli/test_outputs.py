"""Every output of every command: whole or not at all, through links, to devices, and refused in one line."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from crbench.cli import invoke

DATA = ["--set", "dataset.train_identities=3", "--set", "dataset.test_identities=3"]
DATA += ["--set", "dataset.images_per_camera=1"]
EVALUATE = ["evaluate", "--query", "q.npz", "--gallery", "g.npz"]
GOLDEN = Path(__file__).parents[1] / "golden" / "result-2.json"


@pytest.fixture(autouse=True)
def _inputs(tmp_path):
    for name in "qg":
        np.savez(tmp_path / f"{name}.npz", features=np.eye(3, 4, dtype=np.float32), pids=np.arange(1, 4))
    assert invoke([*EVALUATE, "--shard", "1/1", "-o", "part.npz"]) == 0
    (tmp_path / "results").mkdir()
    shutil.copy(GOLDEN, tmp_path / "results" / "a.json")


OUTPUTS = {
    "per-query": lambda path: [*EVALUATE, "--per-query", path],
    "shard": lambda path: [*EVALUATE, "--shard", "1/2", "-o", path],
    "merge": lambda path: ["merge", "part.npz", "--per-query", path],
    "leaderboard": lambda path: ["leaderboard", "-o", path],
    "preview": lambda path: ["data", "preview", "mlr-synthetic", *DATA, "--people", "1", "-o", path],
}
FOLDERS = {"export": lambda path: ["data", "export", "mlr-synthetic", *DATA, "-o", path]}


@pytest.mark.parametrize("name", [*OUTPUTS, *FOLDERS])
def test_a_link_stays_and_its_end_is_written(name, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.png").symlink_to("deep/end.png")
    assert invoke((OUTPUTS | FOLDERS)[name]("link.png")) == 0
    assert (tmp_path / "link.png").is_symlink()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["end.png"]


@pytest.mark.parametrize("name", [*OUTPUTS, *FOLDERS])
def test_missing_folders_are_made(name, tmp_path):
    assert invoke((OUTPUTS | FOLDERS)[name]("new/deep/x.png")) == 0
    assert (tmp_path / "new" / "deep" / "x.png").exists()


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name != "preview"])
def test_a_device_stays(name):
    assert invoke(OUTPUTS[name]("/dev/null")) == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("name", [*OUTPUTS, *FOLDERS])
def test_what_cannot_be_written_is_one_line_and_exit_code_6(name, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    capsys.readouterr()
    assert invoke((OUTPUTS | FOLDERS)[name]("file/x.png")) == 6
    captured = capsys.readouterr()
    last = captured.err.splitlines()[-1]
    assert last.startswith("crbench: error: cannot write file/x.png: ")
    assert "a file is where a folder should be; choose another path" in last
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name != "preview"])
def test_a_full_disk_leaves_what_was_there(name, tmp_path, capsys):
    """/dev/full is a disk without room; a file in place of it shows what becomes of the old one."""
    assert invoke(OUTPUTS[name]("/dev/full")) == 6
    assert "cannot write /dev/full: No space left on device; make room there" in capsys.readouterr().err
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_suffix_that_no_image_has_is_refused(capsys):
    assert invoke(OUTPUTS["preview"]("sheet.txt")) == 2
    assert "output sheet.txt: no kind of image file has that suffix" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "form"),
    [("b.html", "html"), ("b.csv", "csv"), ("b.json", "json"), ("b.TEX", "latex"), ("b.md", "github"), ("b", "table")],
)
def test_the_ending_gives_the_format_of_a_leaderboard(name, form, tmp_path):
    assert invoke(["leaderboard", "-o", name]) == 0
    assert invoke(["leaderboard", "-o", "asked.html", "--format", form]) == 0
    assert (tmp_path / name).read_text() == (tmp_path / "asked.html").read_text()


def test_a_folder_is_no_page(capsys):
    for command in ("leaderboard", "report"):
        assert invoke([command, "-o", "results"]) == 2
        assert "is a directory" in capsys.readouterr().err


NO_OUTPUT = {name: make for name, make in OUTPUTS.items() if name in ("per-query", "merge", "leaderboard")} | {
    "report": lambda path: ["report", "-o", path],
    "directions": lambda path: ["analyze", "directions", "--dataset", "mlr-synthetic", "-o", path],
    "bench": lambda path: ["bench", "--stage", "ranking", "-o", path],
    "run": lambda path: ["run", "--dataset", "mlr-synthetic", "--per-query", path],
}


@pytest.mark.parametrize("name", NO_OUTPUT)
def test_no_result_is_written_over(name, tmp_path, capsys):
    """The table of a folder of results went into the place of one of them."""
    result = tmp_path / "results" / "a.json"
    assert invoke(NO_OUTPUT[name](str(result))) == 2
    assert "a.json holds a result, which would be lost; choose another name" in capsys.readouterr().err
    assert result.read_bytes() == GOLDEN.read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ["merge", "part.npz", "--per-query", "part.npz"],
        ["run", "--config", "run.toml", "--per-query", "run.toml"],
        ["leaderboard", "--bench", "bench.json", "-o", "bench.json"],
        ["report", "--bench", "bench.json", "-o", "bench.json"],
    ],
)
def test_no_input_is_written_over(arguments, tmp_path, capsys):
    (tmp_path / "run.toml").write_text("dataset = 'mlr-synthetic'")
    (tmp_path / "bench.json").write_text("{}")
    before = (tmp_path / arguments[-1]).read_bytes()
    assert invoke(arguments) == 2
    assert "this file is read, and would be written over; choose another name" in capsys.readouterr().err
    assert (tmp_path / arguments[-1]).read_bytes() == before

"""What runs are at, from another terminal."""

from __future__ import annotations

import pytest
from fake_plugins import fakes, offer, spec

from crbench.cli import invoke
from crbench.harness.plan import make_plan
from crbench.harness.run import run
from crbench.harness.status import RunNotes, work_claim

__all__ = ["fakes", "offer", "spec"]


def test_runs_and_what_they_compute_are_shown_while_they_work(spec, tmp_path, capsys):
    request = spec(aligner=["shift", "ridge"])
    (tmp_path / "results").mkdir()
    assert invoke(["status", str(tmp_path / "results")]) == 0
    assert capsys.readouterr().out.splitlines() == ["no run is at work", "finished: 0 cells; failed: 0"]
    notes = RunNotes.of(request, make_plan(request))
    notes.begin()
    lease = work_claim(tmp_path / "results", "1", "tiny, mlr, random, shift").attempt()
    assert invoke(["status", str(tmp_path / "results")]) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("run on tiny: 0 of 3 cells (0 were there), 0 failed; process ")
    assert second.startswith("  tiny, mlr, random, shift: process ")
    assert last == "finished: 0 cells; failed: 0"
    lease.release()
    notes.close()


def test_failed_cells_are_named_and_their_log_is_shown_by_name(spec, tmp_path, capsys):
    run(spec(aligner=["failing", "shift"]))
    output = str(tmp_path / "results")
    assert invoke(["status", output]) == 0
    _, counts, failed = capsys.readouterr().out.splitlines()
    assert counts == "finished: 2 cells; failed: 1"
    assert failed.startswith("  tiny, mlr, random, failing: ")
    assert "ArithmeticError: no fit today" in failed
    assert invoke(["status", output, "--log", "fail"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("tiny, mlr, random, failing (")
    assert any('raise ArithmeticError("no fit today")' in line for line in shown)
    assert invoke(["status", output, "--log", "shift"]) == 3
    assert "no failed cell has this in its name; failed: tiny, mlr, random, failing" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--workers", "2"], ["--scheduler", "tcp://x:1"], ["--resource", "GPU=1"]])
def test_options_of_a_cluster_need_one(given, capsys):
    assert invoke(["run", "--dataset", "mlr-synthetic", *given]) == 2
    assert f"{given[0]}: only with --executor dask" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--workers", "0"], "workers: 0 is out of range; expected a value at least 1"),
        (["--resource", "GPU"], "resource 'GPU': expected NAME=AMOUNT"),
        (
            ["--scheduler", "tcp://x:1", "--workers", "2"],
            "--workers: the workers of a scheduler are started",
        ),
        (["--no-cache"], "leave --no-cache out"),
    ],
)
def test_bad_requests_of_a_cluster_are_refused(given, said, capsys):
    assert invoke(["run", "--dataset", "mlr-synthetic", "--executor", "dask", *given]) == 2
    assert said in capsys.readouterr().err


def test_without_dask_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("crbench.cluster.connect.importlib.util.find_spec", lambda name: None)
    assert invoke(["run", "--dataset", "mlr-synthetic", "--executor", "dask"]) == 2
    assert capsys.readouterr().err.strip() == (
        "crbench: error: --executor dask: Dask is not installed; install it with: pip install 'crbench[dask]'"
    )

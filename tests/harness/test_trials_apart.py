"""Trials that were run apart, on machines of their own, and joined by the leaderboard."""

from __future__ import annotations

import json

import pytest

from crbench.harness.run import run
from crbench.report import render
from crbench.results import load_results

OF_A_RUN = ("created", "cell_id", "command", "date", "files")
"""What tells runs apart, whatever they found."""


@pytest.fixture
def machine(spec, tmp_path, monkeypatch):
    """Runs trials with a cache, weights and results of their own."""

    def run_there(name, **values):
        monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path / name / "weights"))
        run(spec(output=tmp_path / name / "results", cache_dir=tmp_path / name / "cache", **values))
        return load_results([tmp_path / name / "results"])

    return run_there


def _board(results):
    """The board as programs get it, without what tells runs apart."""

    def facts(content):
        if isinstance(content, dict):
            return {name: facts(value) for name, value in content.items() if name not in OF_A_RUN}
        return [facts(item) for item in content] if isinstance(content, list) else content

    return facts(json.loads(render(results, format="json", per_rate=True)))


@pytest.mark.parametrize("backbone", ["random", "learner"])
def test_trials_that_were_run_apart_equal_one_run_bit_for_bit(machine, backbone):
    methods = {"backbone": backbone, "aligner": ["ridge", "mean-shift"]}
    whole = machine("whole", **methods)
    first, second = machine("first", trial=0, **methods), machine("second", trial=1, **methods)
    board = _board(whole)
    assert [row["trials"] for block in board["blocks"] for row in block["rows"]] == [2, 2, 2]
    assert _board([*second, *first]) == board


def test_results_tell_what_decides_whether_they_join(machine):
    small = {"dataset.train_identities": 6, "dataset.test_identities": 20, "dataset.images_per_camera": 1}
    (result,) = machine("here", dataset="mlr-synthetic", backbone="random", trial=0, set=small)
    assert result.data.parameters["test_identities"] == 20
    assert result.data.changed == {name.partition(".")[2]: value for name, value in small.items()}
    assert None not in (result.method.backbone.code_sha256, result.method.aligner.code_sha256)
    assert result.trials[0].weights_sha256 is None

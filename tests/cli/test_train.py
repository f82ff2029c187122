"""``crbench train`` from the user's side."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import PIL.Image
import pytest

from crbench.cli import invoke
from crbench.protocol.hashing import sha256_file
from crbench.results import load_results

SMALL = ["--set", "dataset.train_identities=8", "--set", "dataset.test_identities=6"]
RECIPE = ["--set", "backbone.epochs=3", "--set", "backbone.identities=4"]
TRAIN = ["train", "--dataset", "mlr-synthetic", *SMALL, *RECIPE]
RUN = ["run", "--dataset", "mlr-synthetic", *SMALL, *RECIPE, "--trial", "0", "-q"]


def files(folder="weights"):
    return {path.suffix: path for path in (Path(folder) / "trained").iterdir()}


def test_weights_card_log_and_image_and_a_run_that_trains_no_more(capsys):
    assert invoke([*TRAIN, "--eval-every", "2"]) == 0
    captured = capsys.readouterr()
    scores, weights, log, image, command = captured.out.splitlines()
    assert "after epoch 2: R1 " in captured.err
    assert "images/s" in captured.err
    assert set(files()) == {".safetensors", ".json"}
    written, card = json.loads(Path(log).read_text()), json.loads(files()[".json"].read_text())
    assert [bool(epoch["scores"]) for epoch in written["epochs"]] == [False, True, False]
    assert written["epochs"] == card["epochs"]
    assert written["weights_sha256"] == sha256_file(Path(weights))
    assert card["scores"] == written["scores"]
    assert scores.startswith(f"R1 {100 * card['scores']['R1']:.1f}, ")
    assert len(card["pids"]) == 8
    assert card["data"]
    with PIL.Image.open(image) as drawn:
        assert drawn.size == (1050, 600)
    before = Path(weights).stat().st_mtime_ns
    assert invoke([*shlex.split(command)[1:], "-q"]) == 0
    (result,) = load_results(["results"])
    assert result.method.backbone.weights_sha256 == written["weights_sha256"]
    assert Path(weights).stat().st_mtime_ns == before
    assert result.trials[0].cmc[0] == card["scores"]["R1"]


def test_weights_that_a_run_made_are_evaluated_and_trained_anew_only_if_asked(capsys):
    assert invoke(RUN) == 0
    made = sha256_file(files()[".safetensors"])
    capsys.readouterr()
    assert invoke(TRAIN) == 0
    assert "were there already" in capsys.readouterr().err
    assert invoke([*TRAIN, "--no-resume", "--output", "again"]) == 0
    captured = capsys.readouterr()
    assert "were there already" not in captured.err
    assert "epoch 3 of 3" in captured.err
    assert sha256_file(files()[".safetensors"]) == made
    assert {path.suffix for path in Path("again").iterdir()} == {".json", ".png"}


def test_a_killed_training_continues_with_the_same_weights(capsys):
    assert invoke([*TRAIN, "-q"]) == 0
    whole = sha256_file(files()[".safetensors"])
    capsys.readouterr()
    environment = {**os.environ, "CRBENCH_WEIGHTS": str(Path("killed").resolve())}
    command = [sys.executable, "-m", "crbench", *TRAIN]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(Path("killed").rglob("state.safetensors")):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert set(files("killed")) >= {".checkpoint", ".lease-1"}
    assert ".safetensors" not in files("killed")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "continues after epoch" in done.stderr
    assert sha256_file(files("killed")[".safetensors"]) == whole
    assert ".checkpoint" not in files("killed")


def test_a_dry_run_names_what_would_be_trained(capsys):
    assert invoke([*TRAIN, "--trial", "3", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["mlr-synthetic", "mlr", "3", "resnet-tiny"]
    assert not Path("weights").exists()


def test_a_loss_that_is_not_finite_stops_and_leaves_nothing_to_continue_from(capsys):
    assert invoke([*TRAIN, "--set", "backbone.lr=1e30", "--set", "backbone.warmup_epochs=0"]) == 1
    assert "is not finite in epoch 1 of 3; lower lr (now 1e+30)" in capsys.readouterr().err
    assert files() == {}
    assert not Path("training").exists()


def test_two_processes_make_weights_that_a_run_finds(capsys):
    assert invoke([*TRAIN, "--processes", "2", "--eval-every", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("after epoch 2: R1 ") == 1
    assert captured.err.count("epoch 3 of 3: loss") == 1
    assert "arning" not in captured.err
    _, weights, log, _, command = captured.out.splitlines()
    assert set(files()) == {".safetensors", ".json"}
    written, card = json.loads(Path(log).read_text()), json.loads(files()[".json"].read_text())
    assert written["processes"] == card["processes"] == 2
    assert [bool(epoch["scores"]) for epoch in written["epochs"]] == [False, True, False]
    assert {epoch["images"] for epoch in written["epochs"]} == {len(card["pictures"])}
    assert invoke([*shlex.split(command)[1:], "-q"]) == 0
    (result,) = load_results(["results"])
    assert result.method.backbone.weights_sha256 == sha256_file(Path(weights))


def test_half_precision_is_a_parameter_of_the_backbone(capsys):
    assert invoke([*TRAIN, "--amp", "bf16", "--seed", "3", "--backbone", "resnet-tiny", "-q"]) == 0
    command = capsys.readouterr().out.splitlines()[-1]
    assert "--backbone resnet-tiny --seed 3 --set" in command
    assert command.endswith("--set backbone.amp=bf16")
    assert json.loads(files()[".json"].read_text())["parameters"]["amp"] == "bf16"


def test_without_matplotlib_only_the_image_is_missing(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert invoke(TRAIN) == 0
    captured = capsys.readouterr()
    assert "pip install 'crbench[plot]'" in captured.err
    assert not any(".png" in line for line in captured.out.splitlines())


@pytest.mark.parametrize("option", ["--eval-every", "--checkpoint-every"])
def test_numbers_of_epochs_are_checked(option, capsys):
    assert invoke([*TRAIN, option, "-1"]) == 2
    assert "is not in the range" in capsys.readouterr().err


def test_a_training_from_given_weights_prints_the_run_that_uses_what_comes_out(capsys):
    train = [*TRAIN, "--set", "backbone.epochs=1", "-q"]
    assert invoke(train) == 0
    made = files()[".safetensors"]
    start = made.rename("weights/start.safetensors")
    files()[".json"].rename("weights/start.json")
    capsys.readouterr()
    assert invoke([*train, "--weights", "start.safetensors", "--weights-sha256", sha256_file(start)[:12]]) == 0
    *_, command = capsys.readouterr().out.splitlines()
    (tuned,) = Path("weights/trained").glob("*.safetensors")
    assert tuned.name != made.name
    assert invoke([*shlex.split(command)[1:], "-q"]) == 0
    assert "leakage" not in capsys.readouterr().err
    (result,) = load_results(["results"])
    assert result.method.backbone.weights_sha256 == sha256_file(tuned)
    assert not result.method.backbone.trained
    assert str(tuned) in result.command

"""``crbench run`` from the user's side."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import builders
import pytest
from main_job import JOB, SMALL, start

from crbench.cli import invoke
from crbench.results import load_results


def test_the_main_job(capsys):
    assert invoke(JOB) == 0
    captured = capsys.readouterr()
    for name in ("none (baseline)", "vpfa/light", "ridge", "R1", "params"):
        assert name in captured.out
    assert re.search(r"^ +1 +1-\d +resnet-tiny .* \[\d+\.\d, \d+\.\d\] ", captured.out, flags=re.MULTILINE)
    assert "These queries of 6 persons resolve differences of" in captured.out
    for note in ("backbone resnet-tiny (default of mlr-synthetic)", "trials 0-9", "aligner none (baseline"):
        assert note in captured.err
    assert invoke([*JOB, "--format", "json", "-q"]) == 0
    again = capsys.readouterr()
    assert json.loads(again.out)
    assert again.err.count("already in the output folder") == 3


def test_a_dry_run_prints_cells_and_does_nothing(capsys, tmp_path):
    assert invoke([*JOB, "--trial", "0-2", "--dry-run"]) == 0
    captured = capsys.readouterr()
    cells, steps, sums = captured.out.split("\n\n")
    assert [line.split() for line in cells.splitlines()[2:]] == [
        ["mlr-synthetic", "mlr", "resnet-tiny", aligner, "3"] for aligner in ("none", "vpfa/light", "ridge")
    ]
    names = [line.split()[0] for line in steps.splitlines()[2:]]
    assert list(dict.fromkeys(names)) == [
        "start",
        "open",
        "prepare",
        "load",
        "train",
        "list",
        "decode",
        "extract",
        "fit",
        "evaluate",
        "table",
    ]
    assert max(map(len, steps.splitlines())) <= 120
    assert "one process: at least" in sums
    assert "longest chain: at least" in sums
    assert "not known (train, decode, extract, fit none, " in sums.replace("train resnet-tiny", "train")
    assert "known once one trial has run: give the same command with `--trial 0 -o pilot`" in captured.err
    assert not (tmp_path / "results").exists()


def test_a_dry_run_as_json(capsys):
    assert invoke([*JOB, "--trial", "0", "--dry-run", "--format", "json", "-q"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    images = {step["name"]: step["images"] for step in found["steps"] if step["images"]}
    # 8 people with 12 training images each, at four rates; 6 people with as many test images
    assert images == {"open": 168, "train": 96, "decode": 168, "extract": 4 * 96 + 72}
    assert found["unknown"]
    assert found["chain"]["seconds"] <= found["seconds"]


def test_a_dry_run_has_no_table_of_results():
    assert invoke([*JOB, "--dry-run", "--format", "html"]) == 2


def test_options_win_over_the_config_file(tmp_path, capsys):
    Path("run.toml").write_text('dataset = "mlr-synthetic"\naligner = ["ridge"]\nbaseline = false\ntrial = "0-4"\n')
    assert invoke(["run", "--config", "run.toml", "--trial", "1", "--dry-run"]) == 0
    (cell,) = capsys.readouterr().out.partition("\n\n")[0].splitlines()[2:]
    assert cell.split() == ["mlr-synthetic", "mlr", "resnet-tiny", "ridge", "1"]


def test_how_to_extract_can_be_chosen(tmp_path, capsys):
    arguments = ["run", "--dataset", "mlr-synthetic", *SMALL, "--trial", "0", "--batch-size", "auto", "-j", "2"]
    assert invoke([*arguments, "--amp", "bf16"]) == 0
    assert "resnet-tiny [epochs=1] bf16" in capsys.readouterr().out
    Path("run.toml").write_text('amp = "bf16"\nbatch_size = 64\n')
    assert invoke([*arguments[:-4], "--config", "run.toml"]) == 0
    assert "already in the output folder" in capsys.readouterr().err
    assert [result.extraction.amp for result in load_results(["results"])] == ["bf16"]


def test_a_failed_cell_gives_exit_code_1_and_the_others_their_table(capsys):
    # Steps so large that the loss overflows at once.
    assert invoke([*JOB, "--set", "vpfa.lr=1e30"]) == 1
    captured = capsys.readouterr()
    assert "vpfa/light [" in captured.err
    assert "lr=1e+30] failed: " in captured.err
    assert "ridge" in captured.out
    statuses = {result.method.aligner.name: result.status for result in load_results(["results"])}
    assert statuses == {"none": "ok", "ridge": "ok", "vpfa": "failed"}


LAYOUTS = {
    "mlr-market1501": lambda root: builders.build_market1501(root),
    "market1501": lambda root: builders.build_market1501(root, "market1501"),
    "mlr-dukemtmc": lambda root: builders.build_dukemtmc(root),
    "mlr-msmt17": lambda root: builders.build_msmt17(root, "V1"),
    "msmt17": lambda root: builders.build_msmt17(root, "V2"),
    "mlr-viper": lambda root: builders.build_viper(root),
    "viper": lambda root: builders.build_viper(root, "VIPeR"),
    "mlr-caviar": lambda root: builders.build_caviar(root),
    "caviar": lambda root: builders.build_caviar(root, "CAVIARa"),
    "mlr-cuhk03": lambda root: builders.build_cuhk03_mat(root),
    "cuhk03": lambda root: builders.build_cuhk03_folders(root),
    "mlr-cuhk03 from a Market-style folder": lambda root: builders.build_cuhk03_market_style(root),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_real_data_set_runs_from_its_layout(layout, tmp_path, monkeypatch, capsys):
    from crbench.registry.load import load_dataset

    monkeypatch.setenv("CRBENCH_ACCEPT_DUKEMTMC", "1")
    name = layout.partition(" ")[0]
    LAYOUTS[layout](tmp_path / "data")
    protocol = next(iter(load_dataset(name).protocols.values()))
    identities = builders.small(protocol).split.identities
    arguments = ["run", "--dataset", name, "--backbone", "resnet-tiny", "--set", "resnet-tiny.epochs=1"]
    aligner = ["--aligner", "coral"] if protocol.split.lr_camera != "none" else []
    assert invoke([*arguments, *aligner, "--set", f"protocol.identities={identities}"]) == 0
    results = load_results(["results"])
    assert len(results) == 1 + bool(aligner)
    assert {len(result.trials) for result in results} == {protocol.split.trials}
    assert all(trial.n_valid > 0 for result in results for trial in result.trials)
    assert all(result.data.deviations for result in results)
    captured = capsys.readouterr()
    assert f"{name}, protocol {protocol.name}" in captured.out
    assert f"{name}: this copy is not the published data set" in captured.err


def test_interrupting_keeps_what_is_there(tmp_path):
    process = start(tmp_path)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    assert process.wait() in (130, 0, -signal.SIGINT)
    assert start(tmp_path).wait() == 0


def test_another_score_stands_in_the_table_and_in_the_result(tmp_path, capsys):
    arguments = ["run", "--dataset", "mlr-synthetic", *SMALL, "--trial", "0", "--set", "protocol.shot=multi"]
    assert invoke([*arguments, "--metric", "nDCG"]) == 0
    assert "nDCG" in capsys.readouterr().out
    (result,) = load_results([tmp_path / "results"])
    assert 0 < result.metrics["nDCG"].mean < 1

"""Files of the user's own as backbones of a run, from the command line to the leaderboard."""

from __future__ import annotations

import csv
import json
import shlex
import shutil

import numpy as np
import PIL.Image
import torch
from networks import WEIGHT, network, save_onnx, save_torchscript

from crbench.cli import invoke
from crbench.data.preprocess import Normaliser, Preprocess, image_array
from crbench.results import load_results

DATA = ["--set", "dataset.train_identities=5", "--set", "dataset.test_identities=4"]
SIZE = ["--set", "backbone.size=[32,16]"]
RUN = ["run", "--dataset", "mlr-synthetic", "--aligner", "ridge", "--trial", "0", *DATA]
PREPROCESS = Preprocess(size=(32, 16), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def one(backbone):
    """Scores of one backbone with `none` and `ridge`, by aligner."""
    results = load_results(["results"])
    found = {r.method.aligner.name: r for r in results if r.method.backbone.name == backbone}
    return {name: [(trial.cmc, trial.scores) for trial in result.trials] for name, result in found.items()}


def features_by_another_program():
    """What a user does with ``crbench data export``: read its images in any way, write one feature per line."""
    assert invoke(["data", "export", "mlr-synthetic", "-o", "images", *DATA]) == 0
    with open("images/manifest.tsv", encoding="utf-8") as file:  # noqa: PTH123
        paths = [row["path"] for row in csv.DictReader(file, delimiter="\t")]
    images = [image_array(PIL.Image.open(f"images/{path}"), PREPROCESS) for path in paths]
    with torch.no_grad():
        return network()(Normaliser(PREPROCESS, "cpu")(torch.from_numpy(np.stack(images)))).numpy()


def test_one_network_gives_one_score_as_onnx_as_torchscript_and_as_features(tmp_path, capsys):
    save_torchscript(tmp_path / "net.pt")
    save_onnx(tmp_path / "net.onnx")
    x = features_by_another_program()
    (tmp_path / "mine").mkdir()
    np.save(tmp_path / "mine" / "all.npy", x)
    shutil.copy("images/manifest.tsv", tmp_path / "mine" / "all.tsv")
    assert invoke([*RUN, *SIZE, "--backbone", "torchscript:net.pt", "--backbone", "onnx:net.onnx"]) == 0
    assert invoke([*RUN, "--backbone", "features:mine"]) == 0
    assert one("features:mine") == one("torchscript:net.pt") == one("onnx:net.onnx")
    assert set(one("features:mine")) == {"none", "ridge"}
    capsys.readouterr()
    assert invoke(["leaderboard", "--format", "csv"]) == 0
    board = capsys.readouterr().out
    for name in ("features:mine", "torchscript:net.pt", "onnx:net.onnx"):
        assert name in board


def test_a_result_says_what_it_was_made_of(tmp_path):
    save_torchscript(tmp_path / "net.pt")
    command = [*RUN, *SIZE, "--backbone", f"torchscript:{tmp_path / 'net.pt'}", "--no-baseline"]
    assert invoke(command) == 0
    (first,) = load_results(["results"])
    assert first.method.backbone.name == "torchscript:net.pt"
    assert first.method.backbone.weights_sha256 is not None
    assert f"torchscript:{tmp_path / 'net.pt'}" in first.command
    assert any("net.pt are not known" in warning for warning in first.warnings)


def test_the_recorded_command_repeats_a_cell_however_it_was_asked_for(tmp_path, capsys):
    save_torchscript(tmp_path / "net.pt")
    by_setting = ["--backbone", "torchscript", "--set", "torchscript.file=net.pt", "--no-baseline"]
    assert invoke([*RUN, *SIZE, *by_setting]) == 0
    (first,) = load_results(["results"])
    capsys.readouterr()
    assert invoke(shlex.split(first.command)[1:]) == 0
    assert "already in the output folder" in capsys.readouterr().err


def test_identity_is_the_content_of_the_file(tmp_path, capsys):
    save_torchscript(tmp_path / "net.pt")
    command = [*RUN, *SIZE, "--no-baseline", "--backbone"]
    assert invoke([*command, "torchscript:net.pt"]) == 0
    shutil.copy("net.pt", "copy.pt")
    capsys.readouterr()
    assert invoke([*command, "torchscript:copy.pt"]) == 0
    assert "already in the output folder" in capsys.readouterr().err
    save_torchscript(tmp_path / "net.pt", network(weight=WEIGHT[::-1]))
    assert invoke([*command, "torchscript:net.pt"]) == 0
    assert len(load_results(["results"])) == 2


def test_features_are_not_copied_into_the_cache(tmp_path):
    (tmp_path / "mine").mkdir()
    np.save(tmp_path / "mine" / "all.npy", features_by_another_program())
    shutil.copy("images/manifest.tsv", tmp_path / "mine" / "all.tsv")
    assert invoke([*RUN, "--backbone", "features:mine"]) == 0
    assert not list((tmp_path / "cache").glob("features/*/*.safetensors"))
    assert invoke([*RUN, "--backbone", "features:mine", "--trial", "1"]) == 3, "rows of another trial are not there"


def test_people_of_the_test_rows_in_the_training_list_are_refused(tmp_path, capsys):
    save_torchscript(tmp_path / "net.pt")
    card = {"dataset": "mlr-synthetic", "pids": list(range(1, 1000)), "pictures": []}
    (tmp_path / "net.json").write_text(json.dumps(card))
    assert invoke([*RUN, *SIZE, "--backbone", "torchscript:net.pt"]) == 5
    assert "were trained on" in capsys.readouterr().err

"""Every kind of bad input gives one clear message and the documented exit code."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import builders
import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

from crbench.cli import invoke

RUN = ["run", "--dataset", "mlr-synthetic"]
SMALL = [
    "--set",
    "dataset.train_identities=4",
    "--set",
    "dataset.test_identities=3",
    "--set",
    "dataset.images_per_camera=1",
    "--set",
    "backbone.epochs=1",
]
MARKET = ["run", "--dataset", "mlr-market1501", "--backbone", "resnet-tiny", "--set", "backbone.epochs=1"]


def nothing(folder: Path) -> None:
    """No preparation."""


def config(text):
    def prepare(folder):
        (folder / "run.toml").write_text(text)

    return prepare


def results(text):
    def prepare(folder):
        (folder / "results").mkdir()
        (folder / "results" / "x.json").write_text(text)

    return prepare


def market(change=nothing):
    """A small Market-1501 with something done to it; `change` gets the folder of the set."""

    def prepare(folder):
        builders.build_market1501(folder / "data")
        change(folder / "data" / "market1501" / "Market-1501-v15.09.15")

    return prepare


def replace_picture(content):
    def change(folder):
        picture = sorted((folder / "query").glob("0*_c1*.jpg"))[0]
        picture.write_bytes(content(picture.read_bytes()))

    return change


def bomb(_):
    return b"P6 60000 60000 255\n" + b"\0" * 64


def copy_into_training(folder):
    picture = sorted((folder / "query").glob("0*_c1*.jpg"))[0]
    shutil.copy(picture, sorted((folder / "bounding_box_train").glob("0*.jpg"))[0])


def cut_mat(folder):
    path = builders.build_cuhk03_mat(folder / "data") / "cuhk-03.mat"
    path.write_bytes(path.read_bytes()[:2000])


class Evil:
    """What a hostile weights file holds: code that runs when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("evil was here"),))


def weights(write):
    def prepare(folder):
        write(folder / "w.pth")

    return prepare


def overlapping_card(folder):
    save_file({"x": torch.zeros(1)}, folder / "w.safetensors")
    card = {"dataset": "mlr-synthetic", "pids": list(range(1, 1000)), "pictures": []}
    (folder / "w.json").write_text(json.dumps(card))


def unreadable_card(folder):
    save_file({"x": torch.zeros(1)}, folder / "w.safetensors")
    (folder / "w.json").write_text("{")


WEIGHTS = [*RUN, *SMALL, "--weights", "w.pth"]

CASES = {
    # name: (preparation, arguments, exit code, part of the message)
    "no-command": (nothing, ["rnu"], 2, "No such command"),
    "no-data-set": (nothing, ["run"], 2, "no data set given; name one with --dataset"),
    "unknown-option": (nothing, [*RUN, "--algner", "vpfa"], 2, "No such option"),
    "unknown-data-set": (nothing, ["run", "--dataset", "mlr-vipr"], 2, "did you mean 'mlr-viper'"),
    "unknown-aligner": (nothing, [*RUN, "--aligner", "vfpa"], 2, "did you mean 'vpfa'"),
    "unknown-backbone": (nothing, [*RUN, "--backbone", "resnet51"], 2, "did you mean 'resnet50'"),
    "unknown-preset": (nothing, [*RUN, "--aligner", "vpfa/papr"], 2, "unknown preset 'papr'"),
    "unknown-protocol": (nothing, [*RUN, "--protocol", "mrl"], 2, "has no protocol 'mrl'; known: mlr"),
    "trial-out-of-range": (nothing, [*RUN, "--trial", "10"], 2, "trial 10 is not one of 0-9"),
    "trial-not-a-number": (nothing, [*RUN, "--trial", "all"], 2, "not a list of trials"),
    "trial-backwards": (nothing, [*RUN, "--trial", "5-2"], 2, "not a list of trials"),
    "seed-negative": (nothing, [*RUN, "--seed", "-1"], 2, "'seed' must be >= 0"),
    "seed-not-a-number": (nothing, [*RUN, "--seed", "x"], 2, "not a valid integer"),
    "limit-too-small": (nothing, [*RUN, "--limit", "1"], 2, "'limit' must be >= 2"),
    "batch-size-zero": (nothing, [*RUN, "--batch-size", "0"], 2, "'batch_size' must be >= 1"),
    "workers-negative": (nothing, [*RUN, "-j", "-1"], 2, "'num_workers' must be >= 0"),
    "set-without-value": (nothing, [*RUN, "--set", "aligner.hidden"], 2, "expected PART.NAME=VALUE"),
    "set-unknown-part": (nothing, [*RUN, "--set", "algner.hidden=3"], 2, "PART one of aligner, backbone"),
    "set-unknown-parameter": (
        nothing,
        [*RUN, "--aligner", "vpfa", "--set", "vpfa.hiden=3"],
        2,
        "did you mean 'hidden'",
    ),
    "set-wrong-type": (nothing, [*RUN, "--aligner", "vpfa", "--set", "vpfa.hidden=big"], 2, "is not of type int"),
    "set-no-such-choice": (nothing, [*RUN, "--aligner", "vpfa", "--set", "vpfa.schedule=fast"], 2, "schedule = 'fast'"),
    "set-out-of-range": (nothing, [*RUN, "--aligner", "vpfa", "--set", "vpfa.hidden=0"], 2, "hidden"),
    "set-unknown-rule": (nothing, [*RUN, "--set", "protocol.filter=box"], 2, "protocol has no field 'filter'"),
    "set-bad-rule": (nothing, [*RUN, "--set", "protocol.kernel=cubic"], 2, "kernel"),
    "set-bad-rates": (nothing, [*RUN, "--set", "protocol.query_rates=[0.5]"], 2, "query_rates"),
    "unknown-format": (nothing, [*RUN, "--format", "pdf"], 2, "is not one of"),
    "unknown-engine": (nothing, [*RUN, "--engine", "fast"], 2, "unknown engine 'fast'; known: auto"),
    "unknown-device": (nothing, [*RUN, "--device", "tpu9"], 2, "device 'tpu9' cannot be used"),
    "unknown-distance": (nothing, [*RUN, "--set", "protocol.distance=manhattan"], 2, "unknown metric 'manhattan'"),
    "config-missing": (nothing, ["run", "--config", "run.toml"], 2, "No such file"),
    "config-not-toml": (config("dataset = "), ["run", "--config", "run.toml"], 2, "is not TOML"),
    "config-unknown-key": (config('dataste = "x"'), ["run", "--config", "run.toml"], 2, "unknown dataste; known:"),
    "config-wrong-type": (
        config('dataset = "x"\nseed = "a"'),
        ["run", "--config", "run.toml"],
        2,
        "seed = 'a' is not of type int",
    ),
    "prune-without-what": (nothing, ["cache", "prune"], 2, "say what to delete"),
    "data-missing": (nothing, ["run", "--dataset", "mlr-viper"], 3, "cam_a"),
    "data-other-folder": (market(lambda f: shutil.rmtree(f / "query")), MARKET, 3, "query"),
    "data-empty-folder": (
        market(lambda f: [p.unlink() for p in (f / "query").iterdir()]),
        MARKET,
        3,
        "no query pictures",
    ),
    "data-opt-in": (nothing, ["run", "--dataset", "mlr-dukemtmc"], 3, "CRBENCH_ACCEPT_DUKEMTMC"),
    "data-too-few-people": (lambda f: builders.build_viper(f / "data"), ["run", "--dataset", "mlr-viper"], 3, "316"),
    "data-cut-mat": (cut_mat, ["run", "--dataset", "mlr-cuhk03"], 3, "cuhk-03.mat"),
    "data-leak": (market(copy_into_training), MARKET, 5, "test pictures are also training pictures"),
    "image-empty": (market(replace_picture(lambda _: b"")), MARKET, 3, ".jpg"),
    "image-cut": (market(replace_picture(lambda b: b[: len(b) // 2])), MARKET, 3, ".jpg"),
    "image-is-text": (market(replace_picture(lambda _: b"not an image")), MARKET, 3, ".jpg"),
    "image-bomb": (market(replace_picture(bomb)), MARKET, 3, ".jpg"),
    "weights-missing": (nothing, WEIGHTS, 3, "w.pth does not exist"),
    "weights-pickle-with-code": (weights(lambda p: p.write_bytes(pickle.dumps(Evil()))), WEIGHTS, 3, "w.pth"),
    "weights-torch-with-code": (weights(lambda p: torch.save({"a": Evil()}, p)), WEIGHTS, 3, "w.pth"),
    "weights-cut": (weights(lambda p: p.write_bytes(b"PK\3\4 cut")), WEIGHTS, 3, "w.pth"),
    "weights-other-network": (weights(lambda p: torch.save({"fc.weight": torch.zeros(3)}, p)), WEIGHTS, 3, "w.pth"),
    "weights-of-test-people": (overlapping_card, [*WEIGHTS[:-1], "w.safetensors"], 5, "were trained on"),
    "weights-card-unreadable": (unreadable_card, [*WEIGHTS[:-1], "w.safetensors"], 3, "w.json cannot be read"),
    "weights-imagenet-missing": (market(), [*MARKET[:3], "--backbone", "resnet50"], 3, "resnet50"),
    "results-none": (nothing, ["leaderboard"], 3, "crbench run"),
    "results-no-such-file": (nothing, ["leaderboard", "nowhere.json"], 3, "nowhere.json: no such file"),
    "results-cut": (results('{"schema_version": 1, "cell'), ["leaderboard"], 3, "not valid JSON"),
    "results-other-json": (results("[1, 2]"), ["leaderboard"], 3, "not a crbench result"),
    "results-lacking-fields": (results('{"schema_version": 1}'), ["leaderboard"], 3, "lacks"),
    "preview-unknown-set": (nothing, ["data", "preview", "x", "-o", "x.png"], 2, "unknown dataset 'x'"),
    "export-into-a-full-folder": (results("x"), ["data", "export", "mlr-synthetic", "-o", "results"], 2, "results"),
    "verify-missing": (nothing, ["data", "verify", "mlr-caviar"], 3, "CAVIAR"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_message_and_the_documented_exit_code(case, tmp_path, capsys, monkeypatch):
    prepare, arguments, code, message = CASES[case]
    monkeypatch.delenv("CRBENCH_ACCEPT_DUKEMTMC", raising=False)
    prepare(tmp_path)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert invoke(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err
    errors = [line for line in captured.err.splitlines() if line.lower().startswith(("crbench: error", "error:"))]
    assert len(errors) == 1
    half = list(tmp_path.rglob(".part-*"))
    assert half == [], "a half-written file was left behind"
    assert before <= {path for path in tmp_path.rglob("*") if path.is_file()}, "something was lost"
    assert not (tmp_path / "evil was here").exists()


def test_the_table_is_long_enough():
    assert len(CASES) >= 40


def test_nan_weights_are_refused(tmp_path, capsys):
    from crbench import load_backbone

    state = {
        name: torch.full_like(t, float("nan")) if t.is_floating_point() else t
        for name, t in load_backbone("resnet-tiny").state().items()
    }
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "w.safetensors")
    assert invoke([*WEIGHTS[:-1], "w.safetensors"]) == 3
    assert "NaN" in capsys.readouterr().err


def test_a_16_bit_and_a_cmyk_picture_are_no_bad_input(tmp_path):
    market()(tmp_path)
    folder = tmp_path / "data" / "market1501" / "Market-1501-v15.09.15" / "query"
    first, second = sorted(folder.glob("*.jpg"))[:2]
    PIL.Image.fromarray(np.full((32, 16), 40_000, np.uint16)).save(first, format="PNG")
    PIL.Image.new("CMYK", (16, 32), (10, 20, 30, 40)).save(second, format="JPEG")
    assert invoke([*MARKET, "--trial", "0", "-q"]) == 0

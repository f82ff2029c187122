"""Every kind of bad input gives one clear message and the documented exit code."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import builders
import networks
import numpy as np
import PIL.Image
import pytest
import timm
import torch
from safetensors.torch import save_file

from crbench.cli import invoke
from crbench.store.upkeep import damaged_files, stored_files

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
BOARD = ["leaderboard", "results", "--bench"]
RESULT = (Path(__file__).parents[1] / "golden" / "result-2.json").read_text(encoding="utf-8")
CEILINGS = '{"schema_version": 1, "ceilings": {}}'
TRAIN = ["train", "--dataset", "mlr-synthetic"]
MARKET = ["run", "--dataset", "mlr-market1501", "--backbone", "resnet-tiny", "--set", "backbone.epochs=1"]


def nothing(folder: Path) -> None:
    """No preparation."""


def empty_folder(folder: Path) -> None:
    (folder / "empty").mkdir()


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


def replace_image(content):
    def change(folder):
        image = sorted((folder / "query").glob("0*_c1*.jpg"))[0]
        image.write_bytes(content(image.read_bytes()))

    return change


def fifo(name):
    """Something that a read waits for, where a file should be."""

    def prepare(folder):
        os.mkfifo(folder / name)

    return prepare


def fifo_among_images(folder):
    image = sorted((folder / "query").glob("0*_c1*.jpg"))[0]
    image.unlink()
    os.mkfifo(image)


def device_among_images(folder):
    image = sorted((folder / "query").glob("0*_c1*.jpg"))[0]
    image.unlink()
    image.symlink_to("/dev/zero")


def cut_training_image(folder):
    image = sorted((folder / "bounding_box_train").glob("0*.jpg"))[0]
    image.write_bytes(image.read_bytes()[:200])


def bomb(_):
    return b"P6 60000 60000 255\n" + b"\0" * 64


def copy_into_training(folder):
    image = sorted((folder / "query").glob("0*_c1*.jpg"))[0]
    shutil.copy(image, sorted((folder / "bounding_box_train").glob("0*.jpg"))[0])


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


PIDS = np.array([1, 2, 3])
ROWS = np.eye(3, 4, dtype=np.float32)


def meta_bytes(content):
    def prepare(folder):
        features()(folder)
        (folder / "meta.csv").write_bytes(content)

    return prepare


def damaged_npz(features):
    """q.npz whose member of features is what it likes; the other is sound."""

    def prepare(folder):
        np.savez(folder / "g.npz", features=ROWS, pids=PIDS)
        with zipfile.ZipFile(folder / "q.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("features.npy", features)
            with archive.open("pids.npy", "w") as file:
                np.save(file, PIDS)

    return prepare


def bfloat16_labels(folder):
    features()(folder)
    arrays = {"features": torch.from_numpy(ROWS), "pids": torch.from_numpy(PIDS).bfloat16(), "rates": torch.ones(3)}
    save_file(arrays | {"rates": torch.ones(3).bfloat16()}, folder / "q.safetensors")


LYING = b"\x93NUMPY\x01\x00v\x00" + (
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }".ljust(117) + b"\n"
)
FLIPPED = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (6, 4(, }".ljust(117) + b"\n"


def features(gallery=None, *, meta=None, query=None):
    """q.npz and g.npz with three rows each; `gallery` and `query` replace arrays (None: leave out)."""

    def prepare(folder):
        for name, changes in (("q", query), ("g", gallery)):
            arrays = {"features": ROWS, "pids": PIDS} | (changes or {})
            np.savez(folder / f"{name}.npz", **{key: value for key, value in arrays.items() if value is not None})
        np.save(folder / "q.npy", ROWS)
        if meta is not None:
            (folder / "meta.csv").write_text(meta)

    return prepare


def feature_file(name, content):
    def prepare(folder):
        features()(folder)
        (folder / name).write_bytes(content((folder / "g.npz").read_bytes()))

    return prepare


def cut_safetensors(folder):
    features()(folder)
    save_file({"features": torch.zeros(3, 4)}, folder / "g.safetensors")
    (folder / "g.safetensors").write_bytes((folder / "g.safetensors").read_bytes()[:-9])


EVALUATE = ["evaluate", "--query", "q.npz", "--gallery", "g.npz"]
OTHER_GALLERY = EVALUATE[:-1]
SHEET = ["data", "preview", "mlr-synthetic", "-o", "x.png"]
META = [*EVALUATE, "--meta", "meta.csv"]
NAN_ROWS = np.where(np.eye(3, 4) > 0, np.nan, 1.0)

WEIGHTS = [*RUN, *SMALL, "--weights", "w.pth"]


def osnet(edit=lambda state: state, variant="x0_25"):
    """A file of random weights for one network of the OSNet family, something done to its tensors."""

    def prepare(folder):
        from crbench_osnet.network import VARIANTS, OSNet

        torch.save(edit(OSNet(VARIANTS[variant]).state_dict()), folder / "w.pth")

    return prepare


def vit(edit=lambda state: state):
    def prepare(folder):
        torch.save(edit(timm.create_model("test_vit").state_dict()), folder / "w.pth")

    return prepare


def transreid(edit=lambda state: state, size=(128, 64), **network):
    """A checkpoint of random weights for ``transreid-tiny``, something done to its tensors."""

    def prepare(folder):
        from crbench_transreid.network import TransReID
        from crbench_transreid.vit import ARCHITECTURES

        model = TransReID(ARCHITECTURES["vit-tiny"], size, stride=12, **network)
        torch.save(edit(model.state_dict()), folder / "w.pth")

    return prepare


def damaged(prepare, name="w.pth"):
    def cut(folder):
        prepare(folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:-300])

    return cut


def nan(name):
    return lambda state: {**state, name: state[name] * float("nan")}


def widened(name):
    return lambda state: {**state, name: torch.cat([state[name], state[name]])}


def without(beginning):
    return lambda state: {name: tensor for name, tensor in state.items() if not name.startswith(beginning)}


def onnx_file(**changes):
    return lambda folder: networks.save_onnx(folder / "net.onnx", **changes)


def torchscript_file(**changes):
    return lambda folder: networks.save_torchscript(folder / "net.pt", networks.network(**changes))


def other_content(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def feature_folder(**arrays):
    def prepare(folder):
        (folder / "mine").mkdir()
        np.savez(folder / "mine" / "f.npz", **{"features": ROWS, "keys": np.array(list("abc")), **arrays})

    return prepare


DATA_ONLY = SMALL[:-2]
OSNET = [*RUN, *DATA_ONLY, "--weights", "w.pth", "--backbone", "osnet/x0_25"]
TRANSREID = [*RUN, *DATA_ONLY, "--weights", "w.pth", "--backbone", "transreid-tiny"]
CAMERAS = [*TRANSREID, "--set", "transreid-tiny.sie=camera"]
TIMM = [*RUN, *DATA_ONLY, "--weights", "w.pth", "--backbone", "timm:test_vit"]
ONNX = [*RUN, *DATA_ONLY, "--backbone", "onnx:net.onnx"]
TORCHSCRIPT = [*RUN, *DATA_ONLY, "--backbone", "torchscript:net.pt"]
FEATURES = [*RUN, *DATA_ONLY, "--backbone", "features:mine"]

CASES = {
    # name: (preparation, arguments, exit code, part of the message)
    "no-command": (nothing, ["rnu"], 2, "No such command"),
    "no-data-set": (nothing, ["run"], 2, "no data set given; name one with --dataset"),
    "unknown-option": (nothing, [*RUN, "--algner", "vpfa"], 2, "No such option"),
    "unknown-data-set": (nothing, ["run", "--dataset", "mlr-vipr"], 2, "did you mean 'mlr-viper'"),
    "unknown-aligner": (nothing, [*RUN, "--aligner", "vfpa"], 2, "did you mean 'vpfa'"),
    "unknown-backbone": (nothing, [*RUN, "--backbone", "resnet51"], 2, "did you mean 'resnet50'"),
    "unknown-preset": (nothing, [*RUN, "--aligner", "vpfa/papr"], 2, "unknown preset 'papr'"),
    "unknown-protocol": (
        nothing,
        [*RUN, "--protocol", "mrl"],
        2,
        "has no protocol 'mrl'; did you mean 'mlr'? known: mlr",
    ),
    "figure-of-another-kind": (
        nothing,
        ["sweep", "--dataset", "mlr-synthetic", "--figure", "a.pdf"],
        2,
        "'a.pdf': expected NAME.png, beside which NAME.svg is written",
    ),
    "figure-without-name": (nothing, ["sweep", "--dataset", "mlr-synthetic", "--figure", ""], 2, "expected NAME.png"),
    "trial-out-of-range": (nothing, [*RUN, "--trial", "10"], 2, "trial 10 is not one of 0-9"),
    "trial-not-a-number": (nothing, [*RUN, "--trial", "all"], 2, "not a list of trials"),
    "trial-backwards": (nothing, [*RUN, "--trial", "5-2"], 2, "not a list of trials"),
    "seed-negative": (nothing, [*RUN, "--seed", "-1"], 2, "seed: -1 is out of range; expected a value at least 0"),
    "seed-not-a-number": (nothing, [*RUN, "--seed", "x"], 2, "'x' is not an integer"),
    "seed-with-underscore": (nothing, [*RUN, "--seed", "1_2"], 2, "'1_2' is not an integer"),
    "bench-spread-no-number": (nothing, ["bench", "--spread", "nan"], 2, "'nan' is not a number"),
    "cache-age-negative": (nothing, ["cache", "prune", "--older-than", "-1"], 2, "-1.0 is not in the range x>=0"),
    "cache-ls-elsewhere": (nothing, ["cache", "ls", "--cache-dir", "nowhere"], 3, "nowhere: no such folder; give the"),
    "cache-verify-elsewhere": (nothing, ["cache", "verify", "--cache-dir", "nowhere"], 3, "nowhere: no such folder;"),
    "cache-prune-elsewhere": (nothing, ["cache", "prune", "--all", "--cache-dir", "nowhere"], 3, "no such folder;"),
    "cache-age-no-number": (nothing, ["cache", "prune", "--older-than", "1_0"], 2, "'1_0' is not a number"),
    "people-with-underscore": (nothing, [*SHEET, "--people", "1_0"], 2, "'1_0' is not an integer"),
    "setting-not-finite": (
        nothing,
        [*RUN, "--aligner", "vpfa", "--set", "vpfa.lr=nan"],
        2,
        "lr: nan is not a finite number",
    ),
    "rate-not-finite": (
        nothing,
        [*RUN, "--set", "protocol.query_rates=[nan]"],
        2,
        "protocol.query_rates: nan is not a finite number",
    ),
    "rule-of-words-a-number": (
        nothing,
        [*RUN, "--set", "protocol.lr_camera=2"],
        2,
        "protocol.lr_camera: '2' is not one of none, fixed:CAMERA",
    ),
    "limit-too-small": (nothing, [*RUN, "--limit", "1"], 2, "limit: 1 is out of range; expected a value at least 2"),
    "batch-size-zero": (nothing, [*RUN, "--batch-size", "0"], 2, "'0' is neither auto nor a number of images from 1"),
    "batch-size-no-number": (nothing, [*RUN, "--batch-size", "all"], 2, "'all' is neither auto nor a number of images"),
    "amp-unknown": (nothing, [*RUN, "--amp", "fp8"], 2, "'fp8' is not one of 'off', 'bf16', 'fp16'"),
    "workers-negative": (nothing, [*RUN, "-j", "-1"], 2, "num_workers: -1 is out of range"),
    "set-without-value": (nothing, [*RUN, "--set", "aligner.hidden"], 2, "expected PART.NAME=VALUE"),
    "set-unknown-part": (
        nothing,
        [*RUN, "--set", "algner.hidden=3"],
        2,
        "expected PART.NAME; did you mean 'aligner'? known: aligner, backbone",
    ),
    "set-unknown-parameter": (
        nothing,
        [*RUN, "--aligner", "vpfa", "--set", "vpfa.hiden=3"],
        2,
        "did you mean 'hidden'",
    ),
    "set-wrong-type": (nothing, [*RUN, "--aligner", "vpfa", "--set", "vpfa.hidden=big"], 2, "is not of type int"),
    "set-no-such-choice": (
        nothing,
        [*RUN, "--aligner", "vpfa", "--set", "vpfa.schedule=fast"],
        2,
        "schedule: fast is not one of constant, step30, cosine",
    ),
    "set-out-of-range": (nothing, [*RUN, "--aligner", "vpfa", "--set", "vpfa.hidden=0"], 2, "hidden"),
    "set-unknown-rule": (nothing, [*RUN, "--set", "protocol.filter=box"], 2, "protocol has no rule 'filter'"),
    "set-bad-rule": (nothing, [*RUN, "--set", "protocol.kernel=cubic"], 2, "kernel"),
    "set-bad-rates": (nothing, [*RUN, "--set", "protocol.query_rates=[0.5]"], 2, "query_rates"),
    "unknown-format": (nothing, [*RUN, "--format", "pdf"], 2, "is not one of"),
    "unknown-engine": (nothing, [*RUN, "--engine", "fast"], 2, "unknown engine 'fast'; known: auto"),
    "unknown-precision": (nothing, [*RUN, "--precision", "half"], 2, "unknown precision 'half'; known: auto, fp32"),
    "bad-memory-budget": (nothing, [*RUN, "--memory-budget", "lots"], 2, "'lots' is not a number of bytes"),
    "small-memory-budget": (nothing, [*EVALUATE, "--memory-budget", "1KB"], 2, "'1KB' is too small"),
    "unknown-device": (nothing, [*RUN, "--device", "tpu9"], 2, "device 'tpu9' cannot be used"),
    "unknown-distance": (nothing, [*RUN, "--set", "protocol.distance=manhattan"], 2, "unknown distance 'manhattan'"),
    "config-missing": (nothing, ["run", "--config", "run.toml"], 2, "No such file"),
    "config-not-toml": (config("dataset = "), ["run", "--config", "run.toml"], 2, "is not TOML"),
    "config-unknown-key": (
        config('dataste = "x"'),
        ["run", "--config", "run.toml"],
        2,
        "unknown dataste; did you mean 'dataset'? known:",
    ),
    "config-wrong-type": (
        config('dataset = "x"\nseed = "a"'),
        ["run", "--config", "run.toml"],
        2,
        "seed = 'a' is not of type int",
    ),
    "train-no-data-set": (nothing, ["train"], 2, "train: no data set given"),
    "train-unknown-backbone": (nothing, [*TRAIN, "--backbone", "resnet51"], 2, "did you mean 'resnet50'"),
    "train-trial-out-of-range": (nothing, [*TRAIN, "--trial", "10"], 2, "trial 10 is not one of 0-9"),
    "train-trial-negative": (nothing, [*TRAIN, "--trial", "-1"], 2, "'-1' is not a list of trials"),
    "train-split": (nothing, [*TRAIN, "--split", "3"], 2, "No such option"),
    "train-unknown-arithmetic": (nothing, [*TRAIN, "--amp", "int8"], 2, "'int8' is not one of"),
    "train-arithmetic-in-set": (
        nothing,
        [*TRAIN, "--set", "backbone.amp=int8"],
        2,
        "amp: 'int8' is not one of off, bf16",
    ),
    "train-checkpoint-every-0": (nothing, [*TRAIN, "--checkpoint-every", "0"], 2, "0 is not in the range x>=1"),
    "train-processes-0": (nothing, [*TRAIN, "--processes", "0"], 2, "0 is not in the range x>=1"),
    "train-processes-on-one-device": (nothing, [*TRAIN, "--processes", "2", "--device", "cpu:0"], 2, "is one device"),
    "train-processes-uneven": (
        nothing,
        [*TRAIN, *SMALL, "--processes", "2", "--set", "backbone.identities=3", "--set", "backbone.images=3"],
        2,
        "2 processes cannot share a batch of 9 images equally",
    ),
    "train-unknown-parameter": (nothing, [*TRAIN, "--set", "backbone.epoch=1"], 2, "did you mean 'epochs'"),
    "train-one-person": (nothing, [*TRAIN, "--limit", "1"], 2, "limit: 1 is out of range; expected a value at least 2"),
    "train-data-missing": (nothing, ["train", "--dataset", "mlr-viper", "--backbone", "resnet-tiny"], 3, "no copy of"),
    "train-output-unwritable": (config(""), [*TRAIN, *SMALL, "--output", "run.toml/log"], 6, "the weights are kept"),
    "train-image-cut": (market(cut_training_image), ["train", *MARKET[1:]], 3, ".jpg"),
    "train-start-missing": (
        nothing,
        ["train", *MARKET[1:3], "--backbone", "resnet50"],
        3,
        "ImageNet weights of resnet50",
    ),
    "prune-without-what": (nothing, ["cache", "prune"], 2, "say what to delete"),
    "data-missing": (nothing, ["run", "--dataset", "mlr-viper"], 3, "no copy of"),
    "data-other-folder": (market(lambda f: shutil.rmtree(f / "query")), MARKET, 3, "query"),
    "data-empty-folder": (
        market(lambda f: [p.unlink() for p in (f / "query").iterdir()]),
        MARKET,
        3,
        "no query images",
    ),
    "data-opt-in": (nothing, ["run", "--dataset", "mlr-dukemtmc"], 3, "CRBENCH_ACCEPT_DUKEMTMC"),
    "data-too-few-people": (lambda f: builders.build_viper(f / "data"), ["run", "--dataset", "mlr-viper"], 3, "316"),
    "data-cut-mat": (cut_mat, ["run", "--dataset", "mlr-cuhk03"], 3, "cuhk-03.mat"),
    "data-leak": (market(copy_into_training), MARKET, 5, "test images are also training images"),
    "image-empty": (market(replace_image(lambda _: b"")), MARKET, 3, ".jpg"),
    "image-cut": (market(replace_image(lambda b: b[: len(b) // 2])), MARKET, 3, ".jpg"),
    "image-is-text": (market(replace_image(lambda _: b"not an image")), MARKET, 3, ".jpg"),
    "image-bomb": (market(replace_image(bomb)), MARKET, 3, ".jpg"),
    "weights-missing": (nothing, WEIGHTS, 3, "w.pth does not exist"),
    "weights-pickle-with-code": (weights(lambda p: p.write_bytes(pickle.dumps(Evil()))), WEIGHTS, 3, "w.pth"),
    "weights-torch-with-code": (weights(lambda p: torch.save({"a": Evil()}, p)), WEIGHTS, 3, "w.pth"),
    "weights-cut": (weights(lambda p: p.write_bytes(b"PK\3\4 cut")), WEIGHTS, 3, "w.pth"),
    "weights-other-network": (weights(lambda p: torch.save({"fc.weight": torch.zeros(3)}, p)), WEIGHTS, 3, "w.pth"),
    "weights-of-test-people": (overlapping_card, [*WEIGHTS[:-1], "w.safetensors"], 5, "were trained on"),
    "weights-card-unreadable": (unreadable_card, [*WEIGHTS[:-1], "w.safetensors"], 3, "w.json cannot be read"),
    "argument-not-taken": (nothing, [*RUN, "--backbone", "resnet50:x"], 2, "takes nothing after a colon"),
    "argument-missing": (nothing, [*RUN, "--backbone", "onnx"], 2, "needs a value for file; give onnx:FILE"),
    "argument-twice": (nothing, [*ONNX, "--set", "onnx.file=b.onnx"], 2, "file is given twice"),
    "osnet-no-weights": (
        nothing,
        [*RUN, *DATA_ONLY, "--backbone", "osnet"],
        3,
        "put the released osnet_x1_0_market*.pth, osnet_x1_0_duke*.pth or osnet_x1_0_msmt17*.pth into",
    ),
    "osnet-other-width": (osnet(variant="x0_5"), OSNET, 3, "conv1.conv.weight has shape (32, 3, 7, 7)"),
    "osnet-other-network": (vit(), OSNET, 3, "w.pth: the file lacks"),
    "osnet-cut": (damaged(osnet()), OSNET, 3, "w.pth: damaged, or not"),
    "osnet-code": (weights(lambda p: torch.save({"conv1": Evil()}, p)), OSNET, 3, "w.pth: not plain tensors"),
    "osnet-nan": (osnet(nan("fc.0.weight")), OSNET, 3, "w.pth: fc.0.weight holds NaN"),
    "osnet-missing-neck": (osnet(without("fc.1")), OSNET, 3, "w.pth: the file lacks 4 of"),
    "osnet-small-images": (osnet(), [*OSNET, "--set", "osnet.size=[8,8]"], 2, "size: (8, 8) is out of range"),
    "transreid-no-weights": (
        nothing,
        [*RUN, *DATA_ONLY, "--backbone", "transreid"],
        3,
        "or put the released vit_transreid_market.pth into",
    ),
    "transreid-other-network": (osnet(), TRANSREID, 3, "w.pth: the file lacks"),
    "transreid-other-width": (
        transreid(widened("base.norm.bias")),
        TRANSREID,
        3,
        "w.pth: base.norm.bias has shape (192,), expected (96,)",
    ),
    "transreid-jigsaw": (transreid(jpm=True), TRANSREID, 3, "with the jigsaw patch module; choose a preset whose jpm"),
    "transreid-cut": (damaged(transreid()), TRANSREID, 3, "w.pth: damaged, or not"),
    "transreid-text": (other_content("w.pth", b"<html>Not found</html>"), TRANSREID, 3, "it is damaged, or its"),
    "transreid-empty": (other_content("w.pth", b""), TRANSREID, 3, "w.pth: damaged, or not"),
    "transreid-code": (weights(lambda p: torch.save({"base.cls_token": Evil()}, p)), TRANSREID, 3, "not plain tensors"),
    "transreid-pickle": (weights(lambda p: p.write_bytes(pickle.dumps(Evil()))), TRANSREID, 3, "not plain tensors"),
    "transreid-other-size": (transreid(size=(128, 128)), TRANSREID, 3, "it was trained with another size or stride"),
    "transreid-nan": (transreid(nan("base.cls_token")), TRANSREID, 3, "w.pth: base.cls_token holds NaN"),
    "transreid-missing-neck": (transreid(without("bottleneck.")), TRANSREID, 3, "it was trained without a BN neck"),
    "transreid-no-cameras": (
        transreid(),
        CAMERAS,
        3,
        "the file has no side information, which does not fit sie=camera",
    ),
    "transreid-cameras": (transreid(side=6), TRANSREID, 3, "6 embeddings of side information, which does not fit sie"),
    "transreid-other-sha256": (transreid(), [*TRANSREID, "--weights-sha256", "0" * 64], 3, "w.pth: its SHA-256 is"),
    "weights-no-sha256": (transreid(), [*TRANSREID, "--weights-sha256", "1234"], 2, "'1234' is not a SHA-256"),
    "weights-sha256-of-nothing": (nothing, [*RUN, *SMALL, "--weights-sha256", "0" * 8], 2, "uses no weights file"),
    "weights-no-address": (nothing, [*WEIGHTS[:-1], "hf:me/reid"], 2, "expected hf:org/repo@revision:file"),
    "train-weights-missing": (nothing, [*TRAIN, *SMALL, "--weights", "w.pth"], 3, "w.pth does not exist"),
    "train-weights-of-another": (osnet(), [*TRAIN, *SMALL, "--weights", "w.pth"], 3, "w.pth: the file lacks"),
    "timm-unknown": (vit(), [*TIMM[:-1], "timm:resnet5O"], 2, "no model 'resnet5O'; did you mean resnet50"),
    "timm-no-weights": (nothing, [*RUN, *DATA_ONLY, "--backbone", "timm:test_vit"], 3, "--set timm.pretrained=true"),
    "timm-other-model": (osnet(), TIMM, 3, "w.pth: the file lacks"),
    "timm-cut": (damaged(vit()), TIMM, 3, "w.pth: damaged, or not"),
    "timm-code": (weights(lambda p: torch.save({"norm.bias": Evil()}, p)), TIMM, 3, "w.pth: not plain tensors"),
    "timm-nan": (vit(nan("norm.bias")), TIMM, 3, "w.pth: norm.bias holds NaN"),
    "timm-missing-keys": (vit(without("blocks.1")), TIMM, 3, "w.pth: the file lacks"),
    "timm-other-size": (vit(), [*TIMM, "--set", "timm.size=[97,48]"], 2, "does not take images of 97x48"),
    "onnx-missing": (nothing, ONNX, 3, "net.onnx does not exist; expected onnx:FILE"),
    "onnx-is-text": (other_content("net.onnx", b"no network"), ONNX, 3, "net.onnx: damaged, or not an ONNX file"),
    "onnx-cut": (damaged(onnx_file(), "net.onnx"), ONNX, 3, "net.onnx: damaged, or not an ONNX file"),
    "onnx-pickle-with-code": (other_content("net.onnx", pickle.dumps(Evil())), ONNX, 3, "or not an ONNX file"),
    "onnx-nan": (onnx_file(weight=networks.WEIGHT * np.nan), ONNX, 3, "NaN or infinite features for an image of noise"),
    "onnx-two-inputs": (onnx_file(inputs=2), ONNX, 3, "has 2 inputs (x, x1); expected one"),
    "onnx-rank": (onnx_file(shape=("b", 3, 8), weight=None), ONNX, 3, "expected (batch, 3, height, width)"),
    "onnx-no-vectors": (onnx_file(flatten=False), ONNX, 3, "expected one feature vector each"),
    "onnx-outputs": (onnx_file(outputs=("a", "b")), ONNX, 2, "say which holds features with --set onnx.output=NAME"),
    "onnx-other-size": (
        onnx_file(shape=("b", 3, 64, 32)),
        [*ONNX, "--set", "onnx.size=[32,16]"],
        2,
        "takes images of 64x32 only",
    ),
    "onnx-weights": (onnx_file(), [*ONNX, "--weights", "net.onnx"], 2, "leave out --weights"),
    "torchscript-missing": (nothing, TORCHSCRIPT, 3, "net.pt does not exist; expected torchscript:FILE"),
    "torchscript-state-dict": (
        lambda folder: torch.save({"a": torch.zeros(1)}, folder / "net.pt"),
        TORCHSCRIPT,
        3,
        "a state_dict belongs to a named backbone",
    ),
    "torchscript-cut": (damaged(torchscript_file(), "net.pt"), TORCHSCRIPT, 3, "net.pt: damaged, or not a TorchScript"),
    "torchscript-pickle-with-code": (other_content("net.pt", pickle.dumps(Evil())), TORCHSCRIPT, 3, "net.pt: damaged"),
    "torchscript-nan": (torchscript_file(weight=networks.WEIGHT * np.nan), TORCHSCRIPT, 3, "NaN or infinite features"),
    "torchscript-other-size": (
        torchscript_file(),
        [*TORCHSCRIPT, "--set", "torchscript.size=[3,3]"],
        3,
        "does not take input of shape (2, 3, 3, 3)",
    ),
    "features-no-folder": (nothing, FEATURES, 3, "mine does not exist; expected features:FOLDER"),
    "features-empty-folder": (lambda folder: (folder / "mine").mkdir(), FEATURES, 3, "no feature file in it"),
    "features-without-keys": (
        lambda folder: ((folder / "mine").mkdir(), np.save(folder / "mine" / "f.npy", ROWS)),
        FEATURES,
        3,
        "nothing says whose features these are",
    ),
    "features-of-other-rows": (feature_folder(), FEATURES, 3, "crbench data export lists the keys and rates"),
    "features-pickled": (feature_folder(features=ROWS.astype(object)), FEATURES, 3, "f.npz: array 'features': holds"),
    "weights-of-the-paper-missing": (
        market(),
        [*MARKET[:3], "--aligner", "vpfa"],
        3,
        "put the released vit_transreid_market.pth into",
    ),
    "weights-imagenet-missing": (market(), [*MARKET[:3], "--backbone", "resnet50"], 3, "resnet50"),
    "results-none": (nothing, ["leaderboard"], 3, "crbench run"),
    "validate-none": (empty_folder, ["results", "validate", "empty"], 3, "no results in empty; `crbench run"),
    "upgrade-none": (empty_folder, ["results", "upgrade", "empty"], 3, "no results in empty; `crbench run"),
    "upgrade-no-results": (results("{}"), ["results", "upgrade", "results"], 3, "no results in results; `crbench run"),
    "verify-none": (empty_folder, ["cache", "verify", "--results", "empty"], 3, "no results in empty; `crbench run"),
    "results-no-such-file": (nothing, ["leaderboard", "nowhere.json"], 3, "nowhere.json: no such file"),
    "results-cut": (results('{"schema_version": 2, "cell'), ["leaderboard"], 3, "not valid JSON"),
    "results-other-json": (results("[1, 2]"), ["leaderboard"], 3, "not a crbench result"),
    "results-lacking-fields": (results('{"schema_version": 2}'), ["leaderboard"], 3, "lacks"),
    "results-are-a-benchmark": (
        results(CEILINGS),
        ["leaderboard"],
        3,
        "a benchmark, not a result; `crbench leaderboard",
    ),
    "board-no-benchmark": (
        results(RESULT),
        [*BOARD, "there.json"],
        3,
        "there.json: no such file or folder; `crbench ben",
    ),
    "board-no-benchmark-in-folder": (
        lambda folder: (results(RESULT)(folder), (folder / "bench").mkdir()),
        [*BOARD, "bench"],
        3,
        "bench: no benchmark files in it; `crbench bench -o FILE` writes one",
    ),
    "board-result-as-benchmark": (
        results(RESULT),
        [*BOARD, "results"],
        3,
        "a result, not a benchmark; `crbench leader",
    ),
    "features-no-such-file": (features(), [*OTHER_GALLERY, "h.npz"], 3, "h.npz: no such file"),
    "features-other-suffix": (features(), [*OTHER_GALLERY, "g.pt"], 3, "g.pt: not a feature file"),
    "features-no-mat-file": (
        feature_file("g.mat", lambda _: b"pid,camid" * 99),
        [*OTHER_GALLERY, "g.mat"],
        3,
        "g.mat: no mat file, or one of MATLAB 4",
    ),
    "features-is-text": (
        feature_file("g.npz", lambda _: b"pid,camid"),
        EVALUATE,
        3,
        "g.npz: cannot be read, cut short, damaged or no NumPy file",
    ),
    "features-empty-file": (feature_file("g.npz", lambda _: b""), EVALUATE, 3, "g.npz: cannot be read"),
    "features-cut": (feature_file("g.npz", lambda b: b[: len(b) // 2]), EVALUATE, 3, "g.npz: cannot be read"),
    "features-pickle": (feature_file("g.npz", lambda _: pickle.dumps(Evil())), EVALUATE, 3, "g.npz: cannot be read"),
    "features-cut-safetensors": (cut_safetensors, [*OTHER_GALLERY, "g.safetensors"], 3, "g.safetensors: cannot be"),
    "features-missing-array": (features({"features": None}), EVALUATE, 3, "g.npz: array 'features' is missing"),
    "features-missing-pids": (features({"pids": None}), EVALUATE, 3, "g.npz: array 'pids' is missing"),
    "features-objects": (features({"pids": PIDS.astype(object)}), EVALUATE, 3, "g.npz: array 'pids': holds Python"),
    "features-integer": (features({"features": np.eye(3, dtype=int)}), EVALUATE, 3, "g.npz: array 'features' is int64"),
    "features-one-dimension": (features({"features": np.ones(3)}), EVALUATE, 3, "'features' has shape (3,)"),
    "features-pids-too-few": (features({"pids": PIDS[:2]}), EVALUATE, 3, "g.npz: array 'pids' has 2 rows, features"),
    "features-pids-not-whole": (features({"pids": PIDS + 0.5}), EVALUATE, 3, "numbers that are not whole"),
    "features-pids-too-large": (features({"pids": PIDS.astype(np.uint64) + 2**63}), EVALUATE, 3, "at most 2^63 - 1"),
    "features-pids-text": (features({"pids": PIDS.astype(str)}), EVALUATE, 3, "'pids' is <U21; expected numbers"),
    "features-rate-below-one": (features({"rates": PIDS * 0.5}), EVALUATE, 3, "g.npz: every rate"),
    "features-nan": (features({"features": NAN_ROWS}), EVALUATE, 1, "gallery row 0 (0) holds NaN or infinite"),
    "features-zero": (features({"features": ROWS * 0}), EVALUATE, 1, "gallery row 0 (0) is zero"),
    "features-lengths-differ": (features({"features": np.eye(3, 5)}), EVALUATE, 1, "query features have 4 columns"),
    "features-no-rows": (features({"features": ROWS[:0], "pids": PIDS[:0]}), EVALUATE, 1, "the gallery is empty"),
    "features-nobody-in-common": (features({"pids": PIDS + 9}), EVALUATE, 1, "no query has a match"),
    "features-negative-pid": (features(query={"pids": -PIDS}), EVALUATE, 1, "query row 0 has pid -1; expected 0"),
    "features-dims-too-large": (
        features({"dims": PIDS + 9}),
        EVALUATE,
        1,
        "gallery row 0 has dims 10; expected 1 to 4",
    ),
    "features-idle-rule": (features(), [*EVALUATE, "--set", "protocol.kernel=box"], 2, "kernel plays no role"),
    "features-camera-rule": (
        features(),
        [*EVALUATE, "--set", "protocol.ignored_cameras=3-2"],
        2,
        "protocol.ignored_cameras: '3-2' is not one of none, QUERY:GALLERY",
    ),
    "features-rerank": (features(), [*EVALUATE, "--rerank", "k=20"], 2, "'k=20' is not of the form k1=20,k2=6"),
    "features-rerank-single-shot": (
        features(),
        [*EVALUATE, "--set", "protocol.shot=single:exact", "--rerank", "k1=20"],
        2,
        "protocol.rerank: one gallery image per person (shot=single:exact) has no neighbours",
    ),
    "set-rerank-single-shot": (nothing, [*RUN, "--set", "protocol.rerank=k1=20"], 2, "set shot=multi or rerank=none"),
    "shard-without-output": (features(), [*EVALUATE, "--shard", "1/2"], 2, "--shard and --output go together"),
    "shard-output-alone": (features(), [*EVALUATE, "-o", "p.npz"], 2, "a result needs --name, a part --shard"),
    "shard-with-name": (features(), [*EVALUATE, "--shard", "1/2", "-o", "p.npz", "--name", "a"], 2, "--name needs all"),
    "result-without-output": (features(), [*EVALUATE, "--name", "a"], 2, "--name and --output go together"),
    "result-data-set-alone": (features(), [*EVALUATE, "--dataset", "a"], 2, "give --name and --output too"),
    "result-no-name": (features(), [*EVALUATE, "--name", " ", "-o", "a.json"], 2, "a name that can be printed"),
    "result-no-json": (features(), [*EVALUATE, "--name", "a", "-o", "a.npz"], 2, "expected a file NAME.json"),
    "result-unwritable": (features(), [*EVALUATE, "--name", "a", "-o", "q.npz/a.json"], 6, "cannot write q.npz/a.npz"),
    "curve-zero": (features(), [*EVALUATE, "--curve", "0"], 2, "0 is not in the range x>=1"),
    "curve-too-long": (features(), [*EVALUATE, "--curve", "51"], 2, "--curve 51: expected a rank up to 50"),
    "distance-unknown": (features(), [*EVALUATE, "--distance", "cosin"], 2, "unknown distance 'cosin'"),
    "shard-out-of-range": (features(), [*EVALUATE, "--shard", "3/2", "-o", "p.npz"], 2, "shard '3/2' is not one of"),
    "shard-with-fpr": (features(), [*EVALUATE, "--shard", "1/2", "-o", "p.npz", "--fpr", "0.1"], 2, "--fpr needs all"),
    "shard-unwritable": (features(), [*EVALUATE, "--shard", "1/2", "-o", "q.npz/p.npz"], 6, "cannot write q.npz/p.npz"),
    "merge-nothing": (nothing, ["merge"], 2, "Missing argument"),
    "merge-missing": (nothing, ["merge", "p.npz"], 3, "p.npz: no such file"),
    "merge-features": (features(), ["merge", "q.npz"], 3, "q.npz: not a part of an evaluation"),
    "merge-npy": (features(), ["merge", "q.npy"], 3, "q.npy: not a part of an evaluation"),
    "features-no-rule": (features(), [*EVALUATE, "--set", "aligner.hidden=1"], 2, "expected protocol.NAME=VALUE"),
    "features-unknown-distance": (features(), [*EVALUATE, "--set", "protocol.distance=l1"], 2, "unknown distance 'l1'"),
    "features-unknown-tool": (features(), [*EVALUATE, "--as", "oml"], 2, "'oml' is not one of"),
    "features-fpr-no-number": (features(), [*EVALUATE, "--fpr", "low"], 2, "not a list of shares"),
    "features-fpr-too-large": (features(), [*EVALUATE, "--fpr", "2"], 2, "expected 0 or more and less than 1"),
    "features-fpr-negative": (features(), [*EVALUATE, "--fpr=-0.1"], 2, "-0.1 is not a share; expected"),
    "leaderboard-into-a-folder": (nothing, ["leaderboard", "-o", "."], 2, "'.' is a directory"),
    "features-group-unknown": (features(), [*EVALUATE, "--group-by", "hat"], 2, "no such column; known: pid, camid"),
    "bench-unknown-stage": (nothing, ["bench", "--stage", "alignment"], 2, "unknown stage 'alignment'"),
    "bench-stage-without-part": (nothing, ["bench", "--stage", "fit"], 2, "--aligner"),
    "bench-no-queries": (
        nothing,
        ["bench", "--query", "0"],
        2,
        "query: 0 is out of range; expected a value at least 1",
    ),
    "bench-setting-of-nothing": (nothing, ["bench", "--set", "aligner.hidden=3"], 2, "no such part here"),
    "bench-setting-of-no-part": (
        nothing,
        ["bench", "--dataset", "mlr-synthetic", "--set", "alinger.hidden=3"],
        2,
        "expected PART.NAME",
    ),
    "bench-unknown-parameter": (
        nothing,
        ["bench", "--aligner", "vpfa", "--set", "vpfa.hiden=3"],
        2,
        "no parameter 'hiden'; did you mean 'hidden'",
    ),
    "bench-features-have-no-network": (
        feature_folder(),
        ["bench", "--backbone", "features:mine"],
        2,
        "has no network; name other stages",
    ),
    "bench-unknown-device": (nothing, ["bench", "--device", "abacus"], 2, "device 'abacus'"),
    "bench-compare-no-file": (nothing, ["bench", "compare", "a.json", "b.json"], 3, "cannot be read as a benchmark"),
    "bench-compare-other-file": (
        results('{"schema_version": 1}'),
        ["bench", "compare", "results/x.json", "results/x.json"],
        3,
        "not a crbench benchmark of schema version 2",
    ),
    "features-npy-alone": (features(), ["evaluate", "--query", "q.npy", "--gallery", "g.npz"], 3, "q.csv beside it"),
    "features-outcomes-unwritable": (
        features(),
        [*EVALUATE, "--per-query", "q.npz/x.csv"],
        6,
        "cannot write q.npz/x.csv",
    ),
    "image-is-a-fifo": (market(fifo_among_images), [*MARKET, "--trial", "0"], 3, ".jpg: a FIFO, a socket or a device"),
    "image-is-a-device": (market(device_among_images), [*MARKET, "--trial", "0"], 3, ".jpg: a FIFO, a socket or a dev"),
    "features-are-a-fifo": (fifo("q.npz"), EVALUATE, 3, "q.npz: a FIFO, a socket or a device; expected a file"),
    "meta-is-a-fifo": (fifo("meta.csv"), META, 3, "meta.csv: a FIFO, a socket or a device"),
    "config-is-a-fifo": (
        fifo("run.toml"),
        ["run", "--config", "run.toml"],
        3,
        "run.toml: a FIFO, a socket or a device",
    ),
    "weights-are-a-fifo": (fifo("w.pth"), WEIGHTS, 3, "w.pth: a FIFO, a socket or a device"),
    "results-are-a-fifo": (fifo("x.json"), ["leaderboard", "x.json"], 3, "x.json: "),
    "part-is-a-fifo": (fifo("p.npz"), ["merge", "p.npz"], 3, "p.npz: a FIFO, a socket or a device"),
    "features-claim-14-tebibytes": (damaged_npz(LYING), EVALUATE, 3, "q.npz: array 'features': cannot be read, cut"),
    "features-are-no-npy": (
        damaged_npz(b"\x80\x04]\x94K\x01a."),
        EVALUATE,
        3,
        "q.npz: array 'features': cannot be read",
    ),
    "features-with-a-damaged-header": (
        feature_file("q.npy", lambda _: FLIPPED + bytes(96)),
        ["evaluate", "--query", "q.npy", "--gallery", "g.npz"],
        3,
        "q.npy: cannot be read, cut short, damaged or no NumPy file",
    ),
    "labels-in-bfloat16": (
        bfloat16_labels,
        ["evaluate", "--query", "q.safetensors", "--gallery", "g.npz"],
        3,
        "q.safetensors: array 'pids': labels must be integers, found bfloat16",
    ),
    "meta-in-latin-1": (
        meta_bytes("camid,who\n1,Ä\n2,b\n3,c\n".encode("latin-1")),
        META,
        3,
        "is not UTF-8; save it as",
    ),
    "meta-in-utf-16-without-a-mark": (
        meta_bytes("camid\n1\n2\n3\n".encode("utf-16-le")),
        META,
        3,
        "meta.csv: not a table in CSV (it holds NUL characters, as UTF-16 without a byte-order mark does",
    ),
    "meta-missing": (features(), META, 3, "meta.csv: No such file"),
    "meta-empty": (features(meta="pid,role"), META, 3, "meta.csv: an empty table"),
    "meta-ragged": (features(meta="pid,role\n1\n"), META, 3, "meta.csv: line 2 has 1 cells, the header 2"),
    "meta-twice": (features(meta="pid,pid\n1,1\n"), META, 3, "column 'pid' occurs twice"),
    "meta-too-short": (features(meta="camid\n1\n2\n"), META, 3, "meta.csv: 2 rows, 2 of them query, but q.npz has 3"),
    "meta-no-integer": (features(meta="camid\n1\n2\nleft\n"), META, 3, "line 4, column 'camid': 'left' is not an int"),
    "meta-underscore": (
        features(meta="pid\n1\n2\n1_2\n"),
        META,
        3,
        "line 4, column 'pid': '1_2' is not an int",
    ),
    "meta-rate-with-underscore": (features(meta="rate\n1\n2\n2_0\n"), META, 3, "column 'rate': '2_0' is not a number"),
    "meta-unknown-role": (
        features(meta="camid,role\n1,probe\n"),
        META,
        3,
        "line 2, column 'role': 'probe' is not query",
    ),
    "meta-no-such-role": (features(meta="camid,role\n" + "1,gallery\n" * 3), META, 3, "meta.csv: no row is query"),
    "meta-differs": (
        features(meta="pid\n1\n2\n2\n"),
        META,
        3,
        "q.npz: array 'pids' differs from the column of meta.csv",
    ),
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
    half = list(tmp_path.rglob("*.part"))
    assert half == [], "a half-written file was left behind"
    assert list(damaged_files(stored_files(tmp_path / "cache"))) == [], "a failed run cached what is not whole"
    assert not list(tmp_path.glob("results/mlr-*")), "a failed run left a result"
    assert before <= {path for path in tmp_path.rglob("*") if path.is_file()}, "something was lost"
    assert not (tmp_path / "evil was here").exists()


def test_a_backbone_that_does_not_know_a_camera_fails_its_cells(tmp_path, capsys):
    transreid(side=1)(tmp_path)
    assert invoke(CAMERAS) == 1
    shown = capsys.readouterr().err
    assert "(plugin 'transreid') failed at extract: DataError" in shown
    assert "is not among cameras 1 to 1 of the weights; choose --set backbone.cameras=mean" in shown


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


def test_a_16_bit_and_a_cmyk_image_are_no_bad_input(tmp_path):
    market()(tmp_path)
    folder = tmp_path / "data" / "market1501" / "Market-1501-v15.09.15" / "query"
    first, second = sorted(folder.glob("*.jpg"))[:2]
    PIL.Image.fromarray(np.full((32, 16), 40_000, np.uint16)).save(first, format="PNG")
    PIL.Image.new("CMYK", (16, 32), (10, 20, 30, 40)).save(second, format="JPEG")
    assert invoke([*MARKET, "--trial", "0", "-q"]) == 0

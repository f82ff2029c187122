"""Networks from ONNX and TorchScript files: the numbers of the network itself, and clear words for all else."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from crbench_files.onnx import OnnxBackbone
from crbench_files.torchscript import TorchScriptBackbone
from networks import WEIGHT, network, save_onnx, save_torchscript
from onnx import TensorProto
from torch import nn

from crbench import load_backbone
from crbench.cli import invoke
from crbench.config.convert import plain
from crbench.errors import ConfigError, DataError
from crbench.records import Batch
from crbench.results import load_results
from crbench.testing import check_backbone

SIZE = (32, 16)


def test_an_onnx_file_is_a_backbone(tmp_path):
    file = save_onnx(tmp_path / "net.onnx")
    check_backbone(lambda: OnnxBackbone(file, size=SIZE))
    assert load_backbone(f"onnx:{file}").preprocess.size == (256, 128)


def test_a_torchscript_file_is_a_backbone(tmp_path):
    file = save_torchscript(tmp_path / "net.pt")
    check_backbone(lambda: TorchScriptBackbone(file, size=SIZE))
    assert load_backbone(f"torchscript:{file}", size=[32, 16]).dim == 5


@pytest.mark.parametrize("fixed", [None, 1, 3, 8])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_onnx_gives_the_networks_features_whatever_batch_is_fixed_in_it(tmp_path, batch, fixed, count):
    file = save_onnx(tmp_path / "net.onnx", shape=(fixed or "b", 3, 32, 16))
    backbone = OnnxBackbone(file)
    assert backbone.preprocess.size == SIZE
    expected = network()(batch(count).inputs)
    torch.testing.assert_close(backbone.extract(batch(count)).x, expected)


def test_torchscript_gives_the_networks_features(tmp_path, batch):
    backbone = TorchScriptBackbone(save_torchscript(tmp_path / "net.pt"), size=SIZE)
    x = backbone.extract(batch(7)).x
    torch.testing.assert_close(x, network()(batch(7).inputs))
    assert not x.requires_grad
    assert not x.is_inference()


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({"channels": "bgr"}, (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)),
        ({"values": "0-255"}, (0, 0, 0), (1 / 255,) * 3),
        (
            {"channels": "bgr", "values": "0-255", "mean": (104, 117, 123)},
            (104 / 255, 117 / 255, 123 / 255),
            (1 / 255,) * 3,
        ),
        ({"channels": "bgr", "mean": (0.1, 0.2, 0.3), "std": (1, 2, 4)}, (0.1, 0.2, 0.3), (1, 2, 4)),
    ],
)
def test_channels_and_values_reach_the_network_as_it_wants_them(tmp_path, kind, settings, mean, std):
    """What the network gets for an image is made here by hand, in its own order and range."""
    file = {"onnx": save_onnx, "torchscript": save_torchscript}[kind](tmp_path / "net")
    backbone = load_backbone(f"{kind}:{file}", size=[32, 16], **{k: plain(v) for k, v in settings.items()})
    pixels = torch.randint(0, 256, (2, 3, 32, 16), generator=torch.Generator().manual_seed(1)) / 255  # RGB
    own = pixels.flip(1) if settings.get("channels") == "bgr" else pixels
    expected = network()((own - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
    shown = backbone.preprocess
    inputs = (pixels - torch.tensor(shown.mean).view(3, 1, 1)) / torch.tensor(shown.std).view(3, 1, 1)
    found = backbone.extract(Batch(inputs, np.ones(2, dtype=np.float32), np.ones(2, dtype=np.int64))).x
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_outputs_of_one_pixel_are_features(tmp_path):
    pooled = network()[:2]
    assert TorchScriptBackbone(save_torchscript(tmp_path / "net.pt", pooled), size=SIZE).dim == 5


def test_one_of_several_outputs_is_chosen_by_name(tmp_path):
    file = save_onnx(tmp_path / "net.onnx", outputs=("feature", "map"))
    with pytest.raises(ConfigError, match=r"outputs feature, map; say which .* onnx\.output=NAME"):
        OnnxBackbone(file, size=SIZE)
    assert OnnxBackbone(file, size=SIZE, output="feature").dim == 5
    with pytest.raises(ConfigError, match="no output 'logits'; known: feature, map"):
        OnnxBackbone(file, size=SIZE, output="logits")


@pytest.mark.parametrize(
    ("changes", "settings", "error", "message"),
    [
        ({"inputs": 2}, {}, DataError, r"has 2 inputs \(x, x1\); expected one"),
        (
            {"shape": ("b", 3, 32), "weight": None},
            {},
            DataError,
            r"shape \['b', 3, 32\]; expected \(batch, 3, height, width\)",
        ),
        ({"shape": (1, 32, 16, 3)}, {}, DataError, r"expected \(batch, 3, height, width\)"),
        ({"kind": TensorProto.FLOAT16}, {}, DataError, r"input 'x' is tensor\(float16\); expected tensor\(float\)"),
        ({"flatten": False}, {}, DataError, r"gives shape \(2, 5, 8, 4\) for 2 images; expected one feature vector"),
        ({"weight": WEIGHT * np.nan}, {}, DataError, "NaN or infinite features"),
        ({"external": True}, {}, DataError, "its weights lie in other files; write them into it"),
        ({"shape": (1, 3, 64, 32)}, {}, ConfigError, "takes images of 64x32 only; leave out size"),
        ({}, {"size": (32,)}, ValueError, r"size: \(32,\) is not \(height, width\)"),
        ({}, {"size": (0, 16)}, ValueError, "size: .* is out of range"),
        ({}, {"size": (2, 2)}, DataError, "does not take input of shape"),
        ({}, {"std": (1.0, 0.0, 1.0)}, ValueError, "std: .* expected positive"),
        ({}, {"mean": (0.5,)}, ValueError, r"mean: \(0.5,\) has 1 values; expected one for each of three channels"),
        ({}, {"channels": "gbr"}, ValueError, "channels: 'gbr' is not one of rgb, bgr"),
        ({}, {"values": "0-100"}, ValueError, "values: '0-100' is not one of 0-1, 0-255"),
        ({}, {"interpolation": "cubic"}, ValueError, "'cubic' is not one of nearest, box, bilinear"),
        ({}, {"device": "cuda:0"}, ConfigError, "onnxruntime cannot use cuda:0; install onnxruntime-gpu"),
        ({}, {"weights": "w.pth"}, ConfigError, "holds its own weights, given --weights w.pth too"),
    ],
)
def test_onnx_files_that_do_not_fit(tmp_path, monkeypatch, changes, settings, error, message):
    monkeypatch.chdir(tmp_path)
    file = save_onnx(tmp_path / "net.onnx", **changes)
    with pytest.raises(error, match=message):
        OnnxBackbone(file, **{"size": SIZE, **settings})


FAULTS = {
    "batch statistics": "change with the others of a batch, by .*%",
    "dropout": "change from call to call, by .*%",
    "first row": "are those of the first image for all",
}


@pytest.mark.parametrize("fixed", [None, 2, 3])
@pytest.mark.parametrize(("ending", "message"), FAULTS.items())
def test_onnx_features_must_depend_on_their_own_image_only(tmp_path, ending, message, fixed):
    file = save_onnx(tmp_path / "net.onnx", ending=ending, shape=(fixed or "b", 3, 32, 16))
    with pytest.raises(DataError, match=f"net.onnx: its features .*{message}.*export the network in eval mode"):
        OnnxBackbone(file)


@pytest.mark.parametrize("fixed", [None, 1, 2, 3])
def test_sound_onnx_networks_pass(tmp_path, fixed):
    file = save_onnx(tmp_path / "net.onnx", ending="sound", shape=(fixed or "b", 3, 32, 16))
    assert OnnxBackbone(file).dim == 5


class Ending(nn.Module):
    """The usual network, then what exporting in training mode leaves: no `eval` at loading takes it out."""

    def __init__(self, ending):
        super().__init__()
        self.network, self.ending = network(), ending

    def forward(self, x):
        x = self.network(x)
        if self.ending == "batch statistics":
            return torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False)
        if self.ending == "dropout":
            return nn.functional.dropout(x, 0.3, training=True)
        return x[:1].expand_as(x)


@pytest.mark.parametrize(("ending", "message"), FAULTS.items())
def test_torchscript_features_must_depend_on_their_own_image_only(tmp_path, ending, message):
    file = save_torchscript(tmp_path / "net.pt", Ending(ending))
    with pytest.raises(DataError, match=message):
        TorchScriptBackbone(file, size=SIZE)


class Tuple(nn.Module):
    def forward(self, x):
        return x, x


class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(2, 3, -1).mean(dim=2).reshape(1, 6)


@pytest.mark.parametrize(
    ("module", "settings", "error", "message"),
    [
        (Tuple(), {}, DataError, "gives a tuple; expected one tensor"),
        (Fixed(), {}, DataError, r"gives shape \(1, 6\) for 2 images; expected one feature vector each, \(2, D\)"),
        (network(weight=WEIGHT * np.inf), {}, DataError, "NaN or infinite features"),
        (network(), {"size": (3, 3)}, DataError, r"does not take input of shape \(2, 3, 3, 3\)"),
        (network(), {"weights": "w.pth"}, ConfigError, "leave out --weights"),
    ],
)
def test_torchscript_files_that_do_not_fit(tmp_path, module, settings, error, message):
    file = save_torchscript(tmp_path / "net.pt", module)
    with pytest.raises(error, match=message):
        TorchScriptBackbone(file, **{"size": SIZE, **settings})


@pytest.mark.parametrize("target", [OnnxBackbone, TorchScriptBackbone])
@pytest.mark.parametrize("content", [b"", b"no network", b"PK\x03\x04" + b"\0" * 40], ids=["empty", "text", "zip"])
def test_other_files(tmp_path, target, content):
    file = tmp_path / "net.bin"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"net\.bin: damaged, or not an? (ONNX|TorchScript) file"):
        target(file)
    with pytest.raises(DataError, match="not a file"):
        target(tmp_path)


@pytest.mark.parametrize(
    ("target", "save"),
    [(OnnxBackbone, save_onnx), (TorchScriptBackbone, save_torchscript)],
    ids=["onnx", "torchscript"],
)
def test_files_that_were_cut(tmp_path, target, save):
    file = save(tmp_path / "net")
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged, or not"):
        target(file, size=SIZE)


UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
import torch
from crbench_files.onnx import OnnxBackbone
from crbench_files.torchscript import TorchScriptBackbone
from crbench.errors import SystemFaultError
OnnxBackbone(Path("small.onnx"), size=(32, 16)), TorchScriptBackbone(Path("small.pt"), size=(32, 16))
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (48 << 20)
resource.setrlimit(resource.RLIMIT_AS, (size, size))
for target, name in ((OnnxBackbone, "large.onnx"), (TorchScriptBackbone, "large.pt")):
    try:
        target(Path(name), size=(32, 16))
    except SystemFaultError as error:
        print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits its memory as Linux does")
def test_networks_that_memory_does_not_hold_are_not_called_damaged(tmp_path):
    large = nn.Sequential(*network(), nn.Linear(5, 8 << 20, bias=False))
    for name, module in (("small.pt", network()), ("large.pt", large)):
        save_torchscript(tmp_path / name, module)
    save_onnx(tmp_path / "small.onnx")
    save_onnx(tmp_path / "large.onnx", weight=np.zeros((400_000, 3, 4, 4), np.float32))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNDER_A_LIMIT], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    found = [line.partition(": ")[::2] for line in done.stdout.splitlines()]
    assert [name for name, _ in found] == ["large.onnx", "large.pt"], done.stdout
    assert all(said.startswith("out of memory") for _, said in found), found


def test_a_state_dict_is_told_from_a_network(tmp_path):
    torch.save(network().state_dict(), tmp_path / "net.pth")
    with pytest.raises(DataError, match="a state_dict belongs to a named backbone"):
        TorchScriptBackbone(tmp_path / "net.pth")


def test_the_user_is_not_told_of_torchs_plans(tmp_path, batch):
    file = save_torchscript(tmp_path / "net.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TorchScriptBackbone(file, size=SIZE).extract(batch(2))


def test_results_tell_the_version_of_onnxruntime(tmp_path):
    file = save_onnx(tmp_path / "net.onnx", shape=("b", 3, 32, 16))
    arguments = ["--dataset", "mlr-synthetic", "--trial", "0", "--limit", "3", "--aligner", "none", "--no-outcomes"]
    folders = ["--output", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    assert invoke(["run", *arguments, "--backbone", f"onnx:{file}", *folders, "-q"]) == 0
    (result,) = load_results([tmp_path / "results"])
    assert result.environment.packages["onnxruntime"] == onnxruntime.__version__

"""``crbench compare-features``: what it prints and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from networks import WEIGHT, save_onnx, save_torchscript

from crbench.cli.compare_features import compare_features
from crbench.errors import ConfigError


def called(*arguments):
    return CliRunner().invoke(compare_features, [str(one) for one in arguments], catch_exceptions=False)


def test_two_exports_of_a_network(tmp_path):
    one = save_onnx(tmp_path / "a.onnx")
    other = save_torchscript(tmp_path / "b.pt")
    worse = save_onnx(tmp_path / "c.onnx", weight=(WEIGHT + 0.5).astype(np.float32))
    options = ("--images", 6, "--batch-size", 3, "--set", "backbone.size=[32,16]", "-q")
    text = called(f"onnx:{one}", f"torchscript:{other}", *options).stdout
    assert "6 images, queries and gallery of mlr-synthetic, trial 0" in text
    assert "images whose nearest other image is another one: 0 of 6" in text
    assert "1.0000000 (median), 1.0000000 (least)" in text
    found = json.loads(called(f"onnx:{one}", f"onnx:{worse}", "--format", "json", *options).stdout)
    assert found["least_cosine"] < 0.99
    assert found["worst"].startswith("test/")
    assert [side["amp"] for side in found["sides"]] == ["off", "off"]


def test_two_files(tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    for name, values in (("a", x), ("b", 2 * x)):
        np.savez(tmp_path / f"{name}.npz", features=values)
    text = called(tmp_path / "a.npz", tmp_path / "b.npz").stdout
    assert "9 images, given features" in text
    assert "another one: 0 of 9" in text
    assert "worst image: row" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("resnet-tiny",), "A would stand beside itself; give B, or --amp or --weights twice"),
        (("resnet-tiny", "--amp", "bf16"), "A would stand beside itself"),
        (("resnet-tiny", *3 * ("--amp", "off")), "--amp is given 3 times; expected at most twice"),
        (("a.npz", "resnet-tiny"), "a.npz is a file of features; give two of them, or two backbones"),
        (("a.npz", "b.npz", "--amp", "bf16"), "--amp is for networks, and plays no role for two files of features"),
        (("a.npz", "b.npz", "--images", "9"), "--images is for networks"),
        (("a.npz", "b.npz", "--set", "onnx.size=[4,4]"), "--set is for networks"),
        (("resnet-tiny", "--images", "1"), "Invalid value for '--images'"),
        (("resnet-tiny", "--amp", "auto"), "'auto' is not one of"),
        (("nobody", "resnet-tiny"), "unknown backbone 'nobody'"),
    ],
)
def test_wrong_usage_is_told(arguments, told):
    if "nobody" in arguments:
        with pytest.raises(ConfigError, match=told):
            called(*arguments)
        return
    found = called(*arguments)
    assert found.exit_code == 2
    assert told in found.stderr

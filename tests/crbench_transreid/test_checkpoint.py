"""A checkpoint loads by its official keys in every wrapping, and is refused in one line unless it fits."""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from crbench_transreid import configs
from crbench_transreid.backbone import TransReIDBackbone
from transreid_weights import State, transreid

from crbench import load_backbone
from crbench.errors import DataError

pytestmark = pytest.mark.usefixtures("tiny")

Write = Callable[..., Path]
FULL: dict[str, Any] = {"sie": "camera", "jpm": True, "size": (64, 32)}
NETWORK: dict[str, Any] = {"classes": 3, "side": 4, "jpm": True}


def without(*beginnings: str) -> Callable[[State], State]:
    return lambda state: {key: tensor for key, tensor in state.items() if not key.startswith(beginnings)}


def replaced(key: str, tensor: torch.Tensor) -> Callable[[State], State]:
    return lambda state: {**state, key: tensor}


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
        lambda state: {"epoch": 120, "state_dict": state},
        lambda state: {"state_dict": {f"module.{key}": tensor for key, tensor in state.items()}},
        without("classifier", "base.fc."),
        without("base.blocks.1.", "base.norm."),
        lambda state: {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")},
    ],
    ids=["bare", "module", "state_dict", "both", "no-heads", "no-replaced-block", "no-counters"],
)
def test_key_name_variants_fill_the_network(wrap: Callable[[State], Any], write: Write) -> None:
    backbone = transreid(weights=write(wrap, **NETWORK), **FULL)
    state = torch.load(write(**NETWORK), weights_only=True)
    for key in backbone.report.matched:
        assert torch.equal(backbone.model.state_dict()[key], state[key])
    assert not backbone.report.unexpected


@pytest.mark.parametrize("classes", [0, 1, 751])
def test_the_number_of_classes_is_read_from_the_file(classes: int, write: Write) -> None:
    backbone = transreid(weights=write(classes=classes), size=(64, 32))
    heads = [tensor for key, tensor in backbone.model.state_dict().items() if key == "classifier.weight"]
    assert [len(head) for head in heads] == [classes] * bool(classes)


def test_a_head_that_does_not_fit_is_ignored(write: Write) -> None:
    path = write(replaced("classifier_2.weight", torch.zeros(9, 16)), **NETWORK)
    backbone = transreid(weights=path, **FULL)
    assert "classifier_2.weight" in backbone.report.ignored
    assert len(backbone.model.get_submodule("classifier_2").weight) == 3  # type: ignore[arg-type]


def test_the_report_names_every_key_once(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="crbench"):
        backbone = transreid(weights=write(without("base.fc."), **NETWORK), **FULL)
    report = backbone.report
    assert {"classifier.weight", "classifier_4.weight", "base.norm.bias", "base.blocks.1.norm1.bias"} <= set(
        report.ignored
    )
    assert report.missing == ("base.fc.bias", "base.fc.weight")
    keys = [*report.matched, *report.ignored, *report.missing]
    assert sorted(keys) == sorted(backbone.model.state_dict())
    expected = f"{len(report.matched)} matched, {len(report.ignored)} ignored, 2 missing, 0 unexpected"
    assert caplog.messages == [f"weights transformer_120.pth: {expected}"]


@pytest.mark.parametrize(
    ("change", "network", "options", "message"),
    [
        (
            dict,
            {"jpm": True},
            {},
            r"unexpected 44 tensors \(b1.0.attn.proj.bias, .*with the jigsaw patch module; ",
        ),
        (dict, {}, {"jpm": True}, r"lacks 44 tensors .*; it was trained without the jigsaw patch module"),
        (dict, {"side": 4}, {}, "4 embeddings of side information, which does not fit sie=none"),
        (dict, {}, {"sie": "camera"}, "no side information, which does not fit sie=camera"),
        (dict, {"side": 4}, {"sie": "both", "view_count": 3}, "4 rows, no multiple of view_count=3"),
        (dict, {"stride": 12}, {}, r"base.pos_embed has shape \(1, 11, 16\), expected \(1, 9, 16\); .*size or stride"),
        (dict, {"size": (96, 32)}, {}, r"base.pos_embed has shape \(1, 13, 16\)"),
        (dict, {}, {"architecture": "deit-small"}, "lacks 120 tensors .*it belongs to another network"),
        (without("bottleneck."), {}, {}, "lacks 4 tensors .*; it was trained without a BN neck"),
        (without("base.cls_token"), {}, {}, r"lacks 1 tensors \(base.cls_token\)"),
        (replaced("extra", torch.zeros(1)), {}, {}, r"unexpected 1 tensors \(extra\)"),
        (replaced("base.cls_token", torch.zeros(1, 1, 1)), {}, {}, r"cls_token has shape \(1, 1, 1\), expected"),
        (replaced("base.norm.bias", torch.zeros(1)), {}, {}, r"norm.bias has shape \(1,\), expected \(16,\)"),
        (replaced("base.cls_token", torch.full((1, 1, 16), torch.nan)), {}, {}, "cls_token holds NaN"),
        (replaced("bottleneck.running_var", torch.full((16,), torch.inf)), {}, {}, "running_var holds NaN or inf"),
        (replaced("base.sie_embed", torch.zeros(4, 16)), {}, {"sie": "camera"}, r"sie_embed has shape \(4, 16\)"),
        (replaced("base.sie_embed", torch.zeros(4, 1, 1)), {}, {"sie": "camera"}, r"sie_embed has shape \(4, 1, 1\)"),
        (replaced("classifier.weight", torch.zeros(4)), {}, {}, r"classifier.weight has shape \(4,\)"),
        (lambda state: [state], {}, {}, "expected named tensors, found list"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    change: Callable[[State], Any], network: dict[str, Any], options: dict[str, Any], message: str, write: Write
) -> None:
    path = write(change, **network)
    with pytest.raises(DataError, match=message) as caught:
        transreid(weights=path, **{"size": (64, 32), **options})
    assert str(caught.value).startswith(f"weights {path}: ")
    assert "\n" not in str(caught.value)


def test_one_camera_does_not_become_all(write: Write) -> None:
    backbone = transreid(weights=write(side=1), sie="camera", size=(64, 32))
    assert backbone.model.base.sie_embed is not None
    assert len(backbone.model.base.sie_embed) == 1


def test_a_truncated_file_is_refused(write: Write) -> None:
    path = write()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="damaged"):
        transreid(weights=path, size=(64, 32))


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"base.cls_token": Path}))
    with pytest.raises(DataError, match="not plain tensors"):
        transreid(weights=path)


def test_missing_weights_name_file_folder_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(DataError) as caught:
        load_backbone("transreid")
    for part in (str(tmp_path), "vit_transreid_market.pth", "https://github.com/damo-cv/TransReID", "--weights"):
        assert part in str(caught.value)
    assert re.search("--weights; or put the released vit_.*; or, to train: ImageNet weights", str(caught.value))
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="--weights") as caught:
        load_backbone("transreid/market-vit-sie")
    assert "released" not in str(caught.value)
    with pytest.raises(DataError, match="there is no such file"):
        TransReIDBackbone(weights=tmp_path / "gone.pth")


def test_every_released_file_belongs_to_a_preset_and_to_one_only() -> None:
    files = [file for released in configs.released().values() for file in released.files]
    assert set(configs.released()) <= set(configs.presets())
    assert len(set(files)) == len(files) == 18
    assert {"vit_transreid_msmt.pth", "vit_base_market.pth", "deit_transreid_vehicleID.pth"} <= set(files)


def test_the_released_file_of_the_preset_is_found_in_the_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path))
    write(classes=3, side=6, jpm=True, size=(256, 128), stride=12).rename(tmp_path / "vit_transreid_market.pth")
    write(classes=3, size=(256, 128)).rename(tmp_path / "vit_base_duke.pth")
    assert load_backbone("transreid").report.missing == ()
    assert load_backbone("transreid/duke-vit-base").dim == 16
    with pytest.raises(DataError, match=r"put the released vit_base_market\.pth into"):
        load_backbone("transreid/market-vit-base")

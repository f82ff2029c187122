"""ImageNet weights as the start of a training."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crbench_transreid.imagenet
import pytest
import timm
import torch
from crbench_transreid.imagenet import PRETRAINED
from crbench_transreid.network import TransReID
from crbench_transreid.vit import ARCHITECTURES, resize_position
from torch import Tensor
from transreid_weights import TINY, filled, transreid

from crbench.errors import ConfigError, DataError

SIZE = (64, 32)
"""4 x 2 patches."""


def imagenet(distilled: bool = False) -> dict[str, Tensor]:
    """Weights of the tiny transformer for images of 64 x 64, under timm's keys."""
    base = TransReID(TINY, (64, 64)).base.state_dict()
    tensors = {name: tensor for name, tensor in filled(base).items() if not name.startswith("fc.")}
    tensors |= {"head.weight": torch.zeros(1000, TINY.width), "head.bias": torch.zeros(1000)}
    if distilled:
        position = tensors["pos_embed"]
        token = torch.full((1, 1, TINY.width), 7.0)
        tensors["pos_embed"] = torch.cat([position[:, :1], token, position[:, 1:]], dim=1)
        tensors |= {"dist_token": token, "head_dist.bias": torch.zeros(1000)}
    return tensors


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path))
    return tmp_path


def put(folder: Path, tensors: object) -> Path:
    path = folder / PRETRAINED["vit-base"].file
    torch.save(tensors, path)
    return path


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("wrap", [dict, lambda tensors: {"model": tensors}])
def test_the_file_fills_the_network_and_its_positions_are_resized(
    distilled: bool, wrap: Callable[[Any], Any], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(folder, wrap(imagenet(distilled)))
    with caplog.at_level(logging.INFO, logger="crbench"):
        state = transreid(size=SIZE, jpm=True).state()
    expected = imagenet()
    for name, tensor in expected.items():
        if not name.startswith(("head", "pos_embed")):
            assert torch.equal(state[f"base.{name}"], tensor)
    assert torch.equal(state["base.pos_embed"], resize_position(expected["pos_embed"], (4, 2)))
    last = f"blocks.{TINY.depth - 1}."
    for name, tensor in expected.items():
        if name.startswith(last):
            for branch in ("b1", "b2"):
                assert torch.equal(state[f"{branch}.0.{name.removeprefix(last)}"], tensor)
    assert f"{len(expected) - 2} matched, {4 if distilled else 2} ignored, 2 missing" in caplog.text


@pytest.mark.usefixtures("tiny")
def test_a_missing_file_says_how_to_use_or_to_train(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        transreid(size=SIZE)
    line = str(caught.value)
    for part in (
        "give a checkpoint",
        str(folder),
        "--weights",
        "backbone.pretrained",
    ):
        assert part in line
    assert PRETRAINED["vit-base"].file in line
    assert "\n" not in line


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("norm.weight"), r"lacks 1 tensors \(norm.weight\)"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), r"holds unexpected 1 tensors \(extra\)"),
        (lambda tensors: tensors.update(cls_token=torch.zeros(1, 1, 5)), r"cls_token has shape \(1, 1, 5\)"),
        (lambda tensors: tensors["norm.bias"].fill_(torch.nan), "norm.bias holds NaN"),
        (lambda tensors: tensors.update(pos_embed=torch.zeros(1, 4, 16)), "pos_embed has shape .* a square grid"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: Callable[[dict[str, Tensor]], Any], message: str, folder: Path
) -> None:
    tensors = imagenet()
    change(tensors)
    path = put(folder, tensors)
    with pytest.raises(DataError, match=message) as caught:
        transreid(size=SIZE)
    assert str(path) in str(caught.value)


@pytest.mark.usefixtures("tiny")
def test_the_hub_gives_the_same_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, imagenet())
    asked: list[str] = []

    def fetch(name: str, **_options: Any) -> dict[str, Tensor]:
        asked.append(name)
        return imagenet()

    monkeypatch.setattr(crbench_transreid.imagenet, "load_state_dict_from_hf", fetch)
    local, hub = (transreid(size=SIZE, pretrained=source).state() for source in ("imagenet", "hub"))
    assert asked == ["timm/vit_base_patch16_224.orig_in21k_ft_in1k"]
    assert all(torch.equal(tensor, hub[name]) for name, tensor in local.items())


@pytest.mark.usefixtures("tiny")
def test_without_a_network_the_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **_options: Any) -> None:
        raise OSError(f"no connection to fetch {name}\nand more")

    monkeypatch.setattr(crbench_transreid.imagenet, "load_state_dict_from_hf", fail)
    with pytest.raises(DataError, match=r"cannot be fetched from the hub \(no connection .*jx_vit_base.*=imagenet$"):
        transreid(size=SIZE, pretrained="hub")


def test_weights_that_nobody_has_are_said_to_be_unknown() -> None:
    with pytest.raises(ConfigError, match="the ImageNet weights of vit-small are not on the hub; choose imagenet"):
        transreid(architecture="vit-small", pretrained="hub")
    with pytest.raises(ConfigError, match="no ImageNet weights are known for vit-tiny; choose pretrained=none"):
        transreid(architecture="vit-tiny", pretrained="imagenet")


@pytest.mark.parametrize("architecture", [name for name, known in PRETRAINED.items() if known.hub])
def test_timm_has_these_networks_with_our_keys_and_shapes(architecture: str) -> None:
    hub = PRETRAINED[architecture].hub
    assert hub is not None
    with torch.device("meta"):
        theirs = timm.create_model(hub.removeprefix("timm/")).state_dict()
        base = TransReID(ARCHITECTURES[architecture], (224, 224)).base.state_dict()
    shapes = {name: tensor.shape for name, tensor in theirs.items() if "dist" not in name and "head" not in name}
    ours = {name: tensor.shape for name, tensor in base.items() if not name.startswith("fc.")}
    if "distilled" in hub:
        rows, width = shapes["pos_embed"][1:]
        shapes["pos_embed"] = torch.Size([1, rows - 1, width])
    assert shapes == ours

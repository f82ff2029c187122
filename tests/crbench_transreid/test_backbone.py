"""The backbone: presets, parameters, features and the policy for cameras."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crbench_transreid.backbone import TransReIDBackbone
from crbench_transreid.configs import presets
from torch import Tensor
from transreid_weights import images, transreid

from crbench.data.preprocess import Preprocess
from crbench.errors import ConfigError, DataError
from crbench.records import Batch
from crbench.registry.discovery import discover

SMALL: dict[str, Any] = {"size": (64, 32)}
Write = Callable[..., Path]


def batch(camids: list[int]) -> Batch:
    # one image for all, so that only the camera tells them apart
    inputs = images(1, SMALL["size"]).expand(len(camids), -1, -1, -1)
    rates = np.ones(len(camids), dtype=np.float32)
    return Batch(inputs=inputs, rates=rates, camids=np.array(camids, dtype=np.int64))


def features(backbone: TransReIDBackbone, rows: Tensor) -> Tensor:
    """What the network gives for the one image with side information `rows` f32[b, width]."""
    with torch.inference_mode():
        before: Tensor = backbone.model(batch([1] * len(rows)).inputs, rows)[0]
    return before


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("policy", ["error", "zero", "mean"])
def test_known_cameras_count_from_one(policy: str, write: Write) -> None:
    backbone = transreid(weights=write(side=3), sie="camera", cameras=policy, **SMALL)
    assert backbone.model.base.sie_embed is not None
    table = backbone.model.base.sie_embed[:, 0]
    x = backbone.extract(batch([1, 3, 2])).x
    torch.testing.assert_close(x, features(backbone, table[[0, 2, 1]]))
    assert not torch.allclose(x[0], x[1])


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("strange", [-1, 0, 4, 99])
def test_unknown_cameras_follow_the_policy_and_are_never_wrapped(strange: int, write: Write) -> None:
    path = write(side=3)
    rows = batch([1, strange])
    with pytest.raises(DataError, match=f"camera {strange} is not among cameras 1 to 3 .*backbone.cameras=mean"):
        transreid(weights=path, sie="camera", **SMALL).extract(rows)
    for policy in ("zero", "mean"):
        backbone = transreid(weights=path, sie="camera", cameras=policy, **SMALL)
        assert backbone.model.base.sie_embed is not None
        table = backbone.model.base.sie_embed.detach()[:, 0]
        row = table.mean(dim=0) if policy == "mean" else torch.zeros(16)
        torch.testing.assert_close(backbone.extract(rows).x, features(backbone, torch.stack([table[0], row])))


@pytest.mark.usefixtures("tiny")
def test_without_side_information_any_camera_will_do(write: Write) -> None:
    x = transreid(weights=write(), **SMALL).extract(batch([-1, 1, 99])).x
    torch.testing.assert_close(x, x[:1].expand(3, -1))


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("kind", "count"), [("both", 6), ("view", 2)])
def test_views_need_a_policy(kind: str, count: int, write: Write) -> None:
    path = write(side=count)
    options = {"sie": kind, "view_count": 2, **SMALL}
    with pytest.raises(DataError, match=r"view labels, which data sets do not carry; .*backbone.views=mean"):
        transreid(weights=path, **options).extract(batch([1, 2]))
    backbone = transreid(weights=path, views="mean", **options)
    assert backbone.model.base.sie_embed is not None
    table = backbone.model.base.sie_embed.detach()[:, 0]
    rows = table.reshape(3, 2, 16).mean(dim=1)[[0, 1]] if kind == "both" else table.mean(dim=0).expand(2, -1)
    torch.testing.assert_close(backbone.extract(batch([1, 2])).x, features(backbone, rows))
    zero = transreid(weights=path, views="zero", **options).extract(batch([1, 2])).x
    torch.testing.assert_close(zero, features(backbone, torch.zeros(2, 16)))


@pytest.mark.usefixtures("tiny")
def test_features_before_and_after_the_neck(write: Write) -> None:
    path = write(jpm=True)
    before = transreid(weights=path, jpm=True, **SMALL)
    after = transreid(weights=path, jpm=True, feature="after", **SMALL)
    with torch.inference_mode():
        expected = before.model(batch([1]).inputs)
    for backbone, x in zip((before, after), expected, strict=True):
        encoded = backbone.extract(batch([1]))
        assert backbone.dim == encoded.x.shape[1] == 80
        assert encoded.dims is None
        assert not encoded.x.is_inference()
        assert torch.equal(encoded.x, x)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("architecture", "vit-huge", "architecture: 'vit-huge' is not one of .*vit-base, .*vit-tiny"),
        ("sie", "cam", "sie: 'cam' is not one of .*view, both"),
        ("feature", "neck", "feature: 'neck' is not one of before, after"),
        ("cameras", "wrap", "cameras: 'wrap' is not one of error, zero, mean"),
        ("views", "wrap", "views: 'wrap' is not one of error, zero, mean"),
        ("size", (256, 8), "size: 8 is out of range; expected a value at least 16"),
        ("stride", 0, "stride: 0 is out of range; expected a value at least 1"),
        ("stride", 17, "stride: 17 is out of range; expected a value at most 16"),
        ("view_count", 0, "view_count: 0 is out of range"),
        ("pretrained", "yes", "pretrained: 'yes' is not one of imagenet, hub, none"),
        ("shift", 0, "shift: 0 is out of range"),
    ],
)
def test_parameters_out_of_range_are_refused(parameter: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        transreid(**{parameter: value})


def test_the_entry_has_a_preset_for_each_published_configuration() -> None:
    registry = discover([EntryPoint("transreid", "crbench_transreid", "crbench")])
    entry = registry.get("backbone", "transreid").entry
    assert entry.presets["vit-transreid-stride"] == entry.presets["market-vit-transreid-stride"]
    assert "vit-transreid-stride" not in entry.released
    assert len(entry.presets) == 42 + 1
    assert next(iter(entry.presets)) == "market-vit-transreid-stride"
    assert not any("/" in name or "_" in name for name in entry.presets)
    market = {name.removeprefix("market-") for name in entry.presets if name.startswith("market-")}
    assert market == {
        "vit-base",
        "vit-sie",
        "vit-jpm",
        "vit-transreid",
        "vit-transreid-stride",
        "vit-transreid-384",
        "vit-transreid-stride-384",
        "deit-transreid-stride",
    }


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("preset", "preprocess"),
    [
        ("duke-deit-transreid-stride", Preprocess()),
        ("msmt17-vit-transreid-384", Preprocess(size=(384, 128))),
        ("veri-vit-base", Preprocess(size=(256, 256))),
        (
            "vehicleid-deit-transreid",
            Preprocess(size=(256, 256), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        ),
    ],
)
def test_preprocessing_belongs_to_the_preset(preset: str, preprocess: Preprocess, write: Write) -> None:
    chosen = {**presets()[preset], "architecture": "vit-base"}
    side = 4 if chosen.get("sie") == "camera" else 0
    path = write(size=preprocess.size, stride=chosen.get("stride", 16), jpm=chosen.get("jpm", False), side=side)
    backbone = transreid(weights=path, **chosen)
    assert backbone.preprocess == preprocess
    assert backbone.preprocess.interpolation == "bilinear"


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("jpm", [False, True])
@pytest.mark.parametrize("classes", [0, 9])
def test_parameters_are_those_that_features_depend_on(classes: int, jpm: bool, write: Write) -> None:
    """By hand: no classifier, and with the jigsaw patch module neither the last block nor the norm that it replaces."""
    backbone = transreid(weights=write(classes=classes, side=3, jpm=jpm), sie="camera", jpm=jpm, **SMALL)
    width, depth, patches, norm = 16, 2, (64 // 16) * (32 // 16), 2 * 16
    block = 2 * norm + (width + 1) * 3 * width + (width + 1) * width + (width + 1) * 4 * width + (4 * width + 1) * width
    tokens = 3 * 16 * 16 * width + width + width * (1 + patches + 1) + 3 * width
    branches = 2 * (block + norm) + 5 * norm if jpm else block + norm + norm
    assert backbone.parameter_count == tokens + (depth - 1) * block + branches

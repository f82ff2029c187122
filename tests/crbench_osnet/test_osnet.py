"""OSNet: the model zoo's files load by their names, and the numbers are those of the paper's architecture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from crbench_osnet import released
from crbench_osnet.backbone import OSNetBackbone
from crbench_osnet.network import VARIANTS, OSNet

from crbench import load_backbone
from crbench.data.preprocess import Preprocess
from crbench.errors import DataError
from crbench.records import Batch
from crbench.registry.weight_files import find_released
from crbench.testing import check_backbone

Patch = pytest.MonkeyPatch
State = dict[str, torch.Tensor]
SIZE = (64, 32)


def norm(name: str, channels: int, *, instance: bool = False) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
    if not instance:
        statistics = ("running_mean", "running_var")
        found |= {f"{name}.{statistic}": (channels,) for statistic in statistics} | {f"{name}.num_batches_tracked": ()}
    return found


def light(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    shapes = {f"{name}.conv1.weight": (channels, channels, 1, 1), f"{name}.conv2.weight": (channels, 1, 3, 3)}
    return {**shapes, **norm(f"{name}.bn", channels)}


def block(name: str, inputs: int, outputs: int, streams: list[list[str]], instance: str) -> dict[str, tuple[int, ...]]:
    middle, gate = outputs // 4, outputs // 64
    shapes = {f"{name}.conv1.conv.weight": (middle, inputs, 1, 1), **norm(f"{name}.conv1.bn", middle)}
    for stream in streams:
        for part in stream:
            shapes |= light(f"{name}.{part}", middle)
    shapes |= {f"{name}.gate.fc1.weight": (gate, middle, 1, 1), f"{name}.gate.fc1.bias": (gate,)}
    shapes |= {f"{name}.gate.fc2.weight": (middle, gate, 1, 1), f"{name}.gate.fc2.bias": (middle,)}
    shapes[f"{name}.conv3.conv.weight"] = (outputs, middle, 1, 1)
    if instance != "in":
        shapes |= norm(f"{name}.conv3.bn", outputs)
    if inputs != outputs:
        shapes |= {f"{name}.downsample.conv.weight": (outputs, inputs, 1, 1)} | norm(f"{name}.downsample.bn", outputs)
    return shapes | (norm(f"{name}.IN", outputs, instance=True) if instance else {})


FLAT = [["conv2a"], *([f"conv2{letter}.{i}" for i in range(n)] for letter, n in (("b", 2), ("c", 3), ("d", 4)))]
NESTED = [[f"conv2.{stream}.layers.{i}" for i in range(stream + 1)] for stream in range(4)]


def zoo_shapes(channels: tuple[int, ...], kind: str, classes: int = 751) -> dict[str, tuple[int, ...]]:
    """Key names and shapes of a file of the model zoo, written down apart from the network."""
    kinds = {"": ["", ""] * 3, "ibn": ["out", "out", "", "", "", ""], "ain": ["in", "in", "", "in", "in", ""]}[kind]
    stem, *stages = channels
    shapes = {"conv1.conv.weight": (stem, 3, 7, 7), **norm("conv1.bn", stem, instance=bool(kind))}
    inputs = stem
    for number, width in enumerate(stages, start=2):
        for position, inner in enumerate((inputs, width)):
            instance = kinds[2 * (number - 2) + position]
            shapes |= block(f"conv{number}.{position}", inner, width, NESTED if kind == "ain" else FLAT, instance)
        if number < 4:
            name = f"pool{number}.0" if kind == "ain" else f"conv{number}.2.0"
            shapes |= {f"{name}.conv.weight": (width, width, 1, 1)} | norm(f"{name}.bn", width)
        inputs = width
    shapes |= {"conv5.conv.weight": (inputs, inputs, 1, 1)} | norm("conv5.bn", inputs)
    shapes |= {"fc.0.weight": (512, inputs), "fc.0.bias": (512,)} | norm("fc.1", 512)
    return shapes | {"classifier.weight": (classes, 512), "classifier.bias": (classes,)}


FAMILY = {
    "x1_0": ((64, 256, 384, 512), ""),
    "x0_75": ((48, 192, 288, 384), ""),
    "x0_5": ((32, 128, 192, 256), ""),
    "x0_25": ((16, 64, 96, 128), ""),
    "ibn_x1_0": ((64, 256, 384, 512), "ibn"),
    "ain_x1_0": ((64, 256, 384, 512), "ain"),
    "ain_x0_75": ((48, 192, 288, 384), "ain"),
    "ain_x0_5": ((32, 128, 192, 256), "ain"),
    "ain_x0_25": ((16, 64, 96, 128), "ain"),
}


def zoo_state(variant: str, classes: int = 751) -> State:
    """Random weights under the zoo's names."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in zoo_shapes(*FAMILY[variant], classes).items():
        fan = max(1, int(np.prod(shape[1:])))
        state[name] = torch.randn(shape, generator=generator) / fan**0.5
        if name.endswith("running_var"):
            state[name] = state[name].abs() + 0.5
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
    return state


@pytest.mark.parametrize("variant", FAMILY)
def test_a_file_with_the_zoos_names_loads(variant: str, tmp_path: Path) -> None:
    state = zoo_state(variant)
    torch.save(state, tmp_path / "zoo.pth")
    backbone = load_backbone(f"osnet/{variant}", weights=tmp_path / "zoo.pth")
    loaded = backbone.model.state_dict()  # type: ignore[union-attr]
    assert set(loaded) == {name for name in state if not name.startswith("classifier.")}
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())


def test_every_variant_is_a_preset() -> None:
    assert set(FAMILY) == set(VARIANTS)


@pytest.mark.parametrize("wrap", ["plain", "data-parallel", "checkpoint", "other-classes", "no-classes"])
def test_how_a_file_was_saved_does_not_matter(wrap: str, tmp_path: Path) -> None:
    state: State = zoo_state("x0_25", classes=4101 if wrap == "other-classes" else 751)
    if wrap == "no-classes":
        state = {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}
    named = {f"module.{name}" if wrap == "data-parallel" else name: tensor for name, tensor in state.items()}
    content = {"state_dict": named, "epoch": 60, "rank1": np.float32(0.9)} if wrap == "checkpoint" else named
    torch.save(content, tmp_path / "zoo.pth.tar-60")
    model = OSNetBackbone(weights=tmp_path / "zoo.pth.tar-60", variant="x0_25").model
    assert torch.equal(model.state_dict()["conv5.conv.weight"], state["conv5.conv.weight"])


def test_it_is_a_backbone(tmp_path: Path) -> None:
    torch.save(zoo_state("ain_x0_25"), tmp_path / "zoo.pth")
    check_backbone(lambda: OSNetBackbone(weights=tmp_path / "zoo.pth", variant="ain_x0_25", size=SIZE))
    backbone = OSNetBackbone(weights=tmp_path / "zoo.pth", variant="ain_x0_25")
    assert backbone.preprocess == Preprocess((256, 128), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")


@pytest.mark.parametrize(("variant", "millions"), [("x1_0", 2.2), ("x0_75", 1.3), ("x0_5", 0.6), ("x0_25", 0.2)])
def test_size_is_the_published_one(variant: str, millions: float) -> None:
    count = sum(parameter.numel() for parameter in OSNet(VARIANTS[variant]).parameters())
    assert round(count / 1e6, 1) == millions


def test_the_stages_shrink_as_published() -> None:
    shapes = {}
    model = OSNet(VARIANTS["x0_25"]).eval()
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        model.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    model(torch.zeros(1, 3, 256, 128))
    assert shapes == {
        "conv1": (16, 128, 64),
        "conv2": (64, 32, 16),
        "conv3": (96, 16, 8),
        "conv4": (128, 16, 8),
        "conv5": (128, 16, 8),
    }


def test_instance_normalisation_makes_features_blind_to_contrast(tmp_path: Path) -> None:
    """What the IBN stem is for; the plain stem sees it."""
    inputs = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    change = {}
    for variant in ("x1_0", "ibn_x1_0"):
        torch.save(zoo_state(variant), tmp_path / f"{variant}.pth")
        model = OSNetBackbone(weights=tmp_path / f"{variant}.pth", variant=variant, size=SIZE)
        x, brighter = (
            model.extract(Batch(y, np.ones(2, dtype=np.float32), np.ones(2, dtype=np.int64))).x
            for y in (inputs, 3 * inputs)
        )
        change[variant] = float((x - brighter).abs().max() / x.abs().max())
    assert change["ibn_x1_0"] < 1e-2 < change["x1_0"]


@pytest.mark.parametrize(
    ("variant", "edit", "message"),
    [
        ("x0_5", lambda s: s, r"conv1\.conv\.weight has shape \(16, 3, 7, 7\), expected \(32, 3, 7, 7\)"),
        ("ain_x0_25", lambda s: s, r"lacks \d+ of \d+ tensors .* belongs to another architecture"),
        ("x0_25", lambda s: s | {"fc.0.weight": s["fc.0.weight"] * np.nan}, r"fc\.0\.weight holds NaN"),
        ("x0_25", lambda s: {k: v for k, v in s.items() if not k.startswith("fc.")}, r"lacks 6 of \d+ tensors \(fc\.0"),
        ("x0_25", lambda s: s | {"attention.weight": torch.ones(1)}, r"unexpected 1 of \d+ tensors \(attention"),
    ],
)
def test_files_that_do_not_fit(variant: str, edit: object, message: str, tmp_path: Path) -> None:
    torch.save(edit(zoo_state("x0_25")), tmp_path / "zoo.pth")  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        OSNetBackbone(weights=tmp_path / "zoo.pth", variant=variant)


def test_without_weights_it_says_where_they_are() -> None:
    with pytest.raises(
        DataError, match=r"--weights; or put .*osnet_ain_x1_0_market\*\.pth, .* \(from https://.*MODEL_ZOO"
    ):
        load_backbone("osnet/ain_x1_0")
    with pytest.raises(DataError, match=r"give a file for ain_x0_5 with --weights$"):
        load_backbone("osnet/ain_x0_5")


@pytest.mark.parametrize(
    ("settings", "message"), [({"variant": "x2_0"}, "not one of x1_0"), ({"size": (8, 8)}, "size")]
)
def test_parameters_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OSNetBackbone(**settings)  # type: ignore[arg-type]


AIN_END = "coslr_b64_fb10_softmax_labsmth_flip_jitter.pth"
ZOO = {
    "osnet_x1_0_market_256x128_amsgrad_ep150_stp60_lr0.0015_b64_fb10_softmax_labelsmooth_flip.pth": "x1_0",
    "osnet_x0_75_duke_256x128_amsgrad_ep150_stp60_lr0.0015_b64_fb10_softmax_labelsmooth_flip.pth": "x0_75",
    "osnet_x0_5_msmt17_256x128_amsgrad_ep180_stp80_lr0.003_b128_fb10_softmax_labelsmooth_flip.pth": "x0_5",
    "osnet_x0_25_msmt17_combineall_256x128_amsgrad_ep150_stp60_lr0.0015_b64_fb10_softmax_labelsmooth_flip_jitter.pth": (
        "x0_25"
    ),
    "osnet_ibn_x1_0_duke_256x128_amsgrad_ep150_stp60_lr0.0015_b64_fb10_softmax_labelsmooth_flip.pth": "ibn_x1_0",
    f"osnet_ain_x1_0_market1501_256x128_amsgrad_ep100_lr0.0015_{AIN_END}": "ain_x1_0",
    f"osnet_ain_x1_0_dukemtmcreid_256x128_amsgrad_ep90_lr0.0015_{AIN_END}": "ain_x1_0",
    "osnet_x1_0_market.pth": "x1_0",
    "osnet_x1_0_imagenet.pth": None,
    "osnet_ain_x0_5_imagenet.pyth": None,
}
"""File names of the zoo, and the preset that finds each."""


@pytest.mark.parametrize("file", ZOO)
def test_files_of_the_zoo_are_found_by_the_preset_that_they_fit(file: str, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path))
    (tmp_path / file).touch()
    finding = [variant for variant in VARIANTS if find_released(released(variant)) is not None]
    assert finding == ([ZOO[file]] if ZOO[file] else [])


def test_a_file_of_the_zoo_in_the_weights_folder_loads_by_itself(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path))
    torch.save(zoo_state("x0_25"), tmp_path / "osnet_x0_25_duke_256x128.pth")
    assert load_backbone("osnet/x0_25").dim == 512
    torch.save(zoo_state("x0_25"), tmp_path / "osnet_x0_25_market.pth")
    with pytest.raises(DataError, match="several released weights fit"):
        load_backbone("osnet/x0_25")

"""The backbones as a run uses them: build, train, keep, load, extract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import crbench_timm
import numpy as np
import pytest
import safetensors.torch
import torch
from crbench_timm.backbone import TimmBackbone
from PIL import Image

from crbench import load_backbone
from crbench.api.capabilities import Trainable
from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone
from crbench.errors import ConfigError, DataError
from crbench.records import Batch, Row, Samples
from crbench.training import Recipe
from crbench.training.recipe import learning_rate

SHORT: dict[str, Any] = {"epochs": 1, "identities": 4, "images": 2}


def build(weights: Path | None = None, **parameters: Any) -> TimmBackbone:
    """The backbone with parameters as users set them."""
    return load_backbone("resnet-tiny", weights, **parameters)  # type: ignore[return-value]


def read(row: Row) -> Image.Image:
    pattern = np.random.default_rng(row.pid).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    return Image.fromarray(pattern).resize((32, 64))


ROWS = Samples(keys=[str(i) for i in range(16)], pids=np.repeat([3, 5, 8, 9], 4))


def batch(count: int, backbone: TimmBackbone, seed: int = 0) -> Batch:
    inputs = torch.randn(count, 3, *backbone.preprocess.size, generator=torch.Generator().manual_seed(seed))
    return Batch(inputs=inputs, rates=np.ones(count, dtype=np.float32), camids=np.ones(count, dtype=np.int64))


@pytest.fixture(scope="module")
def trained() -> TimmBackbone:
    return build(**SHORT).train(ROWS, read, run=RunContext(seed=1))


def test_it_is_a_trainable_backbone() -> None:
    backbone = build()
    assert isinstance(backbone, Backbone)
    assert isinstance(backbone, Trainable)


def test_training_is_repeatable_and_leaves_the_original_and_the_global_generator(trained: TimmBackbone) -> None:
    generator = torch.random.get_rng_state()
    untrained = build(**SHORT)
    before = untrained.state()
    again = untrained.train(ROWS, read, run=RunContext(seed=1))
    assert all(torch.equal(tensor, trained.state()[name]) for name, tensor in again.state().items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in untrained.state().items())
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_the_seed_decides_the_initial_weights() -> None:
    frozen = build(**SHORT, lr=1e-30, weight_decay=0.0)
    first, second = (
        frozen.train(ROWS, read, run=RunContext(seed=seed)).state()["body.conv1.0.weight"] for seed in (1, 2)
    )
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_state_gives_the_same_backbone_again(trained: TimmBackbone, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    safetensors.torch.save_file(dict(trained.state()), path) if suffix == ".safetensors" else torch.save(
        trained.state(), path
    )
    loaded = build(weights=path)
    assert torch.equal(loaded.extract(batch(4, loaded)).x, trained.extract(batch(4, trained)).x)


def test_training_goes_on_from_given_weights(trained: TimmBackbone, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(dict(trained.state()), path)
    tuned = build(weights=path, **SHORT, lr=1e-30, weight_decay=0.0).train(ROWS, read, run=RunContext(seed=7))
    for name, parameter in tuned.model.named_parameters():
        torch.testing.assert_close(parameter, dict(trained.model.named_parameters())[name])


def test_features_are_ordinary_float32_of_length_dim(trained: TimmBackbone) -> None:
    encoded = trained.extract(batch(3, trained))
    assert encoded.x.shape == (3, trained.dim) == (3, 256)
    assert encoded.x.dtype == torch.float32
    assert encoded.dims is None
    assert not encoded.x.is_inference()
    assert torch.isfinite(encoded.x).all()


@pytest.mark.parametrize("size", [1, 5, 16])
def test_a_row_does_not_depend_on_the_other_rows_of_its_batch(trained: TimmBackbone, size: int) -> None:
    original = batch(size, trained)
    features = trained.extract(original).x
    for row in range(size):
        others = batch(size, trained, seed=row + 1)
        others.inputs[size - 1 - row] = original.inputs[row]
        assert torch.equal(trained.extract(others).x[size - 1 - row], features[row])


def test_the_neck_lies_between_the_two_features(trained: TimmBackbone) -> None:
    after = trained.extract(batch(4, trained)).x
    other = build(feature="before")
    other.model.load_state_dict(trained.model.state_dict())
    before = other.extract(batch(4, other)).x
    torch.testing.assert_close(trained.model.neck(before).detach(), after)
    assert not torch.equal(before, after)


def test_the_last_stage_of_resnet50_keeps_the_resolution() -> None:
    backbone = build(architecture="resnet50")
    with torch.inference_mode():
        maps = backbone.model.body.forward_features(torch.zeros(1, 3, 256, 128))
    assert maps.shape == (1, 2048, 16, 8)
    assert backbone.dim == 2048
    assert backbone.preprocess.size == (256, 128)


def test_missing_imagenet_weights_are_named_with_folder_source_and_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(DataError, match="ImageNet weights of resnet50") as caught:
        build(architecture="resnet50", pretrained="imagenet")
    message = str(caught.value)
    for part in (str(tmp_path), "resnet50-0676ba61.pth", "https://", "--set backbone.pretrained=none"):
        assert part in message


def test_imagenet_weights_fill_the_body_and_their_head_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path))
    body = build(architecture="resnet50").model.body.state_dict()
    body["conv1.weight"] = torch.full_like(body["conv1.weight"], 0.25)
    torch.save({**body, "fc.weight": torch.zeros(1000, 2048)}, tmp_path / "resnet50-0676ba61.pth")
    backbone = build(architecture="resnet50", pretrained="imagenet")
    assert (backbone.model.body.conv1.weight == 0.25).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"architecture": "resnet18"}, "architecture: 'resnet18' is not one of resnet-tiny, resnet50"),
        ({"pretrained": "yes"}, "pretrained: 'yes' is not one of none, imagenet"),
        ({"pretrained": "imagenet"}, "no ImageNet weights are known for resnet-tiny"),
        ({"feature": "middle"}, "feature: 'middle' is not one of before, after"),
        ({"lr": -1.0}, "lr: -1.0 is out of range; expected a value above 0"),
    ],
)
def test_a_bad_parameter_is_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**parameters)


def test_weights_of_another_architecture_are_refused(trained: TimmBackbone, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(dict(trained.state()), path)
    with pytest.raises(DataError, match="belongs to another architecture"):
        build(architecture="resnet50", weights=path)


def test_the_presets_hold_parameters_of_the_class_and_the_published_recipe() -> None:
    for entry in crbench_timm.crbench_backbones():
        for name, preset in entry.presets.items():
            assert build(**{**preset, "pretrained": "none"}).recipe == Recipe(), name


def test_resnet50_is_the_strong_baseline_of_the_paper() -> None:
    """Luo et al., CVPRW 2019, Sec. 2 and 3, in numbers of its own."""
    backbone = build(**{**crbench_timm.BAG_OF_TRICKS, "pretrained": "none"})
    recipe = backbone.recipe
    rates = [learning_rate(recipe, epoch) for epoch in (0, 10, 39, 40, 69, 70, 119)]
    assert rates == pytest.approx([3.5e-5, 3.5e-4, 3.5e-4, 3.5e-5, 3.5e-5, 3.5e-6, 3.5e-6])
    assert (recipe.epochs, recipe.identities, recipe.images, recipe.optimizer) == (120, 16, 4, "adam")
    assert (recipe.label_smoothing, recipe.flip, recipe.pad, recipe.erase) == (0.1, 0.5, 10, 0.5)
    neck = backbone.model.neck
    assert not neck.bias.requires_grad
    assert not neck.bias.any()
    x = backbone.extract(batch(2, backbone)).x
    with torch.inference_mode():
        _, after = backbone.model(batch(2, backbone).inputs)
    torch.testing.assert_close(x, after, msg="inference takes the features after the neck")


def test_fields_of_the_recipe_are_set_as_parameters() -> None:
    recipe = attrs.evolve(TimmBackbone().recipe, epochs=1)
    assert build(epochs=1).recipe == TimmBackbone(recipe=recipe).recipe == recipe


def test_the_file_that_training_starts_from_is_known_without_building(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path))
    assert TimmBackbone.starting_file(architecture="resnet50", pretrained="none", epochs=1) is None
    with pytest.raises(DataError, match="ImageNet weights of resnet50 are not in"):
        TimmBackbone.starting_file(architecture="resnet50", pretrained="imagenet")
    (tmp_path / "resnet50-0676ba61.pth").write_bytes(b"")
    found = TimmBackbone.starting_file(architecture="resnet50", pretrained="imagenet")
    assert found == tmp_path / "resnet50-0676ba61.pth"

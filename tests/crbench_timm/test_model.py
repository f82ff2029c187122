"""`timm:MODEL`: timm's own features and preprocessing, weights from a file, other sizes, clear words for the rest."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import timm
import torch
from crbench_timm.model import TimmModel
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch.nn import BatchNorm2d

from crbench import load_backbone
from crbench.errors import ConfigError, DataError
from crbench.testing import check_backbone


def saved(name: str, path: Path, **changes: torch.Tensor) -> Path:
    """Random weights of a timm model with its classifier, and some tensors replaced."""
    torch.manual_seed(0)
    state = timm.create_model(name, pretrained=False).state_dict()
    save_file({key: tensor.contiguous() for key, tensor in {**state, **changes}.items()}, path)
    return path


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
@pytest.mark.parametrize("size", [(), (96, 48)])
def test_a_timm_model_is_a_backbone(name: str, size: tuple[int, ...], tmp_path: Path) -> None:
    file = saved(name, tmp_path / "w.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backbone = TimmModel(name, weights=file, size=size)
        check_backbone(lambda: backbone)
    assert backbone.preprocess.size == (size or (160, 160))
    left = [module for module in backbone.for_inference().model.modules() if isinstance(module, BatchNorm2d)]
    assert not left
    assert backbone.weights_sha256 is None


def test_features_and_preprocessing_are_timms_own(tmp_path: Path) -> None:
    file = saved("test_vit", tmp_path / "w.safetensors")
    backbone = load_backbone("timm:test_vit", weights=file)
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False).eval()
    inputs = torch.randn(2, 3, 160, 160)
    expected = model.forward_head(model.forward_features(inputs), pre_logits=True)
    torch.testing.assert_close(backbone.model(inputs), expected)  # type: ignore[union-attr]
    own = timm.data.resolve_data_config(model=model)
    preprocess = backbone.preprocess  # type: ignore[union-attr]
    assert (preprocess.mean, preprocess.std, preprocess.interpolation) == (
        own["mean"],
        own["std"],
        own["interpolation"],
    )


def test_position_embeddings_are_resized_as_timm_does(tmp_path: Path) -> None:
    file = saved("test_vit", tmp_path / "w.safetensors")
    model = timm.create_model("test_vit", pretrained=False, num_classes=0).eval()
    model.load_state_dict({key: tensor for key, tensor in load_file(file).items() if not key.startswith("head.")})
    model.set_input_size(img_size=(96, 48))
    inputs = torch.randn(2, 3, 96, 48)
    backbone = TimmModel("test_vit", weights=file, size=(96, 48))
    torch.testing.assert_close(backbone.model(inputs), model(inputs))


def test_preprocessing_can_be_changed(tmp_path: Path) -> None:
    file = saved("test_resnet", tmp_path / "w.safetensors")
    half = (0.5, 0.5, 0.5)
    backbone = TimmModel("test_resnet", weights=file, size=(32, 16), mean=half, std=half, interpolation="bilinear")
    preprocess = backbone.preprocess
    assert (preprocess.size, preprocess.mean, preprocess.std) == ((32, 16), half, half)
    assert preprocess.interpolation == "bilinear"


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        ("resnet5O", {}, ConfigError, "has no model 'resnet5O'; did you mean resnet50"),
        ("qqqqqqqq", {}, ConfigError, r"timm\.list_models\(\) has all names"),
        ("test_vit.other", {}, ConfigError, "Invalid pretrained tag"),
        ("test_vit", {"size": (97, 48)}, ConfigError, "test_vit does not take images of 97x48"),
        ("test_resnet", {"size": (0, 48)}, ValueError, "must be positive"),
        ("test_resnet", {"size": (48,)}, ValueError, r"size: \(48,\) has 1 numbers; expected 2"),
        ("test_resnet", {"mean": (0.5,)}, ValueError, "mean: .* expected 3"),
        ("test_resnet", {"std": (0.5, 0.0, 0.5)}, ValueError, "must be positive"),
        ("test_resnet", {"interpolation": "cubic"}, ValueError, "'cubic' is not one of nearest"),
        ("test_efficientnet", {}, DataError, "belongs to another architecture"),
    ],
)
def test_bad_wishes(
    name: str, settings: dict[str, object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    file = saved("test_vit" if name.startswith("test_vit") else "test_resnet", tmp_path / "w.safetensors")
    with pytest.raises(error, match=message):
        TimmModel(name, weights=file, **settings)  # type: ignore[arg-type]


def test_bad_values_are_refused(tmp_path: Path) -> None:
    file = saved("test_vit", tmp_path / "w.safetensors", **{"norm.bias": torch.full((64,), float("nan"))})
    with pytest.raises(DataError, match=r"norm\.bias holds NaN"):
        TimmModel("test_vit", weights=file)


def test_without_weights_it_says_what_can_be_done() -> None:
    with pytest.raises(DataError, match=r"give a file with --weights .* --set timm\.pretrained=true"):
        load_backbone("timm:test_vit")


def test_a_name_is_looked_up_before_weights_are_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"has no model 'resnet5000'; did you mean resnet50"):
        load_backbone("timm:resnet5000")


def test_downloaded_weights_are_told_apart_by_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def downloading(seed: int):  # type: ignore[no-untyped-def]
        def make(name: str, *, pretrained: bool, num_classes: int) -> torch.nn.Module:
            assert pretrained
            torch.manual_seed(seed)
            return create(name, pretrained=False, num_classes=num_classes)

        return make

    digests = []
    for seed in (0, 0, 1):
        monkeypatch.setattr(timm, "create_model", downloading(seed))
        digests.append(TimmModel("test_vit", pretrained=True).weights_sha256)
    assert digests[0] == digests[1] != digests[2]


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, **_: object) -> None:
        raise LocalEntryNotFoundError("Cannot find the file in the local cache.\nMore lines.")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(DataError, match=r"cannot be downloaded \(Cannot find .* cache\.\); give --weights FILE"):
        TimmModel("test_vit", pretrained=True)

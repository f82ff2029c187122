"""Everything that is shipped keeps its contract, asked for by name as users do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from crbench_osnet.network import VARIANTS, OSNet
from crbench_transreid.network import TransReID
from crbench_transreid.vit import ARCHITECTURES
from networks import save_onnx, save_torchscript
from transreid_weights import TINY, filled

from crbench.api.entry import Kind
from crbench.errors import ConfigError, DataError
from crbench.protocol import SplitRules
from crbench.registry.load import list_plugins
from crbench.testing.installed import check_installed

SIZE = (64, 32)
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "vpfa": ("vpfa/light", {"epochs": 1, "draws": 64, "hidden": 32}),
    "lrar backbone": ("lrar/tiny", {}),
    "resnet50": ("resnet50/scratch", {}),
    "osnet": ("osnet/x0_25", {"size": SIZE}),
    "transreid": ("transreid/market-vit-base", {"size": SIZE}),
    "timm": ("timm:test_resnet", {}),
    "onnx": ("onnx:{folder}/net.onnx", {"size": (32, 16)}),
    "torchscript": ("torchscript:{folder}/net.pt", {"size": (32, 16)}),
    "folder": ("folder:{folder}/people", {}),
    "mlr-synthetic": ("mlr-synthetic", {"train_identities": 4, "test_identities": 3}),
}
"""How to ask for what is large, or needs a file, where its name alone does not do."""

SHIPPED = sorted(
    (record.kind, record.name)
    for record in list_plugins()
    if record.distribution == "crbench" and record.name != "features"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets, networks and people."""
    place = tmp_path_factory.mktemp("shipped")
    builders.build_all(place)
    save_onnx(place / "net.onnx")
    save_torchscript(place / "net.pt")
    for name in ("ann", "bob", "cem", "dana"):
        for number in range(2):
            builders.save(place / "people" / name / f"{name}{number}.png")
    return place


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Files for the backbones that cannot do without."""
    monkeypatch.setitem(ARCHITECTURES, "vit-base", TINY)  # type: ignore[arg-type]
    torch.manual_seed(0)
    torch.save(filled(TransReID(TINY, SIZE).state_dict()), tmp_path / "transformer.pth")
    torch.save(OSNet(VARIANTS["x0_25"]).state_dict(), tmp_path / "osnet.pth")
    state = timm.create_model("test_resnet").state_dict()
    safetensors.torch.save_file(state, tmp_path / "timm.safetensors")
    names = {"transreid": "transformer.pth", "osnet": "osnet.pth", "timm": "timm.safetensors"}
    return {name: tmp_path / file for name, file in names.items()}


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_it_keeps_its_contract(
    kind: Kind, name: str, folder: Path, weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRBENCH_ACCEPT_DUKEMTMC", "1")
    few = property(lambda rules: None if rules.identities == "official" else (2, 2))
    monkeypatch.setattr(SplitRules, "identity_counts", few)  # the small copies hold fewer people than are drawn
    request, changes = SMALL.get(f"{name} {kind}", SMALL.get(name, (name, {})))
    asked = request.format(folder=folder)
    outcomes = check_installed(kind, asked, changes, weights=weights.get(name), root=folder)
    assert {str(outcome.check): outcome.reason for outcome in outcomes if outcome.result == "fails"} == {}


def test_features_are_looked_up_and_not_checked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("key,rate\nann.png,1\n")
    np.save(tmp_path / "a.npy", np.ones((1, 4), dtype=np.float32))
    with pytest.raises(ConfigError, match="looks features up; there is nothing to check"):
        list(check_installed("backbone", f"features:{tmp_path}", root=tmp_path))


def test_what_is_missing_is_said_before_any_check(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mlr-viper: no copy of VIPeR"):
        list(check_installed("dataset", "mlr-viper", root=tmp_path))

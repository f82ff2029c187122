"""Every kind of bad weights file gives one clear line and leaves the module as it was."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from crbench.api.weights import load_weights
from crbench.errors import DataError

State = dict[str, Tensor]


class Harmful:
    """Pickles as a call; unpickling it would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.target,)


def make_module(fill: float = 0.0) -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(fill)
    return module


@pytest.fixture
def state() -> State:
    return make_module(fill=0.5).state_dict()


def save(state: State, path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


def truncated(state: State, path: Path) -> Path:
    save(state, path)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def text(state: State, path: Path) -> Path:
    path.write_text("<html>Not found</html>")
    return path


def empty(state: State, path: Path) -> Path:
    path.touch()
    return path


def wrong_shape(state: State, path: Path) -> Path:
    return save({**state, "0.weight": torch.zeros(2, 4)}, path)


def broadcastable(state: State, path: Path) -> Path:
    return save({**state, "0.weight": torch.zeros(1, 3)}, path)


def missing_tensor(state: State, path: Path) -> Path:
    return save({name: tensor for name, tensor in state.items() if not name.startswith("1.")}, path)


def extra_tensor(state: State, path: Path) -> Path:
    return save({**state, "2.weight": torch.zeros(1)}, path)


def not_a_number(state: State, path: Path) -> Path:
    return save({**state, "0.bias": torch.tensor([0.0, torch.nan])}, path)


def infinite(state: State, path: Path) -> Path:
    return save({**state, "1.running_var": torch.tensor([torch.inf, 1.0])}, path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (truncated, "damaged"),
        (text, "damaged"),
        (empty, "damaged"),
        (wrong_shape, r"0.weight has shape \(2, 4\), expected \(2, 3\)"),
        (broadcastable, r"0.weight has shape \(1, 3\), expected \(2, 3\)"),
        (missing_tensor, r"lacks 4 of 7 tensors \(1.bias, 1.running_mean, 1.running_var and 1 more\)"),
        (extra_tensor, r"holds unexpected 1 of 8 tensors \(2.weight\)"),
        (not_a_number, "0.bias holds NaN"),
        (infinite, "1.running_var holds NaN or infinite"),
    ],
)
def test_bad_weights(
    make: Callable[[State, Path], Path], message: str, suffix: str, state: State, tmp_path: Path
) -> None:
    module = make_module()
    path = make(state, tmp_path / f"weights{suffix}")
    with pytest.raises(DataError, match=message) as caught:
        load_weights(module, path)
    assert str(caught.value).startswith(f"weights {path}: ")
    assert "\n" not in str(caught.value)
    assert not any(parameter.any() for parameter in module.parameters())


UNDER_A_LIMIT = """
import resource, sys
import torch
from pathlib import Path
from crbench.api import read_tensors
from crbench.errors import SystemFaultError
folder = Path(sys.argv[1])
torch.save({"a": torch.zeros(1)}, folder / "small.pth")
for zipped in (True, False):
    torch.save({"a": torch.zeros(8 << 20)}, folder / f"{zipped}.pth", _use_new_zipfile_serialization=zipped)
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (16 << 20)
resource.setrlimit(resource.RLIMIT_AS, (size, size))
read_tensors(folder / "small.pth")
for zipped in (True, False):
    try:
        read_tensors(folder / f"{zipped}.pth")
    except SystemFaultError as error:
        print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits its memory as Linux does")
def test_weights_that_memory_does_not_hold_are_not_called_damaged(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", UNDER_A_LIMIT, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.count("out of memory (") == 2, done.stdout
    assert done.stdout.count("free some, raise the limit (ulimit -v)") == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.pth: there is no such file"):
        load_weights(make_module(), tmp_path / "gone.pth")


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_with_code_is_refused_and_not_run(
    write: Callable[[object, Path], object], state: State, tmp_path: Path
) -> None:
    path, touched = tmp_path / "weights.pth", tmp_path / "touched"
    write({**state, "0.weight": Harmful(touched)}, path)
    with pytest.raises(DataError, match="not plain tensors") as caught:
        load_weights(make_module(), path)
    assert "\n" not in str(caught.value)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected named tensors, found list"),
        ({}, "expected named tensors, found dict"),
        ({"0.weight": 3}, "'0.weight' is int, expected a tensor"),
        ({7: torch.zeros(1)}, "7 is Tensor, expected a tensor"),
    ],
)
def test_a_file_without_named_tensors_is_refused(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(DataError, match=message):
        load_weights(make_module(), path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_good_weights_fill_the_module(suffix: str, state: State, tmp_path: Path) -> None:
    module = make_module()
    load_weights(module, save(state, tmp_path / f"weights{suffix}"))
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())


def test_wrappers_prefixes_and_heads_are_passed_over(state: State, tmp_path: Path) -> None:
    named = {f"module.{name}": tensor for name, tensor in state.items()}
    content = {"epoch": 3, "state_dict": {**named, "module.classifier.weight": torch.zeros(9, 2)}}
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    module = make_module()
    load_weights(module, path, heads=("classifier.",))
    assert torch.equal(module[0].weight, state["0.weight"])


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("_orig_mod.", "state_dict"),
        ("model.", "state_dict"),
        ("backbone.", "model"),
        ("module.module.", None),
        ("module._orig_mod.", None),
        ("_orig_mod.module.backbone.", "model_state_dict"),
        ("model.backbone.", "state_dict"),
    ],
)
def test_known_wrappers_are_taken_off_and_named(
    prefix: str, key: str | None, state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="crbench")
    content: dict[str, object] = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    path = tmp_path / "weights.pth"
    torch.save(content if key is None else {"epoch": 3, key: content}, path)
    module = make_module()
    for _ in range(2):
        load_weights(module, path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    (line,) = [message for message in caplog.messages if str(path) in message]
    assert all(part in line for part in prefix.split("."))


def test_what_a_training_has_beside_its_backbone_is_left_out_and_named(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="crbench")
    named = {f"module.backbone.{name}": tensor for name, tensor in state.items()}
    path = tmp_path / "weights.pth"
    torch.save({"model": {"state_dict": {**named, "module.head.fc.weight": torch.zeros(9, 2)}}}, path)
    module = make_module()
    load_weights(module, path)
    assert torch.equal(module[0].weight, state["0.weight"])
    assert caplog.messages == [
        f"weights {path}: names are read without module.backbone.; left out, as outside of it: module.head.fc.weight"
    ]


def test_names_that_belong_to_the_network_stay(state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="crbench")
    module = nn.ModuleDict({"model": make_module(), "backbone": make_module()})
    path = tmp_path / "weights.pth"
    torch.save({f"{part}.{name}": tensor for part in ("model", "backbone") for name, tensor in state.items()}, path)
    load_weights(module, path)
    assert torch.equal(module["backbone"][0].weight, state["0.weight"])
    assert caplog.messages == []


def test_of_two_networks_in_a_file_none_is_guessed(state: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({f"{part}.{name}": tensor for part in ("model", "backbone") for name, tensor in state.items()}, path)
    with pytest.raises(DataError, match=r"two networks that fit, with names after 'model\.' and 'backbone\.'"):
        load_weights(make_module(), path)


def test_an_unknown_prefix_is_refused(state: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({f"student.{name}": tensor for name, tensor in state.items()}, path)
    with pytest.raises(DataError, match=r"lacks 6 of 7 tensors"):
        load_weights(make_module(), path)


def test_batch_counters_may_be_missing_as_in_older_files(state: State, tmp_path: Path) -> None:
    del state["1.num_batches_tracked"]
    torch.save(state, tmp_path / "w.pth")
    module = make_module()
    load_weights(module, tmp_path / "w.pth")
    assert torch.equal(module.state_dict()["0.weight"], state["0.weight"])


@pytest.mark.parametrize("number", [np.float32(0.9), np.float64(0.9), np.int64(3)])
def test_numbers_of_numpy_beside_the_tensors_are_no_code(number: object, state: State, tmp_path: Path) -> None:
    torch.save({"state_dict": state, "rank1": number, "epoch": 60}, tmp_path / "w.pth")
    module = make_module()
    load_weights(module, tmp_path / "w.pth")
    assert torch.equal(module.state_dict()["0.weight"], state["0.weight"])


def test_numpy_numbers_open_no_way_for_objects(state: State, tmp_path: Path) -> None:
    objects = np.array([Harmful(tmp_path / "made")], dtype=object)
    torch.save({"state_dict": state, "rank1": objects}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="holds Python objects"):
        load_weights(make_module(), tmp_path / "w.pth")
    assert not (tmp_path / "made").exists()

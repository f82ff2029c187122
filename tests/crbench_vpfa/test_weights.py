from __future__ import annotations

import io
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from crbench_vpfa import weights
from crbench_vpfa.module import VectorPanning
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from crbench import load_aligner
from crbench.api.context import RunContext
from crbench.api.domains import parse_domains
from crbench.errors import DataError
from crbench.testing import train_features


class Payload:
    """Would create a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def official_state(seed: int = 0, dim: int = 16, hidden: int = 24) -> dict[str, torch.Tensor]:
    module = VectorPanning(dim, hidden=hidden)
    module.initialise("framework", 1e-3, torch.Generator().manual_seed(seed))
    return module.state_dict()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for rate in (2, 3, 4):
        torch.save(official_state(rate), tmp_path / f"mlp_model_{rate}x.pth")
    (tmp_path / "notes.txt").write_text("not weights")
    return tmp_path


def test_official_files_serve_their_rates(folder: Path) -> None:
    train = train_features()
    transform = load_aligner("vpfa/paper", weights=str(folder)).fit(train, run=RunContext())
    assert [domain.rate for domains in transform.modules for domain in domains] == [2, 3, 4]
    rows = train.source.rows
    at_3 = torch.from_numpy(rows.rates == 3)
    reference = torch.nn.Sequential(
        *(layer for _ in range(3) for layer in (torch.nn.Linear(24, 24), torch.nn.LayerNorm(24), torch.nn.ReLU())),
        torch.nn.Linear(24, 16),
        torch.nn.Tanh(),
    )
    reference[0] = torch.nn.Linear(16, 24)
    reference.load_state_dict({key.removeprefix("model."): value for key, value in official_state(3).items()})
    x = train.source.x[at_3]
    with torch.no_grad():
        assert torch.allclose(transform(train.source).x[at_3], x + reference(x), atol=1e-6)


def test_our_own_file_gives_the_same_output(tmp_path: Path) -> None:
    train = train_features()
    aligner = load_aligner("vpfa/paper", hidden=16, epochs=1, residual=False, scope="per_rate")
    transform = aligner.fit(train, run=RunContext())
    save_file(transform.state(), tmp_path / "vpfa.safetensors")
    loaded = load_aligner("vpfa/paper", residual=False, weights=str(tmp_path / "vpfa.safetensors")).fit(
        train, run=RunContext()
    )
    assert torch.equal(loaded(train.source).x, transform(train.source).x)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "mlp_model_2x.pth"
    torch.save({**official_state(), "model.9.bias": Payload(trace)}, path)
    with pytest.raises(DataError, match=r"mlp_model_2x\.pth: not plain tensors.*can run code"):
        weights.load_official({2: path})
    assert not trace.exists()


def test_a_bare_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "mlp_model_2x.pth"
    path.write_bytes(pickle.dumps(Payload(trace)))
    with pytest.raises(DataError, match="not read"):
        weights.load_official({2: path})
    assert not trace.exists()


@pytest.mark.parametrize("fraction", [0, 0.01, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("legacy", [True, False])
def test_a_truncated_file_is_refused_in_one_line(tmp_path: Path, fraction: float, legacy: bool) -> None:
    path = tmp_path / "mlp_model_2x.pth"
    torch.save(official_state(), path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(DataError) as caught:
        weights.load_official({2: path})
    assert "\n" not in str(caught.value)
    assert "damaged" in str(caught.value)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=8), st.booleans())
def test_changed_bytes_give_weights_or_one_clear_line(changes: list[tuple[int, int]], legacy: bool) -> None:
    buffer = io.BytesIO()
    torch.save(official_state(dim=2, hidden=2), buffer, _use_new_zipfile_serialization=not legacy)
    content = bytearray(buffer.getvalue())
    for position, value in changes:
        content[position % min(len(content), 1500)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlp_model_2x.pth"
        path.write_bytes(content)
        said = []
        try:
            weights.load_official({2: path})
        except DataError as error:
            said.append(str(error))
        assert all("\n" not in line and path.name in line for line in said)


def broken_states() -> list[tuple[str, object, str]]:
    state = official_state()
    transposed = {**state, "model.9.weight": state["model.9.weight"].T.contiguous()}
    poisoned = {**state, "model.3.bias": state["model.3.bias"] * float("nan")}
    lacking = {key: value for key, value in state.items() if key != "model.4.bias"}
    return [
        ("wrong shape", transposed, r"model\.9\.weight has shape \(24, 16\), expected \(16, 24\)"),
        ("NaN", poisoned, r"model\.3\.bias holds NaN"),
        ("lacking", lacking, r"missing or unexpected: model\.4\.bias"),
        ("more", {**state, "model.11.bias": torch.zeros(3)}, r"unexpected: model\.11\.bias"),
        ("another network", {"conv.weight": torch.zeros(3, 3)}, r"expected 'model\.0\.weight'"),
        ("empty", {}, r"found dict"),
        ("a list", [1, 2], "expected named tensors, found list"),
    ]


@pytest.mark.parametrize(("name", "content", "message"), broken_states(), ids=lambda value: str(value)[:12])
def test_files_that_do_not_fit_are_refused(tmp_path: Path, name: str, content: object, message: str) -> None:
    path = tmp_path / "mlp_model_4x.pth"
    torch.save(content, path)
    with pytest.raises(DataError, match=message) as caught:
        weights.load_official({4: path})
    assert "mlp_model_4x.pth" in str(caught.value)


def test_weights_for_another_feature_length_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="made for features of 16 columns, but the backbone gives 20"):
        load_aligner("vpfa/paper", weights=str(folder)).fit(train_features(dim=20), run=RunContext())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.safetensors", None, "there is no such file or folder"),
        ("bad.safetensors", b"{}", "damaged, or not a safetensors file"),
        ("empty.safetensors", b"\x02\0\0\0\0\0\0\0{}", "expected named tensors"),
    ],
)
def test_bad_paths_are_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_aligner("vpfa/paper", weights=str(tmp_path / name)).fit(train_features(), run=RunContext())


def test_a_folder_without_official_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pth").touch()
    with pytest.raises(DataError, match=r"holds no mlp_model_2x\.pth"):
        load_aligner("vpfa/paper", weights=str(tmp_path)).fit(train_features(), run=RunContext())


def test_a_state_key_without_domains_is_refused() -> None:
    with pytest.raises(DataError, match="names no domains"):
        load_aligner("vpfa/paper").restore({f"anything/{key}": value for key, value in official_state().items()})
    assert parse_domains("rgb@2.0")[0].rate == 2

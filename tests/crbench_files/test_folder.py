"""Features from a folder: found by key and rate, whatever the format, and never guessed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crbench_files.folder import FeatureFolder
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from crbench import load_backbone
from crbench.api.interfaces import Precomputed
from crbench.errors import ConfigError, DataError
from crbench.records import Samples

KEYS = np.array(["a.png", "b.png", "c, d.png"])
X = np.arange(12, dtype=np.float32).reshape(3, 4)


def csv(path, header="key,rate", keys=KEYS, rates=(1, 2, 1)):
    quoted = [f'"{key}",{rate}' for key, rate in zip(keys, rates, strict=True)]
    path.write_text("\n".join([header, *quoted]) + "\n")


def npz(path, **changes):
    arrays = {"features": X, "keys": KEYS, "rates": np.array([1.0, 2.0, 1.0]), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def test_float64_that_float32_does_not_hold_is_said(tmp_path, caplog):
    npz(tmp_path / "exact.npz", features=X.astype(np.float64), keys=np.array(["d", "e", "f"]))
    FeatureFolder(tmp_path)
    assert not caplog.messages
    npz(tmp_path / "fine.npz", features=1000 + X * 1e-4 * np.array([[0], [1], [1]]))
    FeatureFolder(tmp_path)
    (line,) = caplog.messages
    assert "fine.npz: features of 2 of 3 rows are float64 and rounded to float32" in line


def npy(path):
    np.save(path, X)
    csv(path.with_suffix(".csv"))


def safetensors(path):
    save_file({"features": torch.from_numpy(X)}, path)
    csv(path.with_suffix(".csv"))


def with_manifest(path):
    """As `crbench data export` writes it: separated by tabs, with a path beside the key."""
    np.save(path, X.astype(np.float64))
    lines = [f"query/{key}\tquery\t{key}\t7\t1\t{rate}" for key, rate in zip(KEYS, "121", strict=True)]
    path.with_suffix(".tsv").write_text("\n".join(["path\trole\tkey\tpid\tcamid\trate", *lines]) + "\n")


ROWS = Samples(keys=KEYS[[2, 1, 0]], pids=[1, 1, 1], rates=[1, 2, 1])


@pytest.mark.parametrize(
    ("write", "name"), [(npz, "f.npz"), (npy, "f.npy"), (safetensors, "f.safetensors"), (with_manifest, "f.npy")]
)
def test_rows_are_found_by_key_and_rate(tmp_path, write, name):
    write(tmp_path / name)
    source = load_backbone(f"features:{tmp_path}")
    assert isinstance(source, Precomputed)
    encoded = source.lookup(ROWS)
    assert encoded.x.dtype == torch.float32
    assert encoded.x.tolist() == X[[2, 1, 0]].tolist()
    assert encoded.dims is None


def test_files_of_a_folder_add_up_and_others_are_left_alone(tmp_path):
    npz(tmp_path / "1.npz", keys=KEYS, rates=None)
    npz(tmp_path / "2.npz", features=X.astype(np.float16) + 12, rates=np.array([2, 3, 4]), dims=np.array([4, 4, 2]))
    (tmp_path / "notes.txt").write_text("how they were made")
    encoded = FeatureFolder(tmp_path).lookup(Samples(keys=KEYS[[2, 0]], pids=[1, 1], rates=[4, 1]))
    assert encoded.x.tolist() == [(X[2] + 12).tolist(), X[0].tolist()]
    assert encoded.dims.tolist() == [2, 4]


@given(st.floats(1, 100, width=32))
def test_any_rate_is_found_as_lists_print_it(tmp_path_factory, rate):
    folder = tmp_path_factory.mktemp("features")
    npz(folder / "f.npz", rates=np.full(3, float(f"{rate:g}")))
    rows = Samples(keys=KEYS, pids=[1, 1, 1], rates=np.float32(rate))
    assert FeatureFolder(folder).lookup(rows).x.tolist() == X.tolist()


def test_missing_rows_are_named(tmp_path):
    npz(tmp_path / "f.npz")
    rows = Samples(keys=[*"wxyz", "a.png"], pids=[1] * 5, rates=[2, 1, 1, 1, 1])
    with pytest.raises(DataError, match=r"4 of 5 rows \(w at rate 2, x at rate 1, y at rate 1 and 1 more\)"):
        FeatureFolder(tmp_path).lookup(rows)


def test_a_row_may_come_twice_but_not_with_two_meanings(tmp_path):
    npz(tmp_path / "1.npz")
    npz(tmp_path / "2.npz", features=X * (1 + 1e-6))
    assert FeatureFolder(tmp_path).lookup(ROWS).x.tolist() == X[[2, 1, 0]].tolist()
    npz(tmp_path / "2.npz", features=X + 1)
    with pytest.raises(DataError, match=r"2\.npz: row 0 is a\.png at rate 1 again, with other features"):
        FeatureFolder(tmp_path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder: None, "no feature file in it; expected names that end in .npz, .npy, .safetensors"),
        (lambda folder: npz(folder / "f.npz", keys=None), r"f\.npz: nothing says whose features these are"),
        (lambda folder: np.save(folder / "f.npy", X), r"or a table f\.csv beside it with columns key and rate"),
        (lambda folder: npz(folder / "f.npz", keys=KEYS[:2]), "'keys' has 2 rows, features have 3"),
        (lambda folder: npz(folder / "f.npz", dims=np.array([1, 2, 5])), "'dims' holds 1 to 5; expected 1 to 4"),
        (lambda folder: (npy(folder / "f.npy"), csv(folder / "f.csv", keys="ab", rates="12")), "2 rows, but .* has 3"),
        (
            lambda folder: (npz(folder / "1.npz"), npz(folder / "2.npz", features=X[:, :3])),
            "3 columns, those of 1",
        ),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, write, message):
    write(tmp_path)
    with pytest.raises(DataError, match=message):
        FeatureFolder(tmp_path)


def test_a_file_is_no_folder_and_weights_play_no_role(tmp_path):
    npz(tmp_path / "f.npz")
    with pytest.raises(DataError, match="not a folder"):
        FeatureFolder(tmp_path / "f.npz")
    with pytest.raises(ConfigError, match="leave out --weights"):
        FeatureFolder(tmp_path, weights=tmp_path / "w.pth")

"""MATLAB's files, of both formats: what they hold, and what is refused."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.io import loadmat, savemat

from crbench.errors import DataError
from crbench.files.feature_files import load_features, load_sides
from crbench.files.mat_files import read_mat

RNG = np.random.default_rng(0)
SIDES = {
    "query_f": RNG.normal(size=(3, 4)).astype(np.float32),
    "query_label": [1, 2, 3],
    "query_cam": [1, 1, 2],
    "gallery_f": RNG.normal(size=(6, 4)).astype(np.float32),
    "gallery_label": [1, 2, 3, 0, -1, 1],
    "gallery_cam": [2, 2, 1, 4, 5, 3],
}
"""As layumi/Person_reID_baseline_pytorch names them."""

Write = Callable[[Path, Mapping[str, Any]], None]


def _v5(path: Path, arrays: Mapping[str, Any]) -> None:
    savemat(path, dict(arrays))


def _v7(path: Path, arrays: Mapping[str, Any]) -> None:
    savemat(path, dict(arrays), do_compression=True)


def _v73(path: Path, arrays: Mapping[str, Any]) -> None:
    """As MATLAB writes: axes the other way round, a block of its own before HDF5."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = np.atleast_2d(np.asarray(array, dtype=np.float64)).T
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")


FORMATS: list[Write] = [_v5, _v7, _v73]


@pytest.mark.parametrize("write", FORMATS)
def test_both_sides_of_one_file(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "pytorch_result.mat"
    write(path, SIDES | {"note": 1})
    for side, role in zip(load_sides(path, path), ("query", "gallery"), strict=True):
        assert np.array_equal(side.features.x.numpy(), SIDES[f"{role}_f"])
        assert side.features.rows.pids.tolist() == SIDES[f"{role}_label"]
        assert side.features.rows.camids.tolist() == SIDES[f"{role}_cam"]
        assert not side.features.rows.named, "row i of one side is not row i of the other"


@pytest.mark.parametrize("compressed", [True, False])
@given(data=st.data())
def test_numbers_are_those_that_scipy_reads(compressed: bool, data: st.DataObject) -> None:
    """Of every type, and in the few bytes in which MATLAB keeps small whole numbers."""
    kinds = st.sampled_from(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
    array = data.draw(arrays(kinds.flatmap(lambda kind: st.just(np.dtype(kind))), array_shapes(min_dims=2, max_dims=2)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.mat"
        savemat(path, {"features": array}, do_compression=compressed)
        found, variable = read_mat(path, "query")
        assert variable == "features"
        np.testing.assert_array_equal(found["features"], loadmat(path)["features"])


@pytest.mark.parametrize("write", FORMATS)
def test_plain_names(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "features.mat"
    write(path, {"features": SIDES["query_f"], "pids": [4, 5, 6], "rates": [2.0, 3.0, 4.0]})
    side = load_features(path)
    assert side.features.rows.rates.tolist() == [2, 3, 4]
    assert side.features.rows.camids.tolist() == [-1, -1, -1]
    query, gallery = load_sides(path, path)
    assert query.features.rows.keys.tolist() == gallery.features.rows.keys.tolist() == ["0", "1", "2"]


@pytest.mark.parametrize("write", FORMATS)
def test_the_variables_of_a_file_without_features_are_listed(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "hists.mat"
    write(path, {"Hist_query": SIDES["query_f"], "queryID": [1, 2, 3]})
    with pytest.raises(DataError, match=r"array 'query_f' or 'query_feature' .* or 'features' is missing; found Hist_"):
        load_features(path)
    write(path, {"query_f": SIDES["query_f"]})
    with pytest.raises(DataError, match="array 'pids' is missing"):
        load_features(path)


@pytest.mark.parametrize("write", FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_refused_in_one_line(write: Write, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "damaged.mat"
    write(path, SIDES)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="cut"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    said = f"{path}: fine"
    try:
        load_features(path)
    except DataError as error:
        said = str(error)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said


def _element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content


def _matrix(side: int, numbers: bytes) -> bytes:
    """The content of a matrix query_f of side x side doubles that holds these."""
    head = _element(6, struct.pack("<II", 6, 0)) + _element(5, struct.pack("<ii", side, side))
    return head + _element(1, b"query_f\0"[:7]) + b"\0" + _element(9, numbers)


HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no mat file, or one of MATLAB 4"),
        (b"\0" * 200, "no mat file, or one of MATLAB 4"),
        (HEAD + struct.pack("<II", 14, 1 << 30), "1073741824 bytes of type 14 at byte 128 of 136"),
        (HEAD + _element(15, b"nothing"), "cannot be read"),
        (HEAD + _element(99, b"12345678"), "8 bytes of type 99"),
        (HEAD + _element(14, _matrix(1 << 15, b"\0" * 8)), "cannot reshape array of size 1"),
        (HEAD + _element(15, zlib.compress(struct.pack("<II", 14, 1 << 31) + _matrix(1, b""))), "cannot unfold to 21"),
        (HEAD + _element(14, _matrix(1 << 30, b"\0" * 8)), "it takes 8589934592.0 GiB of memory"),
    ],
)
def test_what_claims_more_than_it_holds_is_refused_before_it_is_read(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        load_features(path)


@pytest.mark.parametrize("write", [_v5, _v7])
def test_cells_and_text_are_no_features(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "cells.mat"
    for wrong in (np.array([SIDES["query_f"], "x"], dtype=object), "text", {"a": 1}):
        write(path, SIDES | {"query_f": wrong})
        with pytest.raises(DataError, match=r"variable 'query_f' is (a cell|text|a struct); expected plain numbers"):
            load_features(path)


def test_links_and_other_files_are_not_followed(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret.mat", tmp_path / "linked.mat"
    _v73(secret, SIDES)
    with h5py.File(path, "w") as file:
        file["query_f"] = h5py.ExternalLink("secret.mat", "query_f")
        file["query_label"] = np.array([1, 2, 3])
    with pytest.raises(DataError, match="is missing; found query_label"):
        load_features(path)
    (tmp_path / "raw").write_bytes(b"\0" * 96)
    with h5py.File(path, "w") as file:
        file.create_dataset("query_f", (3, 4), dtype="f8", external=[(str(tmp_path / "raw"), 0, 96)])
    with pytest.raises(DataError, match="lies in another file"):
        load_features(path)


def test_an_hdf5_file_cannot_claim_more_than_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "huge.mat"
    with h5py.File(path, "w") as file:
        file.create_dataset("query_f", (1 << 20, 1 << 20), dtype="f8", chunks=(1024, 1024))
    with pytest.raises(DataError, match="claims 8796093022208 bytes; the file has 0"):
        load_features(path)

"""NumPy files of any origin: sound ones as NumPy reads them, damaged ones refused in one line, sizes unbelieved."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench.errors import DataError
from crbench.files import numpy_files
from crbench.files.numpy_files import DamagedArrayError, read_npy, read_npz

ARRAYS = {
    "features": np.arange(12, dtype=np.float32).reshape(3, 4),
    "pids": np.arange(3),
    "keys": np.array(["a", "bc", "ä"]),
    "none": np.zeros((0, 4)),
    "by_column": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("mapped", [(), ("features", "none", "by_column")])
def test_a_sound_archive_is_read_as_numpy_reads_it(tmp_path, save, mapped):
    save(tmp_path / "x.npz", **ARRAYS)
    found = read_npz(tmp_path / "x.npz", mapped=mapped)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert isinstance(found["features"], np.memmap) == (save is np.savez and bool(mapped))


def test_what_is_not_wanted_is_not_read(tmp_path):
    np.savez(tmp_path / "x.npz", features=ARRAYS["features"], other=np.array([{}], dtype=object))
    assert read_npz(tmp_path / "x.npz", wanted=("features",))["other"] is None


@pytest.mark.parametrize("array", [ARRAYS["features"], ARRAYS["none"], ARRAYS["by_column"]])
def test_a_sound_array_is_mapped(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    found = read_npy(tmp_path / "x.npy")
    np.testing.assert_array_equal(found, array)
    assert isinstance(found, np.memmap)


def npy(shape, dtype="<f4", body=b""):
    """A npy file whose header claims what it likes."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)


LIARS = {
    "14 TiB": npy("(1000000000000, 4)", body=b"\0" * 96),
    "negative": npy("(-1, 4)", body=b"\0" * 16),
    "beyond 64 bits": npy(f"({10**30}, 4)"),
    "product beyond 64 bits": npy("(4294967296, 4294967296, 4)"),
    "objects": npy("(1,)", "|O", b"\x80\x04N."),
    "a float for a length": npy("(2.0, 4)", body=b"\0" * 32),
    "no type": npy("(2, 4)", "<q9", b"\0" * 32),
    "code": npy("().__class__"),
    "deep": npy("(" * 60 + ")" * 60),
}


@pytest.mark.parametrize("liar", LIARS)
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("mapped", [(), ("features",)])
def test_a_header_that_claims_too_much_is_refused_before_memory_is_taken(tmp_path, liar, method, mapped):
    archive(tmp_path / "x.npz", {"features": LIARS[liar]}, method)
    (tmp_path / "x.npy").write_bytes(LIARS[liar])
    tracemalloc.start()
    try:
        with pytest.raises(DamagedArrayError, match=r"^array 'features': ") as caught:
            read_npz(tmp_path / "x.npz", mapped=mapped)
        with pytest.raises(DamagedArrayError):
            read_npy(tmp_path / "x.npy")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_an_archive_that_lies_about_its_own_sizes_is_refused(tmp_path):
    """The directory says that 4 GiB come of some hundred bytes, and the header agrees."""
    archive(tmp_path / "x.npz", {"features": npy("(268435000, 4)", body=b"\0" * 96)})
    content = bytearray((tmp_path / "x.npz").read_bytes())
    lie = content.replace(struct.pack("<I", 128 + 96), struct.pack("<I", 0xFFFF_FF00))
    (tmp_path / "x.npz").write_bytes(lie)
    with pytest.raises(DamagedArrayError, match=r"\d+ bytes cannot unfold to 4294967040"):
        read_npz(tmp_path / "x.npz")


def test_an_array_larger_than_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", features=np.zeros((5000, 2000)))
    monkeypatch.setattr("crbench.inputs.memory_limit", lambda: 1 << 26)
    with pytest.raises(DataError, match=r"x\.npz: array 'features': it takes 0\.1 GiB of memory, and there are 0\.1"):
        read_npz(tmp_path / "x.npz")


def sound_files():
    files = {}
    for name, save in (("x.npz", np.savez), ("c.npz", np.savez_compressed)):
        buffer = io.BytesIO()
        save(buffer, features=ARRAYS["features"], pids=ARRAYS["pids"])
        files[name] = buffer.getvalue()
    buffer = io.BytesIO()
    np.save(buffer, ARRAYS["features"])
    return files | {"x.npy": buffer.getvalue()}


SOUND = sound_files()


@settings(max_examples=300)
@given(st.sampled_from(sorted(SOUND)), st.data())
def test_a_file_with_some_bytes_changed_or_cut_is_read_or_refused(tmp_path_factory, name, data):
    content = bytearray(SOUND[name])
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    with contextlib.suppress(DamagedArrayError, DataError):
        found = read_npy(path) if name.endswith("npy") else read_npz(path, mapped=("features",))
        assert isinstance(found, np.ndarray | dict)


@pytest.mark.parametrize("mapped", [(), ("features",)])
@pytest.mark.parametrize("name", ["x.npz", "c.npz"])
def test_a_directory_that_claims_more_than_the_file_has_is_refused(tmp_path, name, mapped):
    """zipfile takes what is missing off the place of each member, which may then lie before the file."""
    content = bytearray(SOUND[name])
    end = content.rindex(b"PK\x05\x06")
    struct.pack_into("<I", content, end + 16, struct.unpack_from("<I", content, end + 16)[0] + 1)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamagedArrayError, match="a member begins before the file"):
        read_npz(tmp_path / name, mapped=mapped)


def test_versions_that_plain_values_do_not_need_are_refused(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x03\x00" + bytes(100))
    with pytest.raises(DamagedArrayError, match="a version of the format that plain values do not need"):
        read_npy(tmp_path / "x.npy")
    assert (3, 0) not in numpy_files._HEADERS

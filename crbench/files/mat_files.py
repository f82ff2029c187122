"""Arrays from MATLAB's mat files, v5 to v7.3. Nothing but plain numbers is read, and no size believed unchecked.

Files of v7.3 are HDF5, and h5py reads them. Those of v5 to v7 are read here, as scipy's reader (1.17) ended the whole
process on one of the first fifty files with a few bytes changed; tests compare with it.

A file often holds both sides, as layumi's ``pytorch_result.mat`` does: ``query_f``, ``query_label``, ``query_cam``,
``gallery_f``, ``gallery_label``, ``gallery_cam``.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.files.numpy_files import MOST_DEFLATED, DamagedArrayError
from crbench.inputs import check_memory, check_utf8, open_input

_SIDES = {
    "features": ("{}_f", "{}_feature", "{}_features"),
    "pids": ("{}_label", "{}_labels", "{}_pids"),
    "camids": ("{}_cam", "{}_cams", "{}_camids"),
    "rates": ("{}_rates",),
    "dims": ("{}_dims",),
}
"""What a side's variables are called, by the array that they give; ``{}`` is query or gallery."""

_HEADER = 128
"""Bytes before the first variable of a v5 file."""

_DEFLATED, _MATRIX = 15, 14
"""Types of a v5 file's variables."""

_HEAD = 1 << 12
"""Bytes that hold the head of a variable."""

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Stored numbers by their type in a v5 file."""

_NUMERIC = range(6, 16)
_OTHERS = {1: "a cell", 2: "a struct", 3: "an object", 4: "text", 5: "sparse"}
"""Classes of MATLAB by their number in a v5 file."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What files with some bytes changed or cut were seen to raise."""


def read_mat(path: Path, role: str | None) -> tuple[dict[str, Any], str]:
    """The arrays of a side, by our names: ``features``, ``pids``, ``camids``, ``rates``, ``dims``.

    A side's own variables go before those of the plain names, which are both sides'.

    Args:
        role: ``query`` or ``gallery``; None = plain names only.

    Returns:
        These arrays, as far as they are there, and the variable that the features come from. Where they are missing,
        all variables, as None by their own names, and no name.

    Raises:
        DamagedArrayError: it is no such file, cut short, damaged, or a variable claims more than the file can hold.
        DataError: a variable is larger than the memory; or see `crbench.inputs.open_input`.
        OSError, SystemFaultError: see `crbench.inputs.open_input`.
    """
    check_utf8(path)
    with open_input(path) as file:
        head = file.read(520)
    read: Callable[[Path, Mapping[str, str] | None], dict[str, Any]]
    read = _hdf5 if _HDF5 in (head[:8], head[512:520]) else _v5
    try:
        names = set(read(path, None))
        wanted = _wanted(names, role)
        return (read(path, wanted), wanted["features"]) if "features" in wanted else (dict.fromkeys(names), "")
    except DamagedArrayError:
        raise
    except _DAMAGE as error:
        text = str(error.args[0] if error.args else "").partition("\n")[0] or type(error).__name__
        raise DamagedArrayError(f"cannot be read, cut short, damaged or no mat file ({text})") from error


def variables(array: str, role: str | None) -> tuple[str, ...]:
    """The variables that may give an array of a side, the first that is there.

    Example:
        >>> variables("features", "query")
        ('query_f', 'query_feature', 'query_features', 'features')
    """
    return (*(() if role is None else (text.format(role) for text in _SIDES[array])), array)


def _wanted(names: set[str], role: str | None) -> dict[str, str]:
    """The variables to read, by our names."""
    found = {array: next((name for name in variables(array, role) if name in names), None) for array in _SIDES}
    return {array: name for array, name in found.items() if name is not None}


def _v5(path: Path, wanted: Mapping[str, str] | None) -> dict[str, Any]:
    """Variables by our names, or all of them as None."""
    with open_input(path) as file:
        file.seek(126)
        order = {b"IM": "<", b"MI": ">"}.get(file.read(2))
        if order is None:
            raise DamagedArrayError("no mat file, or one of MATLAB 4; save it by `save -v7`, or `scipy.io.savemat`")
        places = {_head(_start(file, place), order).name: place for place in _places(file, order)}
        if wanted is None:
            return dict.fromkeys(name for name in places if name)
        return {array: _variable(file, places[name], order, path) for array, name in wanted.items()}


@attrs.frozen
class _Place:
    """Where a variable lies in a v5 file: first byte and length of its content, deflated or not."""

    at: int
    length: int
    deflated: bool


@attrs.frozen
class _Head:
    """What a v5 variable says of itself before its numbers, which begin at `end` of its content."""

    name: str
    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    end: int


def _places(file: IO[bytes], order: str) -> Iterator[_Place]:
    at, size = _HEADER, os.fstat(file.fileno()).st_size
    while at < size:
        file.seek(at)
        kind, length = struct.unpack(f"{order}II", file.read(8))
        if kind not in (_MATRIX, _DEFLATED) or at + 8 + length > size:
            raise ValueError(f"{length} bytes of type {kind} at byte {at} of {size}")
        yield _Place(at + 8, length, kind == _DEFLATED)
        at += 8 + length


def _start(file: IO[bytes], place: _Place) -> bytes:
    """The first bytes of a variable's content, which hold its head."""
    file.seek(place.at)
    start = file.read(min(place.length, _HEAD))
    return zlib.decompressobj().decompress(start, _HEAD)[8:] if place.deflated else start


def _variable(file: IO[bytes], place: _Place, order: str, path: Path) -> NDArray[Any]:
    """The numbers of a variable, of the type that MATLAB stored: whole ones of few digits in fewer bytes."""
    head = _head(_start(file, place), order)
    if head.kind not in _NUMERIC or head.is_complex:
        kind = "complex" if head.is_complex else _OTHERS.get(head.kind, "damaged")
        raise DamagedArrayError(f"variable {head.name!r} is {kind}; expected plain numbers")
    what = f"{path}: variable {head.name!r}"
    check_memory(8 * math.prod(head.shape), what)
    file.seek(place.at)
    content = file.read(place.length)
    if place.deflated:
        _, size = struct.unpack(f"{order}II", zlib.decompressobj().decompress(content, 8))
        if size > MOST_DEFLATED * place.length:
            raise ValueError(f"{place.length} bytes cannot unfold to {size}")
        check_memory(size, what)
        content = zlib.decompressobj().decompress(content, 8 + size)[8:]
    stored_as, data, _ = _part(content, head.end, order)
    stored = np.frombuffer(data, dtype=f"{order}{_TYPES[stored_as]}")
    return stored.astype(stored.dtype.newbyteorder("=")).reshape(head.shape, order="F")


def _head(content: bytes, order: str) -> _Head:
    _, flags, at = _part(content, 0, order)
    (word,) = struct.unpack(f"{order}I4x", flags)
    _, sizes, at = _part(content, at, order)
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if min(shape, default=-1) < 0:
        raise ValueError(f"shape {shape}")
    _, name, at = _part(content, at, order)
    return _Head(name.decode("latin-1"), word & 0xFF, bool(word & 0x0800), shape, at)


def _part(content: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """A part of a variable's content at a place: its type, its bytes, and where the next one begins."""
    (word,) = struct.unpack_from(f"{order}I", content, at)
    if word >> 16:  # the short form: up to four bytes, in the word after type and size
        kind, size, begin, end = word & 0xFFFF, word >> 16, at + 4, at + 8
    else:
        kind, size = struct.unpack_from(f"{order}II", content, at)
        begin, end = at + 8, at + 8 + -(-size // 8) * 8
    if begin + size > len(content):
        raise ValueError(f"{size} bytes at {begin} of {len(content)}")
    return kind, content[begin : begin + size], end


def _hdf5(path: Path, wanted: Mapping[str, str] | None) -> dict[str, Any]:
    """As `_v5`; HDF5 holds MATLAB's arrays with their axes the other way round."""
    import h5py

    with h5py.File(path, "r") as file:
        # links may lead out of the file, to whatever this user may read
        own = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        names = [name for name in own if isinstance(file[name], h5py.Dataset)]
        if wanted is None:
            return dict.fromkeys(names)
        return {array: _dataset(file[name], name, path).T for array, name in wanted.items()}


def _dataset(data: Any, name: str, path: Path) -> NDArray[Any]:
    if data.external or data.is_virtual:
        raise DamagedArrayError(f"variable {name!r} lies in another file; save it in one")
    if data.shape is None or data.dtype.kind not in "iufb":
        raise DamagedArrayError(f"variable {name!r} is {data.dtype}; expected plain numbers")
    size = data.size * data.dtype.itemsize
    if size > MOST_DEFLATED * max(data.id.get_storage_size(), 1):
        raise DamagedArrayError(f"variable {name!r} claims {size} bytes; the file has {data.id.get_storage_size()}")
    check_memory(size, f"{path}: variable {name!r}")
    array: NDArray[Any] = data[()]
    return array

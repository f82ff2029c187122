"""Arrays from NumPy's npy and npz files of any origin: nothing is unpickled, and no size believed unchecked."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Container
from pathlib import Path
from typing import IO, Any, Literal

import attrs
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from crbench.inputs import check_memory, open_input

_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy and zipfile were seen to raise on files with some bytes changed or cut."""

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_LOCAL_HEADER = 30
"""Bytes of a zip archive's local header before the name."""

MOST_DEFLATED = 1032
"""Bytes of content, at most, for one byte of a deflated member."""


class DamagedArrayError(ValueError):
    """A file, or one of its arrays, is damaged, no NumPy file, or holds something other than plain values."""


@attrs.frozen
class _Header:
    """What the header of an array claims."""

    shape: tuple[int, ...]
    order: Literal["C", "F"]
    dtype: np.dtype[Any]
    length: int

    @classmethod
    def read(cls, file: IO[bytes]) -> _Header:
        read = _HEADERS.get(npy.read_magic(file))
        if read is None:
            raise ValueError("a version of the format that plain values do not need")
        shape, by_column, dtype = read(file)
        if dtype.hasobject:
            raise DamagedArrayError("holds Python objects; save plain numbers with numpy.save or numpy.savez")
        return cls(shape, "F" if by_column else "C", dtype, file.tell())

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def check(self, size: int) -> None:
        """Compare with the size of the whole file or member."""
        if min(self.shape, default=0) < 0 or self.length + self.size > size:
            raise ValueError(f"its header claims {self.size} bytes, {self.shape} of {self.dtype}; the file has {size}")


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a npy file, mapped into memory (copy on write).

    Raises:
        DamagedArrayError: it is no such file, cut short, damaged, or holds Python objects.
        DataError, OSError, SystemFaultError: see `crbench.inputs.open_input`.
    """
    with open_input(path) as file:
        try:
            header = _Header.read(file)
            header.check(path.stat().st_size)
            return npy.open_memmap(path, mode="c")
        except _DAMAGE as error:
            raise DamagedArrayError(_why(error)) from error


def read_npz(path: Path, wanted: Container[str] | None = None, mapped: Container[str] = ()) -> dict[str, Any]:
    """The arrays of a npz file by name.

    Args:
        wanted: those to read; the others are None. None = all.
        mapped: those to map into memory (copy on write), where they are not compressed, instead of reading them.

    Raises:
        DamagedArrayError: it is no such file, cut short, damaged, or an array claims more than the file can hold.
        DataError: an array is larger than the memory; or see `crbench.inputs.open_input`.
        OSError, SystemFaultError: see `crbench.inputs.open_input`.
    """
    found: dict[str, Any] = {}
    name = ""
    with open_input(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for member in archive.infolist():
                    name = member.filename.removesuffix(".npy")
                    if member.header_offset < 0:
                        raise zipfile.BadZipFile("a member begins before the file")
                    if wanted is not None and name not in wanted:
                        found[name] = None
                    elif name in mapped and member.compress_type == zipfile.ZIP_STORED:
                        found[name] = _mapped(member, path)
                    else:
                        found[name] = _read(archive, member, path)
        except _DAMAGE as error:
            raise DamagedArrayError(f"array {name!r}: {_why(error)}" if name else _why(error)) from error
    return found


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    with archive.open(member) as stream:
        header = _Header.read(stream)
        header.check(member.file_size)
        if member.compress_type == zipfile.ZIP_DEFLATED and member.file_size > MOST_DEFLATED * member.compress_size:
            raise ValueError(f"{member.compress_size} bytes cannot unfold to {member.file_size}")
        check_memory(header.size, f"{path}: array {member.filename.removesuffix('.npy')!r}")
    with archive.open(member) as stream:
        array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
    return array


def _mapped(member: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    """An uncompressed array of an archive, mapped in place."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        local = file.read(_LOCAL_HEADER)
        # The local header ends with the lengths of the name and of the extra field, which stand before the array. They
        # may differ from those in the directory of the archive.
        file.seek(sum(struct.unpack("<HH", local[-4:])), 1)
        begin = file.tell()
        header = _Header.read(file)
        header.check(begin + member.file_size)
        if header.size == 0:
            return np.zeros(header.shape, header.dtype)
        return np.memmap(path, header.dtype, "c", offset=header.length, shape=header.shape, order=header.order)


def _why(error: Exception) -> str:
    if isinstance(error, DamagedArrayError):
        return str(error)
    text = str(error.args[0] if error.args else "").partition("\n")[0] or type(error).__name__
    return f"cannot be read, cut short, damaged or no NumPy file ({text})"

"""Files of users: special ones are refused, encodings understood or named, sizes checked before anything is read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from crbench import inputs
from crbench.errors import DataError, SystemFaultError
from crbench.inputs import (
    check_input,
    check_utf8,
    is_utf8,
    memory_fault,
    memory_limit,
    open_input,
    read_input,
    read_text_input,
)


def fifo(path):
    os.mkfifo(path)


def bound_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [fifo, bound_socket, device])
@pytest.mark.parametrize("read", [open_input, check_input, read_input, read_text_input])
def test_what_is_no_file_is_refused_at_once(make, read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "x")
    with pytest.raises(DataError, match="x: a FIFO, a socket or a device; expected a file, so copy its content into"):
        read(tmp_path / "x")


def test_other_errors_are_those_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_input(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_input(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        read_input(tmp_path / "loop")
    check_input(tmp_path / "none")
    check_input(tmp_path)


@pytest.mark.parametrize(("number", "advice"), [(24, "ulimit -n"), (23, "close programs"), (5, "failing")])
def test_what_says_nothing_about_the_file_is_a_fault_of_the_system(tmp_path, monkeypatch, number, advice):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(SystemFaultError, match=f"cannot read .*x: .*{advice}"):
        read_input(tmp_path / "x")


TEXT = "pid,camid\nÄ,1\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_understood(tmp_path, encoding):
    (tmp_path / "x.csv").write_bytes(TEXT.encode(encoding))
    assert read_text_input(tmp_path / "x.csv") == TEXT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("latin-1"), "byte 0xc4 at 10 is not UTF-8; save it as UTF-8"),
        ("pid\n1\n".encode("utf-16-le"), "NUL characters, as UTF-16 without a byte-order mark does; save it as UTF-8"),
        ("pid\n1\n".encode("utf-16")[:-1], "is not UTF-16; save it as UTF-8"),
    ],
)
def test_another_encoding_is_named(tmp_path, content, message):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_text_input(tmp_path / "x.csv")


def test_a_file_larger_than_the_memory_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "x").open("wb") as file:
        file.truncate(1 << 42)  # takes no room on disk
    with pytest.raises(DataError, match=r"x: it takes 4096.0 GiB of memory, and there are \d+\.\d"):
        read_input(tmp_path / "x")


def test_memory_is_short_only_where_it_does_not_hold_the_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(bytes(100))
    claims = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1000000000000000 bytes")
    assert memory_fault(path, claims) is memory_fault(path, MemoryError()) is None, "the file is damaged"
    os.truncate(path, 1 << 42)  # takes no room on disk
    monkeypatch.setattr(inputs, "_COPIES", 1 << 6)  # more than there are addresses
    assert memory_fault(path, ValueError("no tensors")) is None
    with pytest.raises(SystemFaultError, match=r"x: out of memory \(.*can't allocate.*\); free some, raise the limit"):
        raise memory_fault(path, claims)


def test_the_memory_is_that_of_machine_container_and_limit(tmp_path, monkeypatch):
    known = memory_limit()
    assert 1 << 28 < known < 1 << 50
    for content, expected in (("max\n", known), ("1000000\n", 1_000_000)):
        (tmp_path / "max").write_text(content)
        monkeypatch.setattr(inputs, "_LIMITS", (str(tmp_path / "max"), str(tmp_path / "none")))
        assert memory_limit() == expected


def test_names_that_are_not_utf_8_are_known():
    assert is_utf8("Ä/b")
    assert not is_utf8(os.fsdecode(b"a\xff"))
    check_utf8(Path("Ä/b"))
    with pytest.raises(DataError, match="the name is not UTF-8; rename the file or folder"):
        check_utf8(Path(os.fsdecode(b"a\xff")))

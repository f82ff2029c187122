"""Leases: one process has each, whoever dies or sleeps loses it, and nobody else does."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from crbench.errors import SystemFaultError
from crbench.store import lease as leases
from crbench.store.lease import Claim, forget_dead, holders, leased

OWNER = """
import sys, time
from pathlib import Path
from crbench.store.lease import Claim
assert Claim(Path(sys.argv[1]), {"name": "theirs"}).attempt()
print(flush=True)
time.sleep(99)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "work.lease"


@pytest.fixture
def other(place: Path):
    """A process that has the lease."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(place)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process
        process.kill()


def test_one_has_it_until_it_is_released(place: Path) -> None:
    first = Claim(place, {"name": "a cell"}).attempt()
    assert first is not None
    second = Claim(place)
    assert second.attempt() is None
    assert second.holder is not None
    assert (second.holder.facts["name"], second.holder.facts["pid"]) == ("a cell", os.getpid())
    assert [holder.facts["name"] for holder in holders(place.parent)] == ["a cell"]
    first.release()
    assert holders(place.parent) == list(place.parent.iterdir()) == []
    assert second.attempt() is not None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_it_does_not_outlive_an_owner_of_this_machine(place: Path, other) -> None:
    claim = Claim(place)
    assert claim.attempt() is None
    other.kill()
    other.wait()
    assert holders(place.parent) == []
    assert claim.attempt() is not None
    assert [path.name for path in place.parent.iterdir()] == ["work.lease-2"]


def test_it_is_lost_where_it_is_not_renewed(place: Path, monkeypatch) -> None:
    monkeypatch.setattr(leases, "LOST_S", 0.2)
    path = place.with_name("work.lease-3")
    path.write_text(json.dumps({"process": "00000000-1", "host": "elsewhere", "pid": 1}))
    claim = Claim(place)
    assert claim.attempt() is None, "the clock of another machine says nothing"
    for _ in range(4):
        time.sleep(0.1)
        os.utime(path)
        assert claim.attempt() is None, "it was renewed"
    time.sleep(0.25)
    assert claim.attempt() is not None
    assert [path.name for path in place.parent.iterdir()] == ["work.lease-4"]


def test_an_owner_that_works_renews_it(place: Path, monkeypatch) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.02)
    with leased(place):
        (path,) = place.parent.iterdir()
        before = path.stat().st_mtime_ns
        for _ in range(500):
            if path.stat().st_mtime_ns != before:
                break
            time.sleep(0.01)
        else:
            pytest.fail("it was not renewed")
    assert list(place.parent.iterdir()) == []


def test_of_many_that_ask_at_once_one_works_at_a_time(place: Path, monkeypatch) -> None:
    monkeypatch.setattr(leases, "POLL_S", 0.001)
    inside, most = [], []

    def work() -> None:
        for _ in range(20):
            with leased(place):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (160, 1)


def test_a_lease_that_is_given_back_while_it_is_looked_at_is_looked_at_again(place: Path, monkeypatch) -> None:
    """Who was refused gives back a number above that of the owner, whose lease is not seen at that moment."""
    with leased(place):
        last = leases._last
        monkeypatch.setattr(leases, "_last", lambda place: (2, None))
        claim = Claim(place)
        assert claim.attempt() is None
        monkeypatch.setattr(leases, "_last", last)
        assert claim.attempt() is None
        assert claim.holder is not None
    assert claim.attempt() is not None


def test_a_lease_that_cannot_be_read_is_somebody_s(place: Path, monkeypatch) -> None:
    with leased(place):

        def refused(self: Path, mode: str = "r") -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refused)
        claim = Claim(place)
        assert claim.attempt() is None
        assert claim.holder is not None
        monkeypatch.undo()


def test_of_many_that_find_it_lost_one_takes_it(place: Path) -> None:
    place.with_name("work.lease-1").write_text(json.dumps({"process": "x", "host": "elsewhere"}))
    claims = [Claim(place) for _ in range(8)]
    assert [claim.attempt() for claim in claims] == [None] * 8
    for claim in claims:
        claim._since -= leases.LOST_S
    barrier, taken = threading.Barrier(8), []

    def take(claim: Claim) -> None:
        barrier.wait()
        if (lease := claim.attempt()) is not None:
            taken.append(lease)

    threads = [threading.Thread(target=take, args=[claim]) for claim in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    taken[0].release()


def test_what_the_dead_left_is_deleted(place: Path, other) -> None:
    other.kill()
    other.wait()
    forgotten = place.with_name("old.lease-1")
    forgotten.write_text(json.dumps({"process": "00000000-1"}))
    os.utime(forgotten, (0, 0))
    with leased(place.with_name("theirs.lease")):
        own = Claim(place.with_name("own.lease")).attempt()
        assert own is not None
        forget_dead(place.parent, own)
        assert sorted(path.name for path in place.parent.iterdir()) == ["own.lease-1", "theirs.lease-1"]
        own.release()


def test_a_file_that_its_owner_did_not_finish_holds_for_a_while(place: Path, monkeypatch) -> None:
    place.with_name("work.lease-1").touch()
    claim = Claim(place)
    assert claim.attempt() is None
    monkeypatch.setattr(leases, "LOST_S", 0)
    assert claim.attempt() is not None


@pytest.fixture
def without_links(monkeypatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)


@pytest.mark.usefixtures("without_links")
def test_a_file_system_without_links_will_do(place: Path, other) -> None:
    claim = Claim(place)
    assert claim.attempt() is None
    other.kill()
    other.wait()
    lease = claim.attempt()
    assert lease is not None
    assert [path.name for path in place.parent.iterdir()] == [lease.path.name]
    lease.release()


@pytest.mark.usefixtures("without_links")
def test_a_lease_that_cannot_be_written_is_nobody_s(place: Path, monkeypatch) -> None:
    """Where the disk is full, the next run would wait for the half of a lease, and the status would list it."""

    def full(path: Path, mode: str, *_: object, **__: object) -> io.BufferedWriter:
        assert mode == "xb"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL)  # for reading, so that nothing can be written
        return io.BufferedWriter(io.FileIO(descriptor, "wb"))

    with pytest.MonkeyPatch.context() as disk:
        disk.setattr(Path, "write_bytes", lambda *_: None)
        disk.setattr(Path, "open", full)
        with pytest.raises(SystemFaultError, match=r"cannot write .*work\.lease-1"):
            Claim(place).attempt()
    assert list(place.parent.iterdir()) == []
    assert Claim(place).attempt() is not None


def test_a_lease_appears_with_what_it_says(place: Path, monkeypatch) -> None:
    """Else who is killed before he wrote it would hold it for half a minute."""
    found: list[bytes] = []
    link = os.link

    def noted(source: Path, target: Path) -> None:
        found.append(source.read_bytes())
        link(source, target)

    monkeypatch.setattr(os, "link", noted)
    lease = Claim(place, {"name": "mine"}).attempt()
    assert lease is not None
    assert [json.loads(content)["name"] for content in found] == ["mine"]
    assert lease.path.read_bytes() == found[0]


def test_what_was_never_written_is_deleted_soon(place: Path) -> None:
    for name, age in (("new", 0), ("old", leases.LOST_S + 1)):
        half = place.with_name(f"{name}.lease-1")
        half.write_text('{"process": ')
        then = half.stat().st_mtime - age
        os.utime(half, (then, then))
    own = Claim(place).attempt()
    assert own is not None
    forget_dead(place.parent, own)
    assert sorted(path.name for path in place.parent.iterdir()) == ["new.lease-1", "work.lease-1"]
    own.release()


def test_who_waits_is_told_for_whom(place: Path, other) -> None:
    told: list[str] = []

    def tell(holder: leases.Holder) -> None:
        told.append(str(holder))
        other.kill()

    with leased(place, waiting=tell):
        pass
    (words,) = told
    assert words.startswith(f"process {other.pid} on ")


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemFaultError, match="cannot write"):
        Claim(tmp_path / "file" / "work.lease").attempt()

"""Leases: one process does a piece of work, the others wait for it, and none waits for a dead one for long.

A lease is a small file beside what is made. Its owner renews it, and whoever finds it unchanged for `LOST_S` of its own
clock takes it over, so that clocks of machines need not agree; that its owner has died on this machine is seen at once.
It asks of a file system only that a file can be made where none is, as network folders without locks do; where it has
hard links, a lease is there with all that it says, or not at all.

The files of one lease are numbered. Who takes it over makes the next one, which only one process can; the owner is who
made the last. A process that was stopped for so long that it lost its lease goes on beside the next one: both write the
same, whole.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from crbench.errors import SystemFaultError
from crbench.faults import faults_of
from crbench.store.files import write_text
from crbench.store.temporaries import delete_temporary, has_ended, temporary_in, this_process

RENEW_S = 5.0
"""Seconds between two renewals of a lease."""

LOST_S = 30.0
"""Seconds without a renewal after which a lease is taken over."""

_DAY = 86_400.0

POLL_S = 0.2
"""Seconds between two looks at a lease that somebody has."""


@attrs.frozen
class Holder:
    """Who has a lease, as its file says.

    Attributes:
        path: the file.
        renewed: time of its last renewal in seconds, by the clock of its file system.
        facts: what its owner wrote into it (JSON values); empty where it has not written yet.
    """

    path: Path
    renewed: float
    facts: Mapping[str, Any]

    @property
    def dead(self) -> bool:
        """Whether its owner is known to have ended, on this machine."""
        owner = self.facts.get("process")
        return isinstance(owner, str) and has_ended(owner)

    def __str__(self) -> str:
        return f"process {self.facts.get('pid', '?')} on {self.facts.get('host', '?')}"


@attrs.frozen(eq=False)
class Lease:
    """A lease of this process, renewed until it is released."""

    path: Path
    facts: Mapping[str, Any]

    def note(self, facts: Mapping[str, Any]) -> None:
        """Say something else in its file; that it cannot be written stops nothing."""
        with suppress(SystemFaultError):
            write_text(self.path, json.dumps({**self.facts, **facts}))

    def release(self) -> None:
        """Give it back; who waits takes it."""
        _renewals.forget(self.path)
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


@attrs.define(eq=False)
class Claim:
    """An attempt to get a lease, which others may have.

    Attributes:
        place: what the lease is for: its files lie there, with a number at the end of their names.
        facts: what its file says beside its owner (JSON values).
    """

    place: Path
    facts: Mapping[str, Any] = attrs.field(factory=dict)
    holder: Holder | None = attrs.field(default=None, init=False)
    _since: float = attrs.field(default=0.0, init=False)

    def attempt(self) -> Lease | None:
        """The lease, if nobody has it or its owner is gone; else `holder` has it.

        Raises:
            SystemFaultError: its file cannot be made.
        """
        number, found = _last(self.place)
        if found is not None and not self._gone(found):
            self.holder = found
            return None
        if number and found is None:
            return None  # deleted just now, by its owner or by a process that came too late for the lease
        path = _numbered(self.place, number + 1)
        with faults_of(f"cannot write {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            said = {**self.facts, **_owner()}
            if not _made(path, json.dumps(said).encode()):
                return None  # somebody was faster
        before = _read(_numbered(self.place, number))
        if _last(self.place)[0] > number + 1 or before not in (found, None):
            path.unlink(missing_ok=True)  # it has changed hands since it was looked at
            return None
        for old in range(1, number + 1):
            _numbered(self.place, old).unlink(missing_ok=True)
        _renewals.add(path)
        return Lease(path, said)

    def _gone(self, found: Holder) -> bool:
        if self.holder is None or (found.path, found.renewed) != (self.holder.path, self.holder.renewed):
            self._since = time.monotonic()
        return found.dead or time.monotonic() - self._since >= LOST_S


@contextmanager
def leased(
    place: Path, facts: Mapping[str, Any] | None = None, *, waiting: Callable[[Holder], object] | None = None
) -> Iterator[None]:
    """While nobody else has this lease; waits for it.

    Args:
        place, facts: see `Claim`.
        waiting: is told once that another process has it.

    Raises:
        SystemFaultError: its file cannot be made.
    """
    claim = Claim(place, facts or {})
    told = False
    while (lease := claim.attempt()) is None:
        if waiting is not None and claim.holder is not None and not told:
            waiting(claim.holder)
            told = True
        time.sleep(POLL_S)
    try:
        yield
    finally:
        lease.release()


def holders(folder: Path) -> list[Holder]:
    """Who has the leases of a folder, without those who are known to have died; by place."""
    places = dict.fromkeys(path.with_suffix("") for path in sorted(folder.glob("*.lease-*")))
    found = [_last(place.with_suffix(".lease"))[1] for place in places]
    return [holder for holder in found if holder is not None and not holder.dead]


def forget_dead(folder: Path, own: Lease) -> None:
    """Delete what processes left in a folder of leases that have died here, or said nothing for a day.

    Who has not even written what the lease is for has died in that moment, if the file is not renewed.

    Args:
        own: a lease there that is new; its time is that of the file system.
    """
    with suppress(OSError):
        now = own.path.stat().st_mtime
        for path in folder.glob("*.lease-*"):
            found = _read(path)
            if found is not None and (found.dead or now - found.renewed > (_DAY if found.facts else LOST_S)):
                path.unlink(missing_ok=True)


def _made(path: Path, content: bytes) -> bool:
    """Make a file, unless one is there; it appears with its content, so that nobody finds the half of a lease."""
    part = temporary_in(path.parent)
    try:
        part.write_bytes(content)
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:  # the disk is full, or the file system has no links
        return _made_in_place(path, content)
    finally:
        delete_temporary(part)
    return True


def _made_in_place(path: Path, content: bytes) -> bool:
    """The same where it may be found before it is written."""
    try:
        file = path.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    return True


def _numbered(place: Path, number: int) -> Path:
    return place.with_name(f"{place.name}-{number}")


def _last(place: Path) -> tuple[int, Holder | None]:
    """The highest number of the files of a lease, 0 where there is none, and what the file says."""
    start = f"{place.name}-"
    try:
        names = [entry.name for entry in os.scandir(place.parent) if entry.name.startswith(start)]
    except OSError:
        return 0, None
    numbers = [int(name.removeprefix(start)) for name in names if name.removeprefix(start).isdecimal()]
    number = max(numbers, default=0)
    return number, _read(_numbered(place, number)) if number else None


def _read(path: Path) -> Holder | None:
    """None where it was released just now. Opened first, as network folders remember times of files that are closed."""
    try:
        with path.open("rb") as file:
            content, renewed = file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    except OSError:  # it is held by somebody whose file this user may not read
        return _unreadable(path)
    try:
        facts = json.loads(content)
    except ValueError:  # its owner has not written it yet, or died before
        facts = {}
    return Holder(path, renewed, facts if isinstance(facts, dict) else {})


def _unreadable(path: Path) -> Holder | None:
    try:
        return Holder(path, path.stat().st_mtime, {})
    except OSError:
        return None


def _owner() -> dict[str, Any]:
    return {"process": this_process(), "host": platform.node(), "pid": os.getpid(), "since": time.time()}


class _Renewals:
    """Renews all leases of this process, in one thread, which ends with the last of them."""

    def __init__(self) -> None:
        self._paths: set[Path] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._changed = threading.Event()

    def add(self, path: Path) -> None:
        with self._lock:
            self._paths.add(path)
            if self._thread is None:
                self._changed.clear()
                self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)
                self._thread.start()

    def forget(self, path: Path) -> None:
        with self._lock:
            self._paths.discard(path)
            if not self._paths:
                self._changed.set()

    def _renew(self) -> None:
        while True:
            self._changed.wait(RENEW_S)
            with self._lock:
                self._changed.clear()
                if not self._paths:
                    self._thread = None
                    return
                paths = list(self._paths)
            for path in paths:
                with suppress(OSError):  # it is taken over, or the folder is out of reach for the moment
                    os.utime(path)


_renewals = _Renewals()

"""Of two processes that want the same weights, one trains and the other waits."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from crbench.api.context import RunContext
from crbench.errors import SystemFaultError
from crbench.harness import weights
from crbench.harness.weights import train_once

RUN = RunContext(logger=logging.getLogger("run"))


def test_who_waits_says_so_and_goes_on_when_the_other_is_done(tmp_path: Path, caplog) -> None:
    path, trained = tmp_path / "w.safetensors", []
    caplog.set_level(logging.INFO)
    lock = FileLock(path.with_suffix(".lock"))
    lock.acquire()
    thread = threading.Thread(target=lambda: train_once(path, lambda: trained.append(1), run=RUN))
    thread.start()
    while thread.is_alive() and not caplog.messages:
        thread.join(0.01)
    assert trained == []
    lock.release()
    thread.join()
    assert trained == [1]
    assert caplog.messages == [
        f"another process trains w.safetensors; this one waits for it ({path.with_suffix('.lock')})"
    ]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_lock_does_not_outlive_its_owner(tmp_path: Path, caplog) -> None:
    path, trained = tmp_path / "w.safetensors", []
    code = "import sys, time; from filelock import FileLock; FileLock(sys.argv[1]).acquire(); print(); time.sleep(99)"
    command = [sys.executable, "-u", "-c", code, str(path.with_suffix(".lock"))]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "\n"
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    caplog.set_level(logging.INFO)
    train_once(path, lambda: trained.append(1), run=RUN)
    assert (trained, caplog.messages) == ([1], [])


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_without_locks_it_trains_all_the_same(tmp_path: Path, caplog, monkeypatch, number: int) -> None:
    trained: list[int] = []
    monkeypatch.setattr(weights, "FileLock", lambda path: Broken(path, number))
    train_once(tmp_path / "w.safetensors", lambda: trained.append(1), run=RUN)
    assert trained == [1]
    (line,) = caplog.messages
    assert line.endswith("; another process may train the same weights at the same time")


def test_other_faults_of_a_lock_are_faults_of_the_system(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(weights, "FileLock", lambda path: Broken(path, errno.EIO))
    with pytest.raises(SystemFaultError, match=r"cannot lock .*w\.lock"):
        train_once(tmp_path / "w.safetensors", lambda: None, run=RUN)


class Broken:
    def __init__(self, path: Path, number: int) -> None:
        self.lock_file = str(path)
        self.number = number

    def acquire(self, **_: object) -> None:
        raise OSError(self.number, os.strerror(self.number))

    def release(self) -> None:
        return None

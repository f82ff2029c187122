"""Copies beside the device's work; on a CPU there are none, and a stand-in for CUDA shows their order."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from crbench import transfer
from crbench.transfer import Transfer


def test_on_a_cpu_nothing_is_copied():
    copies = Transfer("cpu")
    host = copies.buffer((2, 3), torch.uint8)
    assert copies.upload(host) is host
    x = torch.ones(2)
    assert copies.download(x).take() is x


class Log(list):
    """What a stand-in for ``torch.cuda`` was asked to do, in order."""

    def stream(self, name):
        log = self

        class Stream:
            def wait_stream(self, other):
                log.append(f"{name} waits for {other.name}")

        one = Stream()
        one.name = name
        return one


class OnDevice:
    """A tensor on the stand-in."""

    shape, dtype = (2,), torch.float32

    def __init__(self, log):
        self.log = log

    def record_stream(self, stream):
        self.log.append(f"memory is kept for {stream.name}")


class Host(OnDevice):
    """A pinned tensor."""

    def to(self, device, *, non_blocking):
        self.log.append(f"upload to {device}, non_blocking={non_blocking}")
        return OnDevice(self.log)

    def copy_(self, x, *, non_blocking):
        self.log.append(f"download, non_blocking={non_blocking}")


@pytest.fixture
def log(monkeypatch):
    log = Log()

    class Event:
        def __init__(self, *, blocking):
            self.blocking = blocking

        def record(self, stream):
            log.append(f"event on {stream.name}")

        def synchronize(self):
            log.append("host waits for the event")

    class Cuda:
        @staticmethod
        @contextmanager
        def stream(stream):
            log.append(f"enter {stream.name}")
            yield
            log.append(f"leave {stream.name}")

        @staticmethod
        def Stream(device):  # noqa: N802
            return log.stream("side")

        @staticmethod
        def current_stream(device):
            return log.stream("main")

    Cuda.Event = Event
    monkeypatch.setattr(transfer.torch, "cuda", Cuda)
    monkeypatch.setattr(
        transfer.torch, "empty", lambda shape, *, dtype, pin_memory: log.append(pin_memory) or Host(log)
    )
    return log


def test_an_upload_runs_on_its_own_stream_and_what_follows_waits_for_it(log):
    copies = Transfer("cuda:0")
    host = copies.buffer((2,), torch.uint8)
    copies.upload(host)
    assert log == [
        True,
        "enter side",
        "upload to cuda:0, non_blocking=True",
        "leave side",
        "main waits for side",
        "memory is kept for main",
    ]


def test_a_download_is_waited_for_only_when_it_is_taken(log):
    down = Transfer("cuda:0").download(OnDevice(log))
    assert log == [True, "download, non_blocking=True", "event on main"]
    down.take()
    assert log[-1] == "host waits for the event"

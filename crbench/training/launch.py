"""Training in several processes: how they are started, connected and ended.

They are on one machine. They meet by a file in a folder that only the user may enter, and the ports at which they then
connect are those of the loopback interface, which no other machine reaches. Gloo has no password: another user of this
machine could try to connect in its place, in the moment before all processes have met. What comes later is ignored.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import attrs
import torch
from torch import distributed

from crbench.errors import ConfigError, CrbenchError

TIMEOUT = timedelta(days=7)
"""How long a process waits for the others, for example while the first one evaluates.

A process that dies is noticed at once, whatever this value.
"""


def check_processes(count: int, device: str) -> None:
    """Refuse a number of processes that `launch` cannot start.

    Raises:
        ConfigError: a number below 1, fewer CUDA devices than processes, one device for all, or no Accelerate.
    """
    if count < 1:
        raise ConfigError(f"processes: {count} is not a number from 1")
    if count == 1:
        return
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"--device {device} is one device; {count} processes need --device cuda or cpu")
    if device == "cuda" and torch.cuda.device_count() < count:
        raise ConfigError(f"{count} processes need as many CUDA devices; here are {torch.cuda.device_count()}")
    if importlib.util.find_spec("accelerate") is None:
        raise ConfigError("several processes need Accelerate: pip install 'crbench[multi]'")


def launch(count: int, device: str, work: Callable[..., object], *arguments: object, logger: logging.Logger) -> None:
    """Call ``work(device, *arguments)`` in `count` new processes that train together, and wait until all have ended.

    Args:
        device: ``cpu``, or ``cuda`` for one CUDA device per process; `work` gets the name of its own device.
        work: a module-level function, because it is pickled together with its arguments.
        logger: receives what the processes log on their logger ``crbench``.

    Raises:
        CrbenchError: a process raised it, or a process died; the others are ended at once.
    """
    with tempfile.TemporaryDirectory(prefix="crbench-") as folder:  # which has mode 0700
        _work(count, device, work, arguments, Path(folder) / "rendezvous", logger)


def _work(
    count: int,
    device: str,
    work: Callable[..., object],
    arguments: tuple[object, ...],
    rendezvous: Path,
    logger: logging.Logger,
) -> None:
    context = get_context("spawn")
    processes: dict[Connection, SpawnProcess] = {}
    try:
        for rank in range(count):
            receiver, sender = context.Pipe(duplex=False)
            member = _Member(rank, count, str(rendezvous), device, logger.getEffectiveLevel())
            process = context.Process(target=_run_member, args=(member, sender, work, arguments), daemon=True)
            with _environment(count):
                process.start()
            sender.close()
            processes[receiver] = process
        _supervise(processes, logger)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.join(5)
            process.kill()
            process.join()


@contextmanager
def _environment(count: int) -> Iterator[None]:
    """Set the environment variables that a new process needs before it imports torch.

    Each process gets its share of the processors. torch's warnings are silenced: it warns about
    `find_unused_parameters` when all parameters are used, and a user of a backbone cannot change that.
    """
    wanted = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count)), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ |= new
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


def _supervise(processes: Mapping[Connection, SpawnProcess], logger: logging.Logger) -> None:
    """Log what the processes send until all have ended; raise the first error."""
    left = list(processes)
    while left:
        ready = wait(left)
        for receiver in [receiver for receiver in left if receiver in ready]:
            try:
                message = receiver.recv()
            except EOFError:
                left.remove(receiver)
                _check_end(processes[receiver])
                continue
            if isinstance(message, CrbenchError):
                raise message
            logger.handle(message)


def _check_end(process: SpawnProcess) -> None:
    process.join()
    code = process.exitcode or 0
    if code < 0:
        name = signal.Signals(-code).name
        raise CrbenchError(f"a process of the training was killed ({name}); is there memory for all?")
    if code > 0:
        raise CrbenchError("a process of the training failed; its traceback is above")


@attrs.frozen
class _Member:
    """One process of a training.

    Attributes:
        rank: its number, from 0.
        count: processes of the training.
        rendezvous: the file by which they find each other.
        level: of its logger.
    """

    rank: int
    count: int
    rendezvous: str
    device: str
    level: int


class _LogSender(logging.Handler):
    """Sends log records to the process that started this one."""

    def __init__(self, channel: Connection) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self._channel.send(logging.makeLogRecord({**record.__dict__, "msg": message, "args": None, "exc_info": None}))


def _run_member(
    member: _Member, channel: Connection, work: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    """The main function of a new process."""
    # A terminal sends these to every process. The parent obeys them, and ends its children.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logger = logging.getLogger("crbench")
    logger.setLevel(member.level)
    logger.handlers[:] = [_LogSender(channel)]
    logger.propagate = False
    try:
        work(_connect(member), *arguments)
    except CrbenchError as error:
        channel.send(error)
    else:
        distributed.destroy_process_group()


def _connect(member: _Member) -> str:
    """Connect to the other processes; returns the torch device of this one."""
    from accelerate import PartialState
    from torch.distributed import FileStore  # type: ignore[attr-defined]

    ranks = {"RANK": member.rank, "LOCAL_RANK": member.rank}
    sizes = {"WORLD_SIZE": member.count, "LOCAL_WORLD_SIZE": member.count}
    os.environ |= {name: str(value) for name, value in {**ranks, **sizes}.items()}
    if (loopback := _loopback()) is not None:  # whatever interface the user has set for other programs
        os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": f"={loopback}"}
    store = FileStore(member.rendezvous, member.count)
    store.set_timeout(TIMEOUT)
    place = {"store": store, "rank": member.rank, "world_size": member.count}
    state = PartialState(cpu=member.device == "cpu", timeout=TIMEOUT, **place)
    return str(state.device)


def _loopback() -> str | None:
    """The interface that only programs of this machine reach; None where it has another name than usual."""
    names = {name for _, name in socket.if_nameindex()} if hasattr(socket, "if_nameindex") else set()
    return next((name for name in ("lo", "lo0") if name in names), None)


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has ended."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

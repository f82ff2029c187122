"""Training shared by several processes: how they start, meet and end."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from signal import SIG_IGN, SIGINT, Signals, signal

import attrs
import torch
from torch import distributed

from crbench.errors import ConfigError, CrbenchError

PATIENCE = timedelta(days=7)
"""How long a process waits for the others, such as while the first evaluates. One that dies is noticed at once."""


def check_processes(count: int, device: str) -> None:
    """Whether `launch` can start so many.

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
    """Call ``work(device, *arguments)`` in `count` new processes that train together, and wait for all.

    Args:
        device: ``cpu``, or ``cuda`` for one CUDA device each; `work` is told which.
        work: a function of a module, as it is pickled with its arguments.
        logger: takes the notes that the processes make on their logger ``crbench``.

    Raises:
        CrbenchError: the first that one of them raised, or that one died; the others are ended at once.
    """
    context = get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes: dict[Connection, SpawnProcess] = {}
    try:
        for rank in range(count):
            receiver, sender = context.Pipe(duplex=False)
            place = _Place(rank, count, port, device, logger.getEffectiveLevel())
            process = context.Process(target=_take_part, args=(place, sender, work, arguments), daemon=True)
            with _environment(count):
                process.start()
            sender.close()
            processes[receiver] = process
        _attend(processes, logger)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.join(5)
            process.kill()
            process.join()


@contextmanager
def _environment(count: int) -> Iterator[None]:
    """What a new process must find when it imports torch: its share of the processors, and no advice for programmers.

    torch warns of `find_unused_parameters` wherever no parameter is unused, which no user of a backbone can change.
    """
    wanted = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count)), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ |= new
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


def _attend(processes: Mapping[Connection, SpawnProcess], logger: logging.Logger) -> None:
    """Hand on what the processes say until each has ended well."""
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
        raise CrbenchError(f"a process of the training was killed ({Signals(-code).name}); is there memory for all?")
    if code > 0:
        raise CrbenchError("a process of the training failed; its traceback is above")


@attrs.frozen
class _Place:
    """Where a process stands among those of its training."""

    rank: int
    count: int
    port: int
    device: str
    level: int


class _Teller(logging.Handler):
    """Sends notes to the process that started this one."""

    def __init__(self, channel: Connection) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        self._channel.send(logging.makeLogRecord({**record.__dict__, "msg": message, "args": None, "exc_info": None}))


def _take_part(place: _Place, channel: Connection, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    """What a new process does."""
    signal(SIGINT, SIG_IGN)  # the process that started this one decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logger = logging.getLogger("crbench")
    logger.setLevel(place.level)
    logger.handlers[:] = [_Teller(channel)]
    logger.propagate = False
    try:
        work(_join(place), *arguments)
    except CrbenchError as error:
        channel.send(error)
    else:
        distributed.destroy_process_group()


def _join(place: _Place) -> str:
    """Meet the others; the torch device of this process."""
    from accelerate import PartialState

    facts = {"RANK": place.rank, "LOCAL_RANK": place.rank, "WORLD_SIZE": place.count, "LOCAL_WORLD_SIZE": place.count}
    os.environ |= {name: str(value) for name, value in facts.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(place.port)}
    state = PartialState(cpu=place.device == "cpu", timeout=PATIENCE)
    return str(state.device)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

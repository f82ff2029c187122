"""Data-parallel training: each process holds the whole network and takes an equal share of every batch.

The result equals that of one process up to rounding. Gradients and figures are averaged, `gathered` lets a loss compare
images of different shares, and on CUDA batch normalisation uses the whole batch (torch has no such layer for CPUs).
Only the first process writes files and logs. `crbench.training.launch` starts the processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from crbench.api.context import RunContext, no_progress
from crbench.errors import ConfigError

Indices = NDArray[np.intp]
Answer = TypeVar("Answer")


class Processes:
    """What a training asks of its processes; this class is for a training in one process.

    Attributes:
        count: number of processes.
        first: whether this is the process that writes, logs and evaluates.
        each: text for messages, saying that a batch is one process's share.
        no_fit: advice for messages when no smaller batch fits into memory, or when none was tried.
    """

    count = 1
    first = True
    each = ""
    no_fit = "no smaller batch fits either; use a smaller network or input, or amp=bf16"

    def prepare(self, objective: nn.Module, device: torch.device) -> None:
        """Replace layers that must work across processes; called before the objective moves to its device."""

    def network(self, objective: nn.Module) -> nn.Module:
        """The module to call for a batch: it gives all processes the same gradients."""
        return objective

    def accumulating(self, network: nn.Module) -> AbstractContextManager[None]:
        """A context in which gradients add up without being averaged over the processes."""
        return nullcontext()

    def shares(self, order: Sequence[Indices]) -> Sequence[Indices]:
        """This process's share of each batch."""
        return order

    def start_epoch(self, number: int, seed: int, generator: torch.Generator) -> None:
        """Seed the random generators for an epoch where processes must draw different numbers."""

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes."""
        return values

    def alone(self, attempt: Callable[[], Answer]) -> Answer | None:
        """The result of `attempt`; None if it needs the other processes."""
        return attempt()

    def broadcast(self, compute: Callable[[], Answer]) -> Answer:
        """The result of `compute` in the first process; the others wait for it."""
        return compute()

    def role(self, run: RunContext) -> RunContext:
        """`run` for this process: only the first one logs and shows progress."""
        return run


class SeveralProcesses(Processes):
    """Several processes, started by `crbench.training.launch.launch`."""

    each = " in each process"
    no_fit = "halve identities and double accumulate, or use more processes or amp=bf16"

    def __init__(self) -> None:
        from accelerate import PartialState

        self._state = PartialState()
        self.count = self._state.num_processes
        self.first = self._state.is_main_process

    def prepare(self, objective: nn.Module, device: torch.device) -> None:
        """On CUDA, batch normalisation over the whole batch; on a CPU each process normalises its share."""
        if device.type == "cuda":
            # torch's own conversion drops the activation inside timm's norm layers.
            from timm.layers.norm_act import convert_sync_batchnorm

            convert_sync_batchnorm(objective)  # type: ignore[no-untyped-call]

    def network(self, objective: nn.Module) -> nn.Module:
        """A new wrapper for each phase, as phases freeze different parameters; buffers follow the first process."""
        return nn.parallel.DistributedDataParallel(objective, find_unused_parameters=True)

    def accumulating(self, network: nn.Module) -> AbstractContextManager[None]:
        """A context without communication between the processes."""
        assert isinstance(network, nn.parallel.DistributedDataParallel)
        return network.no_sync()

    def shares(self, order: Sequence[Indices]) -> Sequence[Indices]:
        """Consecutive rows, so that persons stay together if their number divides by that of the processes.

        Raises:
            ConfigError: the size of a batch does not divide by the number of processes.
        """
        for size in {len(indices) for indices in order}:
            if size % self.count:
                raise ConfigError(
                    f"{self.count} processes cannot share a batch of {size} images equally; "
                    "change --processes, or identities or images of the recipe"
                )
        return [np.split(indices, self.count)[self._state.process_index] for indices in order]

    def start_epoch(self, number: int, seed: int, generator: torch.Generator) -> None:
        """Seeds follow from seed, epoch and process, so that a checkpoint need not store every process's generators."""
        drawn = np.random.default_rng([seed, number, self._state.process_index]).integers(2**63, size=2)
        generator.manual_seed(int(drawn[0]))
        torch.manual_seed(int(drawn[1]))

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes, the same in all."""
        from accelerate.utils import reduce

        mean: Tensor = reduce(values, "mean")
        return mean

    def alone(self, attempt: Callable[[], Answer]) -> None:
        """None: an update needs all processes, and the others are not waiting for one."""

    def broadcast(self, compute: Callable[[], Answer]) -> Answer:
        """The result of `compute` in the first process; the others wait for it."""
        from accelerate.utils import broadcast_object_list

        answers: list[Any] = [compute() if self.first else None]
        broadcast_object_list(answers)
        answer: Answer = answers[0]
        return answer

    def role(self, run: RunContext) -> RunContext:
        """`run` itself in the first process, a silent one in the others."""
        if self.first:
            return run
        return attrs.evolve(run, logger=logging.Logger("silent", logging.CRITICAL + 1), progress=no_progress)


def current() -> Processes:
    """The processes that this one trains with; alone it is `Processes` itself."""
    return SeveralProcesses() if _is_distributed() else Processes()


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes in the order of the batch, [b, ...] from [b / processes, ...]; differentiable.

    For losses that compare images of a batch with each other. In a training of one process it returns `rows`.

    Example:
        >>> rows = torch.zeros(2, 3)
        >>> gathered(rows) is rows
        True
    """
    if not _is_distributed():
        return rows
    together: Tensor = _Gather.apply(rows)
    return together


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class _Gather(torch.autograd.Function):
    """Concatenation over the processes; the gradient of a row is the sum of its gradients in all processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows)
        ctx.size = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        first = distributed.get_rank() * ctx.size
        return total[first : first + ctx.size]

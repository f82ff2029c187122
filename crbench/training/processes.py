"""Training shared by several processes: how they stay one. With `crbench.training.launch`, all that knows of several.

Each process takes an equal share of every batch and holds the whole network. What they make is what one process makes
of whole batches, up to rounding: gradients and figures are averaged, `gathered` lets a loss compare images across
shares, and batch normalisation sees the whole batch (on CUDA; torch has no such layer for CPUs). The first one writes.
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
    """The processes of a training as one of them sees them; this class is a training in one process.

    Attributes:
        count: how many they are.
        first: whether this is the one that writes, notes and evaluates.
        each: says in messages that a batch is one process's share.
        no_fit: advice where the memory suffices for no batch that `alone` tried.
    """

    count = 1
    first = True
    each = ""
    no_fit = "no smaller batch fits either; use a smaller network or input, or amp=bf16"

    def prepare(self, objective: nn.Module, device: torch.device) -> None:
        """Give the objective, before it moves to its device, layers that fit the number of processes."""

    def network(self, objective: nn.Module) -> nn.Module:
        """What to call instead of the objective, so that all processes get the same gradients."""
        return objective

    def accumulating(self, network: nn.Module) -> AbstractContextManager[None]:
        """Gradients of a batch inside are kept apart until those of a later batch are averaged."""
        return nullcontext()

    def shares(self, order: Sequence[Indices]) -> Sequence[Indices]:
        """This process's part of each batch."""
        return order

    def start_epoch(self, number: int, seed: int, generator: torch.Generator) -> None:
        """Set the random generators for an epoch, so that processes draw differently and a stop changes nothing."""

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes."""
        return values

    def alone(self, attempt: Callable[[], Answer]) -> Answer | None:
        """Do what this process can do without the others; None where it cannot."""
        return attempt()

    def told(self, ask: Callable[[], Answer]) -> Answer:
        """What the first process gets when it asks; the others wait for it."""
        return ask()

    def role(self, run: RunContext) -> RunContext:
        """`run` for this process; notes and progress are those of the first."""
        return run


class SeveralProcesses(Processes):
    """More than one; see `launch`."""

    each = " in each process"
    no_fit = "halve identities and double accumulate, or use more processes or amp=bf16"

    def __init__(self) -> None:
        from accelerate import PartialState

        self._state = PartialState()
        self.count = self._state.num_processes
        self.first = self._state.is_main_process

    def prepare(self, objective: nn.Module, device: torch.device) -> None:
        """With batch normalisation over the whole batch on CUDA; on a CPU, over each process's share."""
        if device.type == "cuda":
            # not torch's, which loses the activation that timm's layers hold
            from timm.layers.norm_act import convert_sync_batchnorm

            convert_sync_batchnorm(objective)  # type: ignore[no-untyped-call]

    def network(self, objective: nn.Module) -> nn.Module:
        """Wrapped anew for each phase, as phases freeze other parameters; buffers are those of the first process."""
        return nn.parallel.DistributedDataParallel(objective, find_unused_parameters=True)

    def accumulating(self, network: nn.Module) -> AbstractContextManager[None]:
        """Without communication."""
        assert isinstance(network, nn.parallel.DistributedDataParallel)
        return network.no_sync()

    def shares(self, order: Sequence[Indices]) -> Sequence[Indices]:
        """Consecutive rows: whole persons where their number divides.

        Raises:
            ConfigError: the processes do not divide a batch.
        """
        for size in {len(indices) for indices in order}:
            if size % self.count:
                raise ConfigError(
                    f"{self.count} processes cannot share a batch of {size} images equally; "
                    "change --processes, or identities or images of the recipe"
                )
        return [np.split(indices, self.count)[self._state.process_index] for indices in order]

    def start_epoch(self, number: int, seed: int, generator: torch.Generator) -> None:
        """From seed, epoch and process, so that a checkpoint need not hold the generators of all."""
        drawn = np.random.default_rng([seed, number, self._state.process_index]).integers(2**63, size=2)
        generator.manual_seed(int(drawn[0]))
        torch.manual_seed(int(drawn[1]))

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes, the same number in all."""
        from accelerate.utils import reduce

        mean: Tensor = reduce(values, "mean")
        return mean

    def alone(self, attempt: Callable[[], Answer]) -> None:
        """None: an update needs all processes, and the others wait elsewhere."""

    def told(self, ask: Callable[[], Answer]) -> Answer:
        """What the first process gets when it asks; the others wait for it."""
        from accelerate.utils import broadcast_object_list

        answer: list[Any] = [ask() if self.first else None]
        broadcast_object_list(answer)
        told: Answer = answer[0]
        return told

    def role(self, run: RunContext) -> RunContext:
        """Silent in all but the first."""
        if self.first:
            return run
        return attrs.evolve(run, logger=logging.Logger("silent", logging.CRITICAL + 1), progress=no_progress)


def current() -> Processes:
    """The processes that this one trains with."""
    return SeveralProcesses() if _are_several() else Processes()


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes in the order of the batch, [b, ...] from [b / processes, ...]; differentiable.

    For losses that compare images of a batch with each other. In a training of one process these are `rows`.

    Example:
        >>> rows = torch.zeros(2, 3)
        >>> gathered(rows) is rows
        True
    """
    if not _are_several():
        return rows
    together: Tensor = _Gather.apply(rows)
    return together


def _are_several() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class _Gather(torch.autograd.Function):
    """Concatenation over processes; the gradient of a row is the sum of what all processes have for it."""

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

"""Training of the vector-panning module; the same steps on the CPU and, as one CUDA graph, on a GPU."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import attrs
import torch
from attrs import validators as v
from torch import Tensor, nn

from crbench.api import Tracker, denormals_flushed, linear_layers
from crbench.errors import DataError
from crbench_vpfa.module import VectorPanning
from crbench_vpfa.pairs import Drawn
from crbench_vpfa.resume import Resume

Schedule = Literal["constant", "step30", "cosine"]

REPORT_EVERY = 20
"""Steps between two looks at the loss; on a GPU each look waits for the steps before it."""

EAGER_STEPS = 3
"""Steps on a GPU before the graph is captured; libraries set themselves up during them."""

ONE_THREAD = 2**25
"""Multiplications of one layer for one batch, up to which one thread computes."""

_AT_LEAST_1 = [v.instance_of(int), v.ge(1)]


@attrs.frozen
class Recipe:
    """How the module is trained; the defaults are the paper's.

    Attributes:
        epochs: passes over the drawn pairs.
        batch_size: pairs per step; the last step of an epoch takes what is left.
        lr, weight_decay: of Adam; the decay is added to the gradient.
        schedule: ``constant``; ``step30``: halved every 30 epochs; ``cosine``: down to 0 over the whole training.

    Raises:
        ValueError, TypeError: a value out of range.
    """

    epochs: int = attrs.field(default=120, validator=_AT_LEAST_1)
    batch_size: int = attrs.field(default=32, validator=_AT_LEAST_1)
    lr: float = attrs.field(default=2e-4, converter=float, validator=v.gt(0))
    weight_decay: float = attrs.field(default=1e-5, converter=float, validator=v.ge(0))
    schedule: Schedule = attrs.field(default="constant", validator=v.in_(typing.get_args(Schedule)))

    def lr_at(self, epoch: int, progress: float) -> float:
        """Learning rate in an epoch (from 0), when `progress` in [0, 1) of all steps is done."""
        if self.schedule == "step30":
            return self.lr * float(0.5 ** (epoch // 30))
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * progress))
        return self.lr

    def steps(self, pairs: int) -> int:
        """Steps of the whole training on so many drawn pairs."""
        return self.epochs * math.ceil(pairs / self.batch_size)


def train_module(
    module: VectorPanning,
    drawn: Drawn,
    recipe: Recipe,
    *,
    generator: torch.Generator,
    tracker: Tracker,
    resume: Resume,
) -> None:
    """Minimise the squared distance of the module's output to the target (Eq. 6), averaged over rows and columns.

    Args:
        module: changed in place; on the device of the features.
        drawn: the pairs.
        recipe: schedule and sizes.
        generator: of the CPU, for the order of the pairs, so that the order is the same on every device.
        tracker: advanced by the number of steps done, with the mean loss over them.
        resume: gives the state to continue from, and keeps new ones.

    Raises:
        DataError: the loss is not finite.
    """
    size = min(recipe.batch_size, len(drawn.order))
    step = _Step(module, drawn, recipe, size)
    first = resume.start(module, step.optimizer, generator)
    total = recipe.steps(len(drawn.order))
    done = reported = total // recipe.epochs * first
    if first:
        tracker.advance(done)
    for epoch in range(first, recipe.epochs):
        with _threads_for(module, size):
            for rows, weights in _batches(drawn, size, generator):
                step(rows, weights, recipe.lr_at(epoch, done / total))
                done += 1
                if done - reported == REPORT_EVERY or done == total:
                    mean = _checked(step.take_loss() / (done - reported), done, recipe.lr)
                    tracker.advance(done - reported, loss=mean)
                    reported = done
        resume.keep(epoch + 1, module, step.optimizer, generator)
    for parameter in module.parameters():
        parameter.grad = None


@contextmanager
def _threads_for(module: VectorPanning, size: int) -> Iterator[None]:
    """One thread where the products of a step are small, so that any number of threads gives the same bits.

    Several threads add in another order, and a fit lets the last bits grow: those of ``vpfa/light`` on two threads and
    on one differed by 0.04 points of R1. Where products are large, one thread would take too long.
    """
    before = torch.get_num_threads()
    largest = max(parameter.numel() for parameter in module.parameters())
    if size * largest <= ONE_THREAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batches(drawn: Drawn, size: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Row numbers i64[size] and weights f32[size, 1] of each step of an epoch, on the device.

    All batches have one size, so that one graph serves all: rows that fill up the last one weigh nothing, and the
    weights of a batch add up to 1 / D. LayerNorm looks at one row at a time, so these rows change nothing.
    """
    count, device = len(drawn.order), drawn.source.device
    order = drawn.order[torch.randperm(count, generator=generator)]
    filled = torch.zeros(math.ceil(count / size) * size, dtype=torch.int64)
    filled[:count] = order
    weights = torch.zeros(len(filled))
    weights[:count] = 1
    weights = weights.view(-1, size)
    weights /= weights.sum(dim=1, keepdim=True) * drawn.source.shape[1]
    rows = filled.view(-1, size).to(device)
    return list(zip(rows, weights.unsqueeze(2).to(device), strict=True))


def _checked(loss: float, step: int, lr: float) -> float:
    if not math.isfinite(loss):
        raise DataError(f"vpfa: the loss is {loss} at step {step}; a smaller aligner.lr than {lr:g} may help")
    return loss


class _LinearInto(torch.autograd.Function):
    """A linear layer whose weight's gradient overwrites ``weight.grad``, which must be there.

    Autograd would take fresh memory for it, 97 MB a step for features of 3,840 columns; to have these pages from the
    system again and again takes a CPU a quarter of the step. Gradients are the same bit for bit; the layer's values
    are those of `crbench.api.linear_layers`, which save a fifth of the step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.gradient = weight.grad
        with linear_layers():
            return nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, None, Tensor]:
        x, weight = ctx.saved_tensors
        torch.mm(above.t(), x, out=ctx.gradient)
        return above @ weight if ctx.needs_input_grad[0] else None, None, above.sum(dim=0)


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    result: Tensor = _LinearInto.apply(x, layer.weight, layer.bias)
    return result


class _Step:
    """One optimisation step over fixed buffers.

    On CUDA, gather, forward, backward and Adam are captured once and replayed: a step of batch 32 then costs what its
    memory traffic costs (about 40 bytes per parameter), not what its hundred kernel launches cost.
    """

    def __init__(self, module: VectorPanning, drawn: Drawn, recipe: Recipe, size: int) -> None:
        self._module = module
        self._source, self._target = drawn.source, drawn.target
        device = drawn.source.device
        self._cuda = device.type == "cuda"
        self._rows = torch.zeros(size, dtype=torch.int64, device=device)
        self._weights = torch.zeros(size, 1, device=device)
        self._loss = torch.zeros((), device=device)
        self._small = [parameter for parameter in module.parameters() if parameter.ndim == 1]
        for parameter in module.parameters():
            if parameter.ndim == 2:
                parameter.grad = torch.zeros_like(parameter)
        self.optimizer = torch.optim.Adam(
            module.parameters(),
            # A captured step reads the learning rate from memory, so there it is a tensor.
            lr=torch.tensor(recipe.lr, device=device) if self._cuda else recipe.lr,
            weight_decay=recipe.weight_decay,
            fused=device.type in ("cpu", "cuda"),
            capturable=self._cuda,
        )
        self._graph: torch.cuda.CUDAGraph | None = None
        self._eager_steps = 0

    def __call__(self, rows: Tensor, weights: Tensor, lr: float) -> None:
        """Take one step on the given rows."""
        self._rows.copy_(rows)
        self._weights.copy_(weights)
        self._set_lr(lr)
        if self._graph is not None:
            self._graph.replay()
        elif not self._cuda:
            with denormals_flushed():  # a fit that is called without a run would crawl, too
                self._update()
        elif self._eager_steps < EAGER_STEPS:
            self._update_aside()
            self._eager_steps += 1
        else:
            self._graph = self._capture()
            self._graph.replay()

    def take_loss(self) -> float:
        """The sum of the losses since the last call."""
        loss = float(self._loss)
        self._loss.zero_()
        return loss

    def _set_lr(self, lr: float) -> None:
        group = self.optimizer.param_groups[0]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr

    def _update(self) -> None:
        self._forget_gradients()
        gap = self._module(self._source[self._rows], _linear) - self._target[self._rows]
        loss = (self._weights * gap.square()).sum()
        loss.backward()
        self.optimizer.step()
        self._loss += loss.detach()

    def _forget_gradients(self) -> None:
        for parameter in self._small:
            parameter.grad = None

    def _update_aside(self) -> None:
        """A step on a stream of its own, as PyTorch asks for before a capture."""
        stream = torch.cuda.Stream(self._source.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._source.device))
        with torch.cuda.stream(stream):
            self._update()
        torch.cuda.current_stream(self._source.device).wait_stream(stream)

    def _capture(self) -> torch.cuda.CUDAGraph:
        # Capturing does not run the step; gradients must be born inside the graph's own memory.
        self._forget_gradients()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._source.device), torch.cuda.graph(graph):
            self._update()
        return graph

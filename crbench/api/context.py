"""What a plugin may know of the run that calls it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@attrs.frozen
class Epoch:
    """Means over the batches of one epoch.

    Attributes:
        phase: name of its phase.
        loss: what was minimised.
        figures: what the objective reports beside it, such as ``id_loss`` and ``accuracy``.
        lr: learning rate at the end of the epoch.
        images: images seen.
        seconds: wall time, without the evaluation.
        scores: of an evaluation after the epoch, if there was one.
    """

    phase: str
    loss: float
    figures: Mapping[str, float]
    lr: float = 0.0
    images: int = 0
    seconds: float = attrs.field(default=0.0, eq=False)
    scores: Mapping[str, float] = attrs.field(factory=dict)

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.3f}" for name, value in {"loss": self.loss, **self.figures}.items())


class Tracker(Protocol):
    """Progress of one piece of work."""

    def advance(self, count: int = 1, **figures: float) -> None:
        """Count `count` units as done and show the latest figures, e.g. ``loss=0.31``."""


class _Silent:
    def advance(self, count: int = 1, **figures: float) -> None:
        return None


def no_progress(total: int, description: str, unit: str) -> AbstractContextManager[Tracker]:
    """Shows nothing."""
    return nullcontext(_Silent())


Progress = Callable[[int, str, str], AbstractContextManager[Tracker]]
"""Called with total, description and unit; gives a context manager of a `Tracker`."""


class FitCheckpoint(Protocol):
    """Where the fit of an aligner that takes minutes keeps its state, so that it continues after it was stopped.

    A fit asks for a state at its start. Later, wherever it could start from a state, it saves one if that is due. It
    must end with the same transform, bit for bit, from whichever state it continues.

    Example:
        >>> def fit(steps, checkpoint):
        ...     saved = checkpoint.load()
        ...     total, done = (torch.zeros(1), 0) if saved is None else (saved[0]["total"], saved[1]["done"])
        ...     for step in range(done, steps):
        ...         total += step
        ...         if checkpoint.due():
        ...             checkpoint.save({"total": total}, {"done": step + 1})
        ...     return float(total)
        >>> import torch
        >>> fit(10, RunContext().session.fit)
        45.0
    """

    def load(self) -> tuple[Mapping[str, Tensor], Mapping[str, Any]] | None:
        """Tensors on the CPU and facts (JSON values) of the same fit, as `save` got them last; None = start anew."""

    def due(self) -> bool:
        """Whether it is time to save a state: not for short fits, and not so often that it costs time."""

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Keep a state in place of the one before; a copy is made at once."""


class _Forgetful:
    def load(self) -> None:
        return None

    def due(self) -> bool:
        return False

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        return None


@attrs.frozen
class TrainingSession:
    """What a run offers to a training, for the engine of `crbench.training` to use, and to the fit of an aligner.

    Attributes:
        checkpoint: file in which the training keeps its state, to continue after it was stopped; None = nowhere.
            Whoever chose it deletes it when the trained weights are safe.
        every: epochs between two checkpoints.
        score: called after each epoch with its number (from 1) and a function that gives the backbone as it is; returns
            scores to keep with the epoch.
        on_epoch: called with each finished epoch, those before a stop included.
        fit: for the fit of an aligner: where to keep its state.

    Where several processes train together, each has one; the first alone writes the checkpoint and asks for scores.
    """

    checkpoint: Path | None = None
    every: int = 1
    score: Callable[[int, Callable[[], Any]], Mapping[str, float]] | None = None
    on_epoch: Callable[[Epoch], None] | None = None
    fit: FitCheckpoint = attrs.field(factory=_Forgetful)


@attrs.frozen
class RunContext:
    """What a plugin may know of the run that calls it; an argument, never a global.

    Attributes:
        seed: everything random in a plugin starts from it.
        device: torch device name.
        logger: for notes to the user.
        progress: shows progress bars; silent by default.
        session: for trainings and fits: where to keep checkpoints, how to evaluate on the way.

    Example:
        >>> bool(RunContext(seed=1).generator().integers(10) == RunContext(seed=1).generator().integers(10))
        True
    """

    seed: int = 0
    device: str = "cpu"
    logger: logging.Logger = attrs.field(factory=lambda: logging.getLogger("crbench"), eq=False, repr=False)
    progress: Progress = attrs.field(default=no_progress, eq=False, repr=False)
    session: TrainingSession = attrs.field(factory=TrainingSession, eq=False, repr=False)

    def generator(self) -> np.random.Generator:
        """A fresh NumPy generator that starts from `seed`."""
        return np.random.default_rng(self.seed)

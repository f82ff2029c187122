"""Train an `Objective` in phases, or an `Embedder` by the usual losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Reader
from crbench.data.preprocess import Preprocess
from crbench.errors import DataError
from crbench.protocol.hashing import content_digest, digest
from crbench.records import Samples
from crbench.training.checkpoint import Checkpoint
from crbench.training.embedder import Embedder
from crbench.training.images import Images
from crbench.training.loop import Loop
from crbench.training.objective import IdTriplet, Objective
from crbench.training.phases import History, Phase
from crbench.training.processes import Processes, current
from crbench.training.recipe import Recipe
from crbench.training.sampler import PKSampler
from crbench.training.seeding import seeded
from crbench.training.source import Source


def train(
    model: Embedder,
    rows: Samples,
    read: Reader,
    *,
    recipe: Recipe,
    preprocess: Preprocess,
    run: RunContext,
    name: str = "model",
    snapshot: Callable[[], Backbone] | None = None,
) -> History:
    """Train `model` in place with ID loss and triplet loss; for other arguments and errors see `train_objective`.

    Args:
        rows: images of at least two persons; each distinct pid is a class.

    Returns:
        One record per epoch.
    """
    return train_objective(
        lambda persons: IdTriplet(model, persons, recipe),
        rows,
        read,
        phases=[Phase("train", recipe)],
        preprocess=preprocess,
        run=run,
        name=name,
        snapshot=snapshot,
    )


def train_objective(
    build: Callable[[int], Objective],
    rows: Samples,
    read: Reader,
    *,
    phases: Sequence[Phase],
    preprocess: Preprocess,
    run: RunContext,
    name: str = "model",
    snapshot: Callable[[], Backbone] | None = None,
) -> History:
    """Train the objective that `build` returns; afterwards it is on ``run.device`` and in evaluation mode.

    On the CPU the same seed, machine and number of threads give the same weights bit for bit. This also holds for a
    training that was stopped and continues from ``run.session.checkpoint``. torch's global random generators have
    the same state afterwards as before.

    Args:
        build: called once with the number of persons; torch's generators are seeded with ``run.seed`` for it.
        rows: images of at least two persons, HR and LR as the method wants them; class i is the i-th distinct pid in
            sorted order.
        phases: at least one.
        name: of the model in progress bars and messages.
        snapshot: returns the backbone in its present state, for evaluations between epochs (see
            `crbench.api.context.TrainingSession`).

    Returns:
        One record per epoch, phase after phase.

    Raises:
        DataError: fewer than two persons, an image that cannot be read, or a damaged checkpoint.
        CrbenchError: the loss or a weight is no longer finite, or memory is too small.
    """
    persons, labels = np.unique(rows.pids, return_inverse=True)
    if len(persons) < 2:
        raise DataError(f"train {name}: {len(rows)} training rows of {len(persons)} persons; at least 2 are needed")
    phases = [_with_sampler(phase, labels, run.seed) for phase in phases]
    processes, device = current(), torch.device(run.device)
    images = Images(rows, read, preprocess, run=run)
    with seeded(run.seed, run.device), torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        objective = build(len(persons))
        key = _key(objective, rows, phases, preprocess, run, processes)
        checkpoint = Checkpoint(run.session.checkpoint, key, writes=processes.first)
        processes.prepare(objective, device)
        objective = objective.to(device).to(memory_format=torch.channels_last)
        source = Source(images, rows, labels, preprocess, run)
        history = Loop(objective, source, phases, checkpoint, run, name, snapshot, processes).run()
    objective.eval()
    return history


def _with_sampler(phase: Phase, labels: NDArray[np.intp], seed: int) -> Phase:
    if phase.sampler is not None:
        return phase
    recipe = phase.recipe
    return attrs.evolve(phase, sampler=PKSampler(labels, identities=recipe.identities, images=recipe.images, seed=seed))


def _key(
    objective: Objective,
    rows: Samples,
    phases: Sequence[Phase],
    preprocess: Preprocess,
    run: RunContext,
    processes: Processes,
) -> str:
    """Digest of everything that the resulting weights depend on: initial state, data, batches and arithmetic."""
    if run.session.checkpoint is None:
        return ""
    state = {name: tensor.detach().cpu() for name, tensor in objective.state_dict().items()}
    order = [phase.sampler.epoch(0) for phase in phases if phase.sampler is not None]
    return digest(
        {
            "state": content_digest(state),
            "phases": [[phase.name, attrs.asdict(phase.recipe)] for phase in phases],
            "batches": [[indices.tolist() for indices in batches] for batches in order],
            "rows": [rows.keys.tolist(), rows.pids.tolist(), rows.camids.tolist(), rows.rates.tolist()],
            "preprocess": attrs.asdict(preprocess),
            "seed": run.seed,
            "processes": processes.count,
            "device": torch.device(run.device).type,
            "torch": torch.__version__,
        }
    )

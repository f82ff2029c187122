"""Weights that a data set brings of a backbone, in place of a training that every machine does a little differently."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crbench.api.context import RunContext
from crbench.api.data_capabilities import BringsWeights
from crbench.errors import PluginError
from crbench.harness.cards import read_card
from crbench.harness.plan import Job
from crbench.harness.trial import TrialData, training_rows
from crbench.protocol.hashing import canonical
from crbench.registry.guard import plugin_stage


def brought_file(job: Job) -> Path | None:
    """The weights that the data set of a job has of its backbone, whatever they were trained on; None = it has none.

    Raises:
        PluginError: the data set fails, or gives something else than a path.
    """
    if not isinstance(job.source, BringsWeights):
        return None
    owner = job.dataset.registered.owner
    with plugin_stage(owner, "weights_of"):
        found: object = job.source.weights_of(job.backbone.name)
    if not isinstance(found, Path | None):
        raise PluginError(f"{owner} failed at weights_of: it gave a {type(found).__name__}; expected a path or None")
    return found


def brought_weights(job: Job, trials: Sequence[TrialData], run: RunContext) -> Path | None:
    """The weights that the data set brings, where they stand for the training that each of these trials asks for.

    So they do where their card names the same backbone with the same parameters, the same seed, and the very persons
    and images that a training here would see. LR copies are not in a card, so a backbone that learns from them trains.

    Raises:
        PluginError: see `brought_file`.
        DataError: the card cannot be read.
    """
    path = brought_file(job)
    if path is None or job.backbone.registered.entry.train_rows != "hr":
        return None
    card = read_card(path)
    method = {"backbone": job.backbone.name, "parameters": job.backbone.parameters, "seed": run.seed}
    if canonical({name: card.get(name) for name in method}) != canonical(method):
        return None
    return path if all(_same_rows(card, job, trial) for trial in trials) else None


def _same_rows(card: dict[str, object], job: Job, trial: TrialData) -> bool:
    rows = training_rows(job, trial)
    seen = {
        "dataset": job.source.info.name,
        "images": len(rows),
        "pids": np.unique(rows.pids).tolist(),
        "pictures": sorted(set(trial.digests(rows).tolist())),
    }
    return {name: card.get(name) for name in seen} == seen

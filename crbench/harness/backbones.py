"""Step 4, first half: a ready backbone, from given or kept weights, or trained on the training rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from filelock import FileLock

from crbench.config import weights_root
from crbench.errors import ComparisonError, ConfigError, DataError
from crbench.harness.data import TrialData
from crbench.harness.plan import Job
from crbench.harness.timing import Clock
from crbench.interfaces import Backbone, Reader, Run, Trainable
from crbench.protocols import digest
from crbench.registry import plugin_stage
from crbench.store.files import sha256_file, write_text
from crbench.store.transforms import save_state


@attrs.frozen(eq=False)
class Encoder:
    """A ready backbone with what identifies it.

    Attributes:
        facts: all that its features depend on, beside the pictures (JSON values).
        trained: its weights were learned on the training rows of this data set by this harness.
        seconds: time of the training; None where it was taken from the weights folder.
        warnings: what the reader of a result should know of the weights.
    """

    backbone: Backbone
    weights_sha256: str | None
    facts: dict[str, Any]
    trained: bool = False
    seconds: float | None = None
    warnings: tuple[str, ...] = ()


def encoder_key(job: Job, trial: TrialData, weights: Path | None, run: Run) -> str:
    """Trials with equal keys share a backbone: given weights, or weights trained on the same rows."""
    return str(weights) if weights is not None else _training_key(job, trial, run)


def provide_encoder(job: Job, trials: Sequence[TrialData], weights: Path | None, *, read: Reader, run: Run) -> Encoder:
    """The backbone for trials of one `encoder_key`.

    Raises:
        DataError: weights that are missing or do not fit.
        ComparisonError: the weights were trained on identities or pictures of these trials' test rows.
    """
    if weights is not None:
        if not weights.is_file():
            raise DataError(f"weights file {weights} does not exist; give the path of a file with --weights")
        warnings = [warning for trial in trials for warning in check_card(weights, job, trial)]
        return _loaded(job, weights, run.device, trained=False, warnings=tuple(warnings))
    trial = trials[0]
    name = f"{job.backbone.registered.entry.name}-{_training_key(job, trial, run)}.safetensors"
    path = weights_root() / "trained" / name
    if not path.exists():
        backbone = job.backbone.build(weights=None, device=run.device)
        if not isinstance(backbone, Trainable):
            return Encoder(backbone=backbone, weights_sha256=None, facts=_facts(job, None, run.device))
        return _trained(job, backbone, trial, path, read, run)
    return _loaded(job, path, run.device, trained=True)


def check_card(weights: Path, job: Job, trial: TrialData) -> tuple[str, ...]:
    """Compare the training list beside a weights file with the test rows; a warning where there is no list.

    Raises:
        ComparisonError: they overlap.
    """
    card = weights.with_suffix(".json")
    if not card.exists():
        return (f"the training data of {weights.name} are not known, so leakage cannot be ruled out",)
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
        pictures, dataset, pids = set(facts["pictures"]), facts["dataset"], facts["pids"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"weights card {card} cannot be read ({error}); delete it or restore it") from error
    split = trial.split
    shared = np.intersect1d(pids, split.query.pids) if dataset == job.source.info.name else np.array([])
    seen = pictures & {trial.digest_of[key] for key in split.query.keys.tolist()}
    if len(shared) or seen:
        raise ComparisonError(
            f"weights {weights.name} were trained on {len(shared)} identities and {len(seen)} pictures that "
            f"trial {trial.index} of {job.dataset.name} asks for; use weights of the same split or train anew"
        )
    return ()


def _trained(job: Job, backbone: Trainable, trial: TrialData, path: Path, read: Reader, run: Run) -> Encoder:
    """Train and keep the weights; a second run at once waits here and then finds them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        seconds = None if path.exists() else _train(job, backbone, trial, path, read, run)
    return attrs.evolve(_loaded(job, path, run.device, trained=True), seconds=seconds)


def _train(job: Job, backbone: Trainable, trial: TrialData, path: Path, read: Reader, run: Run) -> float:
    rows = trial.split.train.take(trial.split.train.rates == 1)
    if len(rows) == 0:
        raise ConfigError(f"{job.dataset.name}: protocol {job.protocol.name} has no HR training rows to train on")
    owner = job.backbone.registered.owner
    with Clock(run.device) as clock, plugin_stage(owner, "training"):
        trained = backbone.train(rows, read, run=run)
    if not isinstance(trained, Trainable):
        raise ConfigError(f"{owner}: a trained {job.backbone.name} has no state() to keep")
    card = {
        "dataset": job.source.info.name,
        "pids": np.unique(rows.pids).tolist(),
        "pictures": sorted(set(trial.digests(rows).tolist())),
        "backbone": job.backbone.name,
        "parameters": job.backbone.parameters,
        "seed": run.seed,
    }
    # The card first: weights without a card would look like weights of unknown origin.
    write_text(path.with_suffix(".json"), json.dumps(card, sort_keys=True) + "\n")
    save_state(path, trained.state(), {"backbone": job.backbone.name})
    return clock.seconds


def _loaded(job: Job, weights: Path, device: str, *, trained: bool, warnings: tuple[str, ...] = ()) -> Encoder:
    sha256 = sha256_file(weights)
    return Encoder(
        backbone=job.backbone.build(weights=weights, device=device),
        weights_sha256=sha256,
        facts=_facts(job, sha256, device),
        trained=trained,
        warnings=warnings,
    )


def _facts(job: Job, sha256: str | None, device: str) -> dict[str, Any]:
    return {"backbone": job.backbone.identity(), "weights": sha256, "device": device.partition(":")[0]}


def _training_key(job: Job, trial: TrialData, run: Run) -> str:
    rows = trial.split.train.take(trial.split.train.rates == 1)
    lists = sorted(zip(rows.keys.tolist(), trial.digests(rows).tolist(), rows.pids.tolist(), strict=True))
    return digest({**_facts(job, None, run.device), "rows": lists, "seed": run.seed})

"""Step 4, first half: a ready backbone, from given or kept weights, or trained on the training rows."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from crbench.api.capabilities import KnowsWeights, Trainable
from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Precomputed, Reader
from crbench.config.run_spec import RunSpec
from crbench.errors import ComparisonError, DataError, MissingWeightsError
from crbench.harness.plan import Job
from crbench.harness.trial import TrialData
from crbench.harness.weights import card_path, encoder_facts, make_weights, train_once, trained_path, training_key
from crbench.protocol.hashing import sha256_file
from crbench.registry.resolve import choose_weights


@attrs.frozen(eq=False)
class Encoder:
    """A ready backbone with what identifies it.

    Attributes:
        facts: all that its features depend on, beside the images (JSON values).
        trained: its weights were learned on the training rows of this data set by this harness.
        seconds: time of the training; None where it was taken from the weights folder.
        warnings: what the reader of a result should know of the weights.
    """

    backbone: Backbone | Precomputed
    weights_sha256: str | None
    facts: dict[str, Any]
    trained: bool = False
    seconds: float | None = None
    warnings: tuple[str, ...] = ()


def job_weights(job: Job, trials: Sequence[TrialData], spec: RunSpec, run: RunContext) -> Path | None:
    """The one weights file for all trials of a job, None = each trial has weights that are trained on its rows.

    Weights that were trained here for any of the trials go before the released ones of the weights folder, unless a
    SHA-256 is asked for.

    Raises:
        ConfigError, DataError: see `crbench.registry.resolve.choose_weights`.
    """
    free = spec.weights is None and spec.weights_sha256 is None
    if free and (job.backbone.released is None or any(_is_trained(job, trial, run) for trial in trials)):
        return None
    found = choose_weights(job.backbone, spec.weights, spec.weights_sha256)
    if found is not None and spec.weights is None:
        run.logger.info("weights %s (released ones for %s)", found, job.backbone.name)
    return found


def _is_trained(job: Job, trial: TrialData, run: RunContext) -> bool:
    try:
        return trained_path(job, trial, run).exists()
    except MissingWeightsError:
        return False  # without the file that its training starts from, nothing says which weights would be its own


def encoder_key(job: Job, trial: TrialData, weights: Path | None, run: RunContext) -> str:
    """Trials with equal keys share a backbone: given weights, or weights trained on the same rows."""
    weights = weights or job.backbone.file
    return str(weights) if weights is not None else training_key(job, trial, run)


def provide_encoder(
    job: Job, trials: Sequence[TrialData], weights: Path | None, *, read: Reader, run: RunContext
) -> Encoder:
    """The backbone for trials of one `encoder_key`.

    Raises:
        DataError: weights that do not fit, or that training would start from are missing.
        ComparisonError: the weights were trained on identities or images of these trials' test rows.
    """
    if weights is not None:
        warnings = [warning for trial in trials for warning in check_card(weights, job, trial)]
        return _loaded(job, weights, run.device, trained=False, warnings=tuple(warnings))
    trial = trials[0]
    path = trained_path(job, trial, run)
    if not path.exists():
        backbone = job.backbone.build(weights=None, device=run.device)
        if not isinstance(backbone, Trainable):
            return _ready(job, backbone, trials, run.device)
        return _trained(job, backbone, trial, path, read, run)
    return _loaded(job, path, run.device, trained=True)


def check_card(weights: Path, job: Job, trial: TrialData) -> tuple[str, ...]:
    """Compare the training list beside a weights file with the test rows; a warning where there is no list.

    Raises:
        ComparisonError: they overlap.
    """
    card = card_path(weights)
    if not card.exists():
        return (f"the training data of {weights.name} are not known, so leakage cannot be ruled out",)
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
        images, dataset, pids = set(facts["pictures"]), facts["dataset"], facts["pids"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"weights card {card} cannot be read ({error}); delete it or restore it") from error
    split = trial.split
    shared = np.intersect1d(pids, split.query.pids) if dataset == job.source.info.name else np.array([])
    seen = images & {trial.digest_of[key] for key in split.query.keys.tolist()}
    if len(shared) or seen:
        raise ComparisonError(
            f"weights {weights.name} were trained on {len(shared)} identities and {len(seen)} images that "
            f"trial {trial.index} of {job.dataset.name} asks for; use weights of the same split or train anew"
        )
    unknown = facts.get("unknown_origin")
    if unknown:
        return (f"the training data of {unknown}, which {weights.name} started from, are not known",)
    return ()


def _trained(job: Job, backbone: Trainable, trial: TrialData, path: Path, read: Reader, run: RunContext) -> Encoder:
    make = functools.partial(make_weights, job, backbone, trial, path, read=read, run=run)
    seconds = train_once(path, make, device=run.device)
    return attrs.evolve(_loaded(job, path, run.device, trained=True), seconds=seconds)


def _ready(job: Job, backbone: Backbone | Precomputed, trials: Sequence[TrialData], device: str) -> Encoder:
    """A backbone that needs no `--weights`: those of the file that its argument names, of its own, or none."""
    file = job.backbone.file
    sha256 = job.backbone.file_sha256 or (backbone.weights_sha256 if isinstance(backbone, KnowsWeights) else None)
    warnings = [warning for trial in trials for warning in check_card(file, job, trial)] if file else []
    return Encoder(backbone, sha256, encoder_facts(job, sha256, device), warnings=tuple(warnings))


def _loaded(job: Job, weights: Path, device: str, *, trained: bool, warnings: tuple[str, ...] = ()) -> Encoder:
    sha256 = sha256_file(weights)
    return Encoder(
        backbone=job.backbone.build(weights=weights, device=device),
        weights_sha256=sha256,
        facts=encoder_facts(job, sha256, device),
        trained=trained,
        warnings=warnings,
    )

"""Step 4, first half: a ready backbone, with given weights, with kept ones, or trained on the training rows."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from crbench.api.capabilities import KnowsWeights, Trainable
from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Precomputed, Reader
from crbench.config.run_spec import RunSpec
from crbench.errors import MissingWeightsError
from crbench.harness.brought import brought_weights
from crbench.harness.cards import examine, provenance
from crbench.harness.identity import backbone_facts, file_sha256, training_key
from crbench.harness.plan import Job
from crbench.harness.trial import TrialData
from crbench.harness.weights import find_trained, forget_finished, make_weights, train_once, trained_path
from crbench.registry.load import choose_weights
from crbench.results import WeightsFacts


@attrs.frozen(eq=False)
class ReadyBackbone:
    """A backbone that can be called, with what identifies it.

    Attributes:
        weights_sha256: of its weights file; None = it has none.
        facts: what identifies it, see `crbench.harness.identity.backbone_facts`.
        provenance: where its weights come from; None = it has none.
        training: key of the training where a run or `crbench train` trained it on training rows of this data set, see
            `crbench.harness.identity.training_key`; None = it was not.
        seconds: time of the training; None where this run did not train it.
        warnings: what the reader of a result should know of the weights.
    """

    backbone: Backbone | Precomputed
    weights_sha256: str | None
    facts: dict[str, Any]
    provenance: WeightsFacts | None = None
    training: str | None = None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()


def job_weights(job: Job, trials: Sequence[TrialData], spec: RunSpec, run: RunContext) -> Path | None:
    """The one weights file for all trials of a job; None = each trial has weights that are trained on its rows.

    Given weights come first, then weights that were trained here for any of the trials, then those that the data set
    brings, then released ones in the weights folder. Where a SHA-256 is asked for, weights that were trained here or
    that the data set brings are not considered.

    Raises:
        ConfigError, DataError: see `crbench.registry.load.choose_weights`.
        PluginError: see `crbench.harness.brought.brought_weights`.
    """
    if spec.weights is None and spec.weights_sha256 is None:
        brought = brought_weights(job, trials, run)
        known = brought is not None or job.backbone.released is not None
        if not known or any(_is_trained(job, trial, run) for trial in trials):
            if brought is not None:
                run.logger.info("weights that were trained here, not those that %s brings", job.dataset.name)
            return None
        if brought is not None:
            run.logger.info("weights %s (%s brings them)", brought.name, job.dataset.name)
            return brought
    found = choose_weights(job.backbone, spec.weights, spec.weights_sha256)
    if found is not None and spec.weights is None:
        run.logger.info("weights %s (released ones for %s)", found, job.backbone.name)
    return found


def _is_trained(job: Job, trial: TrialData, run: RunContext) -> bool:
    try:
        return trained_path(job, trial, run).exists()
    except MissingWeightsError:
        return False  # the key of trained weights covers the file that training starts from, and it is missing


def backbone_key(job: Job, trial: TrialData, weights: Path | None, run: RunContext) -> str:
    """Trials with equal keys share a backbone: it has given weights, or is trained on the same rows."""
    weights = weights or job.backbone.file
    return str(weights) if weights is not None else training_key(job, trial, run)


def provide_backbone(
    job: Job, trials: Sequence[TrialData], weights: Path | None, *, read: Reader, run: RunContext
) -> ReadyBackbone:
    """The backbone for trials of one `backbone_key`.

    Raises:
        DataError: the weights are damaged or do not fit, or those that training starts from are missing.
        ComparisonError: the weights were trained on persons or images of the test in these trials.
    """
    if weights is not None:
        found, warnings = examine(weights, job, trials, "file")
        return attrs.evolve(_loaded(job, weights, run.device), provenance=found, warnings=warnings)
    trial = trials[0]
    path = trained_path(job, trial, run)
    if not find_trained(path, run):
        backbone = job.backbone.build(weights=None, device=run.device)
        if not isinstance(backbone, Trainable):
            return _ready(job, backbone, trials, run.device)
        return _trained(job, backbone, trial, path, read, run)
    forget_finished(path)
    return _with_training(_loaded(job, path, run.device), job, trial, path, run)


def untrained_backbone(
    job: Job, trials: Sequence[TrialData], weights: Path | None, *, run: RunContext
) -> tuple[ReadyBackbone, bool]:
    """The backbone that `provide_backbone` would give, and whether it would be trained first; then as it is before.

    Nothing is trained, written or deleted.

    Raises:
        DataError, ComparisonError: see `provide_backbone`.
    """
    if weights is not None:
        _, warnings = examine(weights, job, trials, "file")
        return attrs.evolve(_loaded(job, weights, run.device), warnings=warnings), False
    if (path := trained_path(job, trials[0], run)).exists():
        return _loaded(job, path, run.device), False
    backbone = job.backbone.build(weights=None, device=run.device)
    return _ready(job, backbone, trials, run.device), isinstance(backbone, Trainable)


def _with_training(ready: ReadyBackbone, job: Job, trial: TrialData, path: Path, run: RunContext) -> ReadyBackbone:
    found = provenance(path, str(ready.weights_sha256), "trained", known=True)
    return attrs.evolve(ready, provenance=found, training=training_key(job, trial, run))


def _trained(
    job: Job, backbone: Trainable, trial: TrialData, path: Path, read: Reader, run: RunContext
) -> ReadyBackbone:
    make = functools.partial(make_weights, job, backbone, trial, path, read=read, run=run)
    seconds = train_once(path, make, run=run)
    return attrs.evolve(_with_training(_loaded(job, path, run.device), job, trial, path, run), seconds=seconds)


def _ready(job: Job, backbone: Backbone | Precomputed, trials: Sequence[TrialData], device: str) -> ReadyBackbone:
    """A backbone that takes no ``--weights``: its argument names a file, it has weights of its own, or none at all."""
    file = job.backbone.file
    sha256 = job.backbone.file_sha256 or (backbone.weights_sha256 if isinstance(backbone, KnowsWeights) else None)
    ready = ReadyBackbone(backbone, sha256, backbone_facts(job, sha256, device))
    if file is not None:
        found, warnings = examine(file, job, trials, "file")
        return attrs.evolve(ready, provenance=found, warnings=warnings)
    if sha256 is None:
        return ready
    fetched = f"the training data of the weights that {job.backbone.name} fetched are not known"
    return attrs.evolve(ready, provenance=WeightsFacts(sha256=sha256, origin="file", known=False), warnings=(fetched,))


def _loaded(job: Job, weights: Path, device: str) -> ReadyBackbone:
    sha256 = file_sha256(weights)
    return ReadyBackbone(
        backbone=job.backbone.build(weights=weights, device=device),
        weights_sha256=sha256,
        facts=backbone_facts(job, sha256, device),
    )

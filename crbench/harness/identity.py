"""What decides a number, a feature, a fit and trained weights: every digest by which a run finds what it has already.

Equal digests mean equal content, so each covers all that changes what it names. What it leaves out is as much a choice:
it may change without making anything stale.

| digest | names | covers | leaves out |
|---|---|---|---|
| `data_digest` | the images of a trial | names and bytes of all images | their lists (`Split.checksum`), rules |
| `block_fingerprint` | results of one block | data set, protocol, limit | trials, methods, seed |
| `cell_id` | one result | block, trials, rows of fits, methods, weights, seed, extraction, device | engine, threads |
| `feature_origin` | features | backbone, weights, image rules, reading, extraction, device | aligner, seed |
| `training_key` | trained weights | backbone, start, training rows, reading, seed, device | test rows, test rules |
| `fit_key` | a fitted aligner | aligner, features and persons of the training rows, seed | their order, test rows |

`block_fingerprint` is in `crbench.results`, as readers of results compute it anew. `crbench.store.features.row_ids`
covers what differs from row to row: image, rates, camera and modality. The device counts by its kind, such as
``cuda``. A method counts by its code (`crbench.registry.code`), never by its version; "reading" is the code of the data
set, which decides what pixels a stored image has. Our own part counts by the version constants below. No digest covers
versions of libraries or models of processors. They may change last bits, as between any two machines; the result names
them.

Where the code of a method cannot be read, what it made cannot be told from what it would make now, and nothing of it is
reused by another process: see `unreadable` and `training_key`.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Precomputed
from crbench.harness.plan import Job
from crbench.harness.trial import TrialData, training_rows
from crbench.protocol.hashing import digest, sha256_file
from crbench.registry.resolve import Resolved
from crbench.results import Extraction

EXTRACTION_VERSION = 4
"""Raised when crbench makes another feature of the same stored image by the same rules and network: in decoding,
degrading, resizing, normalising or mirroring, in `crbench.harness.extract`, `crbench.linear` or `crbench.denormals`, or
in the form of a network that extracts (`crbench.folding`)."""

TRAINING_VERSION = 3
"""Raised when crbench trains other weights from the same images and recipe: in `crbench.training`, in the LR copies of
training rows, in degrading and decoding, or in `crbench.denormals`."""

PAIRING_VERSION = 2
"""Raised when a fit by the same code is given something else: other pairs, domains or order (`crbench.api.pairing`,
`crbench.api.domains`), or other results of the helpers that it computes with (`crbench.linear`,
`crbench.denormals`)."""

_PROCESS = secrets.token_hex(6)
"""Stands for code that cannot be read: two processes never have the same."""


def data_digest(trial: TrialData) -> str:
    """Digest of the bytes of all images of a trial, under their names; images that were left out are not in it."""
    rows = (trial.split.train, trial.split.query, trial.split.gallery)
    return digest({key: trial.digest_of[key] for some in rows for key in some.keys.tolist()})


def cell_id(
    job: Job,
    aligner: Resolved,
    *,
    fingerprint: str,
    trials: Sequence[tuple[int, str, str]],
    fitted: Sequence[tuple[str, str]] = (),
    weights: Path | None,
    extraction: Extraction,
    run: RunContext,
) -> str:
    """12 hex digits that stand for all that decides a cell's numbers.

    Args:
        fingerprint: of its block, see `crbench.results.block_fingerprint`.
        trials: of each trial its index, the checksum of its split and `data_digest`.
        fitted: the same of the rows of another data set on which the aligner is fitted.
        weights: the one weights file for all trials; None = each trial has its own.
    """
    partner = {} if job.partner is None else {"fit on": [job.partner.dataset.identity(), fitted]}
    return digest(
        {
            **partner,
            "block": fingerprint,
            "trials": trials,
            "methods": [method.identity() for method in _methods(job, aligner)],
            "weights": None if weights is None else file_sha256(weights),
            "seed": run.seed,
            "extraction": attrs.asdict(extraction),
            "device": _kind(run.device),
        }
    )


def unreadable(job: Job, aligner: Resolved) -> list[Resolved]:
    """The methods of a cell whose code cannot be read, so that no earlier result can be taken for theirs."""
    return [method for method in _behind(job, aligner) if method.code_sha256 is None]


def further_methods(job: Job) -> tuple[Resolved, ...]:
    """What decides numbers beside backbone and aligner: the data set, and the distance where it is a plugin's."""
    return (job.dataset,) if job.distance is None else (job.dataset, job.distance)


def _methods(job: Job, aligner: Resolved) -> tuple[Resolved, ...]:
    dataset, *distance = further_methods(job)
    return (dataset, job.backbone, aligner, *distance)


def _behind(job: Job, aligner: Resolved) -> tuple[Resolved, ...]:
    partner = () if job.partner is None else (job.partner.dataset,)
    return (*_methods(job, aligner), *partner)


def backbone_facts(job: Job, sha256: str | None, device: str) -> dict[str, Any]:
    """What identifies a job's backbone with the weights of this SHA-256 (JSON values)."""
    return {"backbone": job.backbone.identity(), "weights": sha256, "device": _kind(device)}


def feature_origin(
    job: Job, backbone: Backbone | Precomputed, facts: Mapping[str, Any], extraction: Extraction
) -> Mapping[str, Any]:
    """All that a feature depends on beside its row (JSON values); features with equal origins share a folder.

    Batch size, autocast and compilation count, as they may change last bits or more. Threads and the order of rows do
    not: they change how fast features come, not what they are.

    Args:
        facts: `backbone_facts` of the backbone.
    """
    if isinstance(backbone, Precomputed):
        return facts
    return {
        **facts,
        "reading": job.dataset.code_sha256,
        "preprocess": attrs.asdict(backbone.preprocess),
        "degrade": job.protocol.images.asked(),
        "extraction": attrs.asdict(extraction),
        "version": EXTRACTION_VERSION,
    }


def training_key(job: Job, trial: TrialData, run: RunContext, start: Path | None = None) -> str:
    """Digest of all that trained weights depend on: backbone, its start, rows, images, seed and kind of device.

    Where LR images are trained on, so do the rules that make them. Where the code of backbone or data set cannot be
    read, the key is of this process alone.

    Args:
        start: weights that the training starts from; None = as the backbone's parameters say.

    Raises:
        DataError: the file that the training starts from is missing.
    """
    entry = job.backbone.registered.entry
    rows = training_rows(job, trial)
    columns = [rows.keys, trial.digests(rows), rows.pids, rows.camids]
    facts = backbone_facts(job, None if start is None else file_sha256(start), run.device)
    facts["reading"] = job.dataset.code_sha256
    facts["process"] = _PROCESS if None in (job.backbone.code_sha256, job.dataset.code_sha256) else None
    if entry.train_rows == "all":
        columns += [rows.rates, rows.native_rates]
        facts["degrade"] = job.protocol.images.for_training()
    for name in entry.test_parameters:
        facts["backbone"]["parameters"].pop(name, None)
    lists = sorted(zip(*(column.tolist() for column in columns), strict=True))
    file = job.backbone.starting_file() if start is None else None
    if file is not None:
        facts["start"] = file_sha256(file)
    return digest({**facts, "rows": lists, "seed": run.seed, "version": TRAINING_VERSION})


def training_digest(ids: NDArray[np.bytes_], pids: NDArray[np.int64]) -> str:
    """Digest of training rows, whatever their order: ids V16[n] and persons i64[n]."""
    return digest(sorted(zip([row.tobytes().hex() for row in ids], pids.tolist(), strict=True)))


def fit_facts(aligner: Resolved, origin: Mapping[str, Any]) -> dict[str, Any]:
    """What a fit was made by, beside its rows and seed (JSON values): it is kept with the fit."""
    return {"aligner": aligner.identity(), "features": dict(origin), "version": PAIRING_VERSION}


def fit_key(aligner: Resolved, origin: Mapping[str, Any], rows: str, run: RunContext) -> str:
    """Digest of all that a fitted aligner depends on: aligner, features of the training rows, persons and seed.

    Args:
        origin: `feature_origin` of the features.
        rows: `training_digest` of the training rows, which all aligners of a trial share.
    """
    return digest({**fit_facts(aligner, origin), "rows": rows, "seed": run.seed})


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; read again only where size or time of change differ."""
    status = path.stat()
    return _sha256(path, status.st_mtime_ns, status.st_size)


@functools.cache
def _sha256(path: Path, _changed: int, _size: int) -> str:
    return sha256_file(path)


def _kind(device: str) -> str:
    """``cuda`` of ``cuda:1``: which of several equal devices computes changes nothing."""
    return device.partition(":")[0]

"""Weights cards: what weights were trained on, kept beside them, so that leakage is seen wherever they are used.

A card is a JSON file with the name of its weights file. It lists persons and images of the training, names data set,
protocol, trial and backbone, and holds what a training reports: epochs and scores.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crbench.api.context import RunContext
from crbench.errors import ComparisonError, DataError
from crbench.harness.identity import data_digest, file_sha256
from crbench.harness.plan import Job
from crbench.harness.trial import TrialData, training_rows
from crbench.store.files import write_text


def card_path(weights: Path) -> Path:
    """Where the card of a weights file lies."""
    return weights.with_suffix(".json")


def read_card(weights: Path) -> dict[str, Any]:
    """The card of a weights file.

    Raises:
        DataError: it cannot be read, or is no card.
    """
    path = card_path(weights)
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lacking = {"dataset", "pids", "pictures"} - set(card)
    except (ValueError, OSError, TypeError) as error:
        raise DataError(f"weights card {path} cannot be read ({error}); delete it or restore it") from error
    if lacking:
        raise DataError(f"weights card {path} lacks {', '.join(sorted(lacking))}; delete it or restore it")
    return card


def write_card(weights: Path, card: Mapping[str, Any]) -> None:
    """Write the card of a weights file, whole."""
    write_text(card_path(weights), json.dumps(card, sort_keys=True) + "\n")


def make_card(job: Job, trial: TrialData, run: RunContext, start: Path | None) -> dict[str, Any]:
    """The card of weights that are trained on a trial's training rows.

    Args:
        start: the weights that training starts from. The persons and images that those were trained on are added, so
            that leakage through them is still seen. None = the start is part of the backbone.

    Raises:
        DataError: the card of `start` cannot be read.
    """
    rows = training_rows(job, trial)
    card = {
        "dataset": job.source.info.name,
        "protocol": job.protocol.name,
        "trial": trial.index,
        "data": data_digest(trial),
        "pids": np.unique(rows.pids).tolist(),
        "pictures": sorted(set(trial.digests(rows).tolist())),
        "images": len(rows),
        "backbone": job.backbone.name,
        "parameters": job.backbone.parameters,
        "seed": run.seed,
        "device": run.device,
    }
    return card if start is None else _with_start(card, start)


def _with_start(card: dict[str, Any], start: Path) -> dict[str, Any]:
    card = {**card, "start": {"file": start.name, "sha256": file_sha256(start)}}
    if not card_path(start).exists():
        return {**card, "unknown_origin": start.name}
    before = read_card(start)
    pids = before["pids"] if before["dataset"] == card["dataset"] else []
    images = sorted({*card["pictures"], *before["pictures"]})
    unknown = {name: before[name] for name in ("unknown_origin",) if name in before}
    return {**card, **unknown, "pids": sorted({*card["pids"], *pids}), "pictures": images}


def check_card(weights: Path, job: Job, trial: TrialData) -> tuple[str, ...]:
    """Compare what weights were trained on with the queries of a trial; gives a warning where it is not known.

    Raises:
        ComparisonError: persons or images of the queries were trained on.
        DataError: the card cannot be read.
    """
    if not card_path(weights).exists():
        return (f"the training data of {weights.name} are not known, so leakage cannot be ruled out",)
    card = read_card(weights)
    query = trial.split.query
    persons = np.intersect1d(card["pids"], query.pids) if card["dataset"] == job.source.info.name else np.array([])
    images = set(card["pictures"]) & {trial.digest_of[key] for key in query.keys.tolist()}
    if len(persons) or images:
        raise ComparisonError(
            f"weights {weights.name} were trained on {len(persons)} identities and {len(images)} images that "
            f"trial {trial.index} of {job.dataset.name} asks for; use weights of the same trial or train anew"
        )
    unknown = card.get("unknown_origin")
    if unknown:
        return (f"the training data of {unknown}, which {weights.name} started from, are not known",)
    return ()

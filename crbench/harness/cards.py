"""Weights cards: what weights were trained on, kept beside them, so that leakage is seen wherever they are used.

A card is a JSON file with the name of its weights file. It lists persons and images of the training or of the fit,
names data set, protocol, trial and backbone or aligner, and holds what a training reports: epochs and scores.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crbench.api.context import RunContext
from crbench.errors import ComparisonError, DataError
from crbench.harness.identity import data_digest
from crbench.harness.plan import Job
from crbench.harness.trial import TrialData, training_rows
from crbench.inputs import read_text_input
from crbench.protocol.hashing import content_hash, digest
from crbench.records import Samples
from crbench.registry.resolve import Resolved
from crbench.results import WeightsFacts
from crbench.store.files import write_text
from crbench.store.tensors import DamagedFileError, check_ours, open_tensors


def card_path(weights: Path) -> Path:
    """Where the card of a weights file lies."""
    return weights.with_suffix(".json")


def read_card(weights: Path) -> dict[str, Any]:
    """The card of a weights file.

    Raises:
        DataError: it cannot be read, is no card, or is not the one that was written with these weights.
    """
    path = card_path(weights)
    try:
        card: dict[str, Any] = json.loads(read_text_input(path))
        lacking = {"dataset", "pids", "pictures"} - {name for name, value in card.items() if value is not None}
    except (ValueError, OSError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"weights card {path} cannot be read ({error}); restore it from a copy") from error
    if lacking:
        raise DataError(f"weights card {path} lacks {', '.join(sorted(lacking))}; restore it from a copy")
    for name, (expected, right) in _FIELDS.items():
        if card.get(name) is not None and not right(card[name]):
            raise DataError(f"weights card {path}: {name} is not {expected}; restore it from a copy")
    if _named_card(weights) not in (None, seen_digest(card)):
        raise DataError(
            f"weights card {path} is not that of {weights.name}: it was edited, or belongs to other weights; restore "
            "it from a copy, or remove it (what the weights were trained on then counts as not known)"
        )
    return card


def seen_digest(card: Mapping[str, Any]) -> str:
    """Digest of what a card says that weights have seen; our weights name it, so no other card passes for theirs."""
    return digest({name: card.get(name) for name in ("dataset", "pids", "pictures", "unknown_origin")})


def _named_card(weights: Path) -> str | None:
    """The digest that weights name; None = they are of others, or damaged, which their reader says."""
    if weights.suffix != ".safetensors" or not weights.is_file():
        return None
    try:
        return open_tensors(weights).facts.get("card")
    except DamagedFileError:
        return None


def _integer(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "dataset": ("text", lambda value: isinstance(value, str)),
    "pids": ("a list of integers", lambda value: isinstance(value, list) and all(map(_integer, value))),
    "pictures": ("a list of text", lambda value: isinstance(value, list) and all(isinstance(i, str) for i in value)),
    "unknown_origin": ("text", lambda value: isinstance(value, str)),
    "seed": ("an integer", _integer),
    "device": ("text", lambda value: isinstance(value, str)),
    "threads": ("an integer", _integer),
}
"""What the values of a card are that decide something; null where a card may lack it."""


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
    card = _card(job, trial, run, training_rows(job, trial), job.backbone)
    return card if start is None else _with_start(card, start)


def make_fit_card(job: Job, trial: TrialData, run: RunContext, aligner: Resolved) -> dict[str, Any]:
    """The card of an aligner that is fitted on a trial's training rows.

    Files that its parameters name are the start of the fit, or all of it, see `make_card`.

    Raises:
        DataError: the card of such a file cannot be read.
    """
    card = {**_card(job, trial, run, trial.train_all, aligner), "features_of": job.backbone.name}
    for file in aligner.files:
        card = _with_start(card, file)
    return card


def _card(job: Job, trial: TrialData, run: RunContext, rows: Samples, method: Resolved) -> dict[str, Any]:
    import torch

    return {
        "dataset": job.source.info.name,
        "protocol": job.protocol.name,
        "trial": trial.index,
        "data": data_digest(trial),
        "pids": np.unique(rows.pids).tolist(),
        "pictures": sorted(set(trial.digests(rows).tolist())),
        "images": len(rows),
        method.registered.kind: method.name,
        "parameters": method.parameters,
        "seed": run.seed,
        "device": run.device,
        "threads": torch.get_num_threads(),
    }


def _with_start(card: dict[str, Any], start: Path) -> dict[str, Any]:
    card = {**card, "start": {"file": start.name, "sha256": content_hash(start)}}
    if not card_path(start).exists():
        return {**card, "unknown_origin": start.name}
    before = read_card(start)
    pids = before["pids"] if before["dataset"] == card["dataset"] else []
    images = sorted({*card["pictures"], *before["pictures"]})
    unknown = {name: before[name] for name in ("unknown_origin",) if name in before}
    return {**card, **unknown, "pids": sorted({*card["pids"], *pids}), "pictures": images}


def check_card(weights: Path, job: Job, trial: TrialData) -> tuple[str, ...]:
    """Compare what weights were trained on with both sides of a trial; gives a warning where it is not known.

    The images of a gallery person whom no query shows may be trained on: they can only stand in the way.

    Raises:
        ComparisonError: persons of query or gallery, or images of persons who are asked for, were trained on.
        DataError: the card cannot be read.
    """
    if not card_path(weights).exists():
        return (f"the training data of {weights.name} are not known, so leakage cannot be ruled out",)
    card = read_card(weights)
    query, gallery = trial.split.query, trial.split.gallery
    people = np.concatenate([query.pids, gallery.pids[gallery.pids > 0]])
    persons = np.intersect1d(card["pids"], people) if card["dataset"] == job.source.info.name else np.array([])
    asked = np.concatenate([query.keys, gallery.keys[np.isin(gallery.pids, query.pids)]])
    images = set(card["pictures"]) & {trial.digest_of[key] for key in asked.tolist()}
    if len(persons) or images:
        raise ComparisonError(
            f"weights {weights.name} were trained on {len(persons)} identities and {len(images)} images of the test "
            f"in trial {trial.index} of {job.dataset.name}; use weights of the same trial or train anew"
        )
    unknown = card.get("unknown_origin")
    if unknown:
        return (f"the training data of {unknown}, which {weights.name} started from, are not known",)
    return ()


def examine(
    weights: Path, job: Job, trials: Sequence[TrialData], origin: Literal["file", "fitted"]
) -> tuple[WeightsFacts, tuple[str, ...]]:
    """Where given weights come from, as results say it, and what their reader should know; see `check_card`.

    Args:
        weights: a file, or a folder that counts as a whole.
        origin: ``file``: of a backbone; ``fitted``: of an aligner.

    Raises:
        ComparisonError, DataError: see `check_card`; or the file is ours and damaged.
    """
    if weights.is_file():
        check_ours(weights)
    warnings = dict.fromkeys(warning for trial in trials for warning in check_card(weights, job, trial))
    return provenance(weights, content_hash(weights), origin, known=not warnings), tuple(warnings)


def provenance(
    weights: Path, sha256: str, origin: Literal["trained", "file", "fitted"], *, known: bool
) -> WeightsFacts:
    """Where weights come from, with what their card says of the training.

    Raises:
        DataError: the card cannot be read.
    """
    card = read_card(weights) if card_path(weights).exists() else {}
    made = {name: card.get(name) for name in ("seed", "device", "threads")}
    return WeightsFacts(sha256=sha256, origin=origin, known=known, **made)

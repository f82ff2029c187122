"""Step 4, where weights are missing: train on a trial's training rows, and keep the weights with a card."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from filelock import FileLock

from crbench.api.capabilities import Trainable
from crbench.api.context import RunContext
from crbench.api.interfaces import Reader
from crbench.config.paths import weights_root
from crbench.errors import ConfigError, DataError
from crbench.harness.plan import Job
from crbench.harness.timing import Clock
from crbench.harness.trial import TrialData, data_checksum
from crbench.protocol import EvalProtocol
from crbench.protocol.hashing import digest, sha256_file
from crbench.records import Samples
from crbench.registry.discovery import plugin_stage
from crbench.store.files import write_text
from crbench.store.transforms import save_state
from crbench.training.processes import current

if TYPE_CHECKING:
    from crbench.training import Epoch


def training_rows(job: Job, trial: TrialData) -> Samples:
    """The rows of a trial that the backbone's entry asks for: the HR training rows, or all of them."""
    if job.backbone.registered.entry.train_rows == "all":
        return trial.train_all
    return trial.split.train.take(trial.split.train.rates == 1)


def training_key(job: Job, trial: TrialData, run: RunContext, start: Path | None = None) -> str:
    """Digest of all that trained weights depend on: backbone, its start, rows, images, seed and kind of device.

    Where LR images are trained on, so do the rules that make them.

    Args:
        start: weights that the training starts from; None = as the backbone's parameters say.

    Raises:
        DataError: the file that the training starts from is missing.
    """
    entry = job.backbone.registered.entry
    rows = training_rows(job, trial)
    columns = [rows.keys, trial.digests(rows), rows.pids]
    facts = encoder_facts(job, None if start is None else _file_sha256(start), run.device)
    if entry.train_rows == "all":
        columns += [rows.rates, rows.native_rates]
        facts["degrade"] = degrade_rules(job.protocol)
    for name in entry.test_parameters:
        facts["backbone"]["parameters"].pop(name, None)
    lists = sorted(zip(*(column.tolist() for column in columns), strict=True))
    file = job.backbone.starting_file() if start is None else None
    if file is not None:
        facts["start"] = _file_sha256(file)
    return digest({**facts, "rows": lists, "seed": run.seed})


def _file_sha256(path: Path) -> str:
    status = path.stat()
    return _sha256(path, status.st_mtime_ns, status.st_size)


@functools.cache
def _sha256(path: Path, _changed: int, _size: int) -> str:
    return sha256_file(path)


def encoder_facts(job: Job, sha256: str | None, device: str) -> dict[str, Any]:
    """All that features depend on beside the images (JSON values)."""
    return {"backbone": job.backbone.identity(), "weights": sha256, "device": device.partition(":")[0]}


def degrade_rules(protocol: EvalProtocol) -> dict[str, Any]:
    """All rules of a protocol that decide what an LR image looks like (JSON values)."""
    return {rule: getattr(protocol, rule) for rule in ("kernel", "antialias", "rounding", "encoder", "encode_hr")}


def trained_path(job: Job, trial: TrialData, run: RunContext, start: Path | None = None) -> Path:
    """Where the weights that are trained for this trial are kept; see `training_key`."""
    name = f"{job.backbone.registered.entry.name}-{training_key(job, trial, run, start)}.safetensors"
    return weights_root() / "trained" / name


def card_path(weights: Path) -> Path:
    """The card beside a weights file: what it was trained on, how, and its scores."""
    return weights.with_suffix(".json")


def checkpoint_path(weights: Path) -> Path:
    """Where the training of a weights file keeps its state: in a folder of its own, so that all of it can go."""
    return weights.with_suffix(".checkpoint") / "state.safetensors"


def train_once(path: Path, make: Callable[[], object], *, device: str, anew: bool = False) -> float | None:
    """Let `make` train and keep weights unless `path` is there; a second command at once waits and then finds them.

    The lock file stays: to delete it would let two commands train at once, one of which waits for the deleted file.

    Args:
        make: calls `make_weights`, here or in other processes.
        device: whose work counts for the time.
        anew: train even if there are weights or a checkpoint; the old weights stay until the new ones are there.

    Returns:
        Seconds of the training; None where the weights were there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if anew:
            _forget(path)
        elif path.exists():
            return None
        with Clock(device) as clock:
            make()
        return clock.seconds


def make_weights(
    job: Job,
    backbone: Trainable,
    trial: TrialData,
    path: Path,
    *,
    read: Reader,
    run: RunContext,
    start: Path | None = None,
) -> None:
    """Train `backbone`, and keep its weights with their card; of several processes, the first keeps them.

    A training that was stopped continues from its checkpoint.

    Args:
        start: the weights that `backbone` was loaded from, for the card; see `trained_path`.

    Raises:
        ConfigError: no HR training rows.
        CrbenchError: see `crbench.training.train_objective`.
    """
    rows = training_rows(job, trial)
    if not (rows.rates == 1).any():
        raise ConfigError(f"{job.dataset.name}: protocol {job.protocol.name} has no HR training rows to train on")
    owner = job.backbone.registered.owner
    epochs: list[Epoch] = []

    def note(epoch: Epoch) -> None:
        epochs.append(epoch)
        if run.session.on_epoch is not None:
            run.session.on_epoch(epoch)

    session = attrs.evolve(run.session, checkpoint=checkpoint_path(path), on_epoch=note)
    with plugin_stage(owner, "training"):
        trained = backbone.train(rows, read, run=attrs.evolve(run, session=session))
    if not isinstance(trained, Trainable):
        raise ConfigError(f"{owner}: a trained {job.backbone.name} has no state() to keep")
    processes = current()
    if processes.first:
        # The card first: weights without a card would look like weights of unknown origin.
        card = _inherited(_card(job, trial, rows, run), start)
        history = [attrs.asdict(epoch) for epoch in epochs]
        write_card(path, {**card, "processes": processes.count, "epochs": history})
        save_state(path, trained.state(), {"backbone": job.backbone.name})
        _forget(path)


def _forget(weights: Path) -> None:
    """Remove the training's state, with what a killed process left half-written."""
    shutil.rmtree(checkpoint_path(weights).parent, ignore_errors=True)


def read_card(weights: Path) -> dict[str, Any]:
    """The card beside a weights file.

    Raises:
        DataError: it cannot be read.
    """
    card = card_path(weights)
    try:
        facts: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"weights card {card} cannot be read ({error}); delete it or restore it") from error
    return facts


def write_card(weights: Path, card: Mapping[str, Any]) -> None:
    """Write the card beside a weights file, whole."""
    write_text(card_path(weights), json.dumps(card, sort_keys=True) + "\n")


def _card(job: Job, trial: TrialData, rows: Samples, run: RunContext) -> dict[str, Any]:
    return {
        "dataset": job.source.info.name,
        "protocol": job.protocol.name,
        "trial": trial.index,
        "data_checksum": data_checksum([trial]),
        "pids": np.unique(rows.pids).tolist(),
        "pictures": sorted(set(trial.digests(rows).tolist())),
        "images": len(rows),
        "backbone": job.backbone.name,
        "parameters": job.backbone.parameters,
        "seed": run.seed,
        "device": run.device,
    }


def _inherited(card: dict[str, Any], start: Path | None) -> dict[str, Any]:
    """A card with what the weights that training started from were trained on, so that leakage is still seen."""
    if start is None:
        return card
    card = {**card, "start": {"file": start.name, "sha256": sha256_file(start)}}
    if not card_path(start).exists():
        return {**card, "unknown_origin": start.name}
    before = read_card(start)
    pids = before["pids"] if before["dataset"] == card["dataset"] else []
    images = sorted({*card["pictures"], *before["pictures"]})
    unknown = {name: before[name] for name in ("unknown_origin",) if name in before}
    return {**card, **unknown, "pids": sorted({*card["pids"], *pids}), "pictures": images}

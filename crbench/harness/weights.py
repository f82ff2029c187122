"""Step 4, where weights are missing: train on a trial's training rows; keep the weights with their card."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from crbench.api.capabilities import Trainable
from crbench.api.context import RunContext
from crbench.api.interfaces import Reader
from crbench.config.paths import weights_root
from crbench.errors import ConfigError, DataError, SystemFaultError
from crbench.harness.cards import card_path, make_card, seen_digest, write_card
from crbench.harness.identity import training_key
from crbench.harness.plan import Job
from crbench.harness.state import plugin_state
from crbench.harness.timing import Clock
from crbench.harness.trial import TrialData, training_rows
from crbench.inputs import check_utf8
from crbench.registry.guard import plugin_stage
from crbench.store.files import check_writable
from crbench.store.lease import Claim, Holder, leased
from crbench.store.tensors import DamagedFileError, open_tensors, save_state
from crbench.training.processes import current

if TYPE_CHECKING:
    from crbench.training import Epoch


def trained_path(job: Job, trial: TrialData, run: RunContext, start: Path | None = None) -> Path:
    """Where weights that are trained for this trial are kept, see `crbench.harness.identity.training_key`."""
    name = f"{job.backbone.registered.entry.name}-{training_key(job, trial, run, start)}.safetensors"
    return weights_root() / "trained" / name


def checkpoint_path(weights: Path) -> Path:
    """Where the training of a weights file keeps its state. It has a folder of its own, which is deleted as a whole."""
    return weights.with_suffix(".checkpoint") / "state.safetensors"


def find_trained(path: Path, run: RunContext) -> bool:
    """Whether trained weights are there. Damaged ones are deleted with their card, which the log says.

    Raises:
        DataError: they are of another training, and were copied or renamed.
    """
    if not path.exists():
        return False
    try:
        file = open_tensors(path)
        file.check()
    except DamagedFileError as error:
        run.logger.warning("trained weights %s: they are deleted and trained anew", error)
        path.unlink(missing_ok=True)
        card_path(path).unlink(missing_ok=True)
        return False
    if (own := file.facts.get("training")) != path.stem:
        raise DataError(
            f"{path} holds the weights of training {own}, not those of its name; move it away, or give it by --weights"
        )
    return True


def train_once(path: Path, make: Callable[[], object], *, run: RunContext, anew: bool = False) -> float | None:
    """Let `make` train and keep weights, unless `path` is there. A second command waits, and then finds them.

    Args:
        make: calls `make_weights`, here or in other processes.
        anew: train even where weights or a checkpoint are; the old weights stay until the new ones are there.

    Returns:
        Seconds of the training; None where the weights were there.

    Raises:
        SystemFaultError: the folder of the weights cannot be written.
    """
    check_utf8(path)
    check_writable(path.parent)

    def say(holder: Holder) -> None:
        run.logger.info("another process trains %s; this one waits for it (%s)", path.name, holder)

    with leased(_lease_path(path), waiting=say):
        if anew:
            _forget(path)
        elif find_trained(path, run):
            _forget(path)
            return None
        with Clock(run.device) as clock:
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
    """Train `backbone`, and keep its weights with their card. Of several processes, the first keeps them.

    A training that was stopped continues from its checkpoint.

    Args:
        path: where the weights go, see `trained_path`.
        start: the weights that `backbone` was loaded from; the card names them.

    Raises:
        ConfigError: no HR training rows.
        SystemFaultError: weights, card or checkpoint cannot be written.
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
        # The card comes first: weights without a card look like weights of unknown origin.
        card = make_card(job, trial, run, start)
        history = [attrs.asdict(epoch) for epoch in epochs]
        write_card(path, {**card, "processes": processes.count, "epochs": history})
        facts = {"training": path.stem, "card": seen_digest(card)}
        save_state(path, plugin_state(trained, owner), facts)
        _forget(path)


def forget_finished(weights: Path) -> None:
    """Delete the state of a training whose weights are there: it was killed after these were written.

    One that trains anew still needs its state, and has the lease.
    """
    if checkpoint_path(weights).parent.exists():
        with suppress(SystemFaultError):  # nothing can be written here
            if (lease := Claim(_lease_path(weights)).attempt()) is not None:
                _forget(weights)
                lease.release()


def _lease_path(weights: Path) -> Path:
    return weights.with_suffix(".lease")


def _forget(weights: Path) -> None:
    """Delete the state of a training, and what a killed process left half-written."""
    shutil.rmtree(checkpoint_path(weights).parent, ignore_errors=True)

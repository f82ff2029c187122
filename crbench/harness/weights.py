"""Step 4, where weights are missing: train on a trial's training rows; keep the weights with their card."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from filelock import FileLock, Timeout

from crbench.api.capabilities import Trainable
from crbench.api.context import RunContext
from crbench.api.interfaces import Reader
from crbench.config.paths import weights_root
from crbench.errors import ConfigError, DataError, SystemFaultError
from crbench.faults import faults_of
from crbench.harness.cards import card_path, make_card, seen_digest, write_card
from crbench.harness.identity import training_key
from crbench.harness.plan import Job
from crbench.harness.state import plugin_state
from crbench.harness.timing import Clock
from crbench.harness.trial import TrialData, training_rows
from crbench.inputs import check_utf8
from crbench.registry.guard import plugin_stage
from crbench.store.files import check_writable
from crbench.store.tensors import DamagedFileError, open_tensors, save_state
from crbench.training.processes import current

if TYPE_CHECKING:
    from crbench.training import Epoch


_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""Numbers of the errors of file systems that have no locks, such as some network folders."""


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

    The lock file is never deleted: a command that waits for a deleted file would train beside the next one.

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
    with _alone(path, run):
        if anew:
            _forget(path)
        elif find_trained(path, run):
            _forget(path)
            return None
        with Clock(run.device) as clock:
            make()
        return clock.seconds


@contextmanager
def _alone(path: Path, run: RunContext) -> Iterator[None]:
    """While nobody else trains the weights of this file; the log says that one waits.

    The system frees the lock of a process that has ended, however it did; so it needs no date by which it expires,
    which a training could outlast. Where a file system has no locks, two trainings do the same work, and the weights
    are whole all the same.
    """
    lock = FileLock(_lock_path(path))
    try:
        with faults_of(f"cannot lock {lock.lock_file}"):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                run.logger.info("another process trains %s; this one waits for it (%s)", path.name, lock.lock_file)
                lock.acquire()
    except SystemFaultError as error:
        if getattr(error.__cause__, "errno", None) not in _NO_LOCKS:
            raise
        run.logger.warning("%s; another process may train the same weights at the same time", error)
    try:
        yield
    finally:
        lock.release()


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

    One that trains anew still needs its state, and has the lock.
    """
    if checkpoint_path(weights).parent.exists():
        with suppress(OSError, Timeout), FileLock(_lock_path(weights)).acquire(timeout=0):
            _forget(weights)


def _lock_path(weights: Path) -> Path:
    return weights.with_suffix(".lock")


def _forget(weights: Path) -> None:
    """Delete the state of a training, and what a killed process left half-written."""
    shutil.rmtree(checkpoint_path(weights).parent, ignore_errors=True)

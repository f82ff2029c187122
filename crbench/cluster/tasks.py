"""What workers do. Each task is done again without harm: what it made is found where it has been made."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
import numpy as np

from crbench.api.capabilities import Restorable
from crbench.api.context import RunContext
from crbench.api.interfaces import Precomputed
from crbench.cluster.request import AskedJob
from crbench.harness.cell import CellRunner
from crbench.harness.cells import failure_of, finished_cell, run_cells
from crbench.harness.environment import pick_device
from crbench.harness.extract.extractor import CHUNK_BATCHES, BatchTooLargeError
from crbench.harness.features import add_features, asked_rows
from crbench.harness.job import OpenedJob
from crbench.harness.match import learns
from crbench.harness.run import open_cache, say_of_job
from crbench.harness.status import cell_name, work_claim
from crbench.protocol.hashing import digest
from crbench.registry.caller import calling_plugins
from crbench.store.lease import leased

_OPEN = 2
"""Jobs that a worker keeps open: tasks of the next may come between those of the last."""

T = TypeVar("T")


@attrs.frozen
class Done:
    """What a task tells who asked for it.

    Attributes:
        value: depends on the task.
        failure: the traceback where a method failed, for all cells that need it.
        notes: level and text of what was logged.
    """

    value: Any = None
    failure: str | None = None
    notes: tuple[tuple[int, str], ...] = ()


@attrs.frozen
class Opened:
    """A job that was opened.

    Attributes:
        groups: how many trials share each of its backbones.
        finished: files of results that are there already, by the place of their aligner in the job.
        fits: places of the aligners whose fits are kept.
        learning: somebody learns from the training rows.
        worker: address of the worker that has it open.
    """

    groups: tuple[int, ...]
    finished: dict[int, str]
    fits: tuple[int, ...]
    learning: bool
    worker: str


@attrs.frozen
class Block:
    """Rows that follow each other in the order of extraction, and some of whose features are not kept yet.

    Attributes:
        rows: which of `crbench.harness.features.asked_rows`.
        start, end: positions.
    """

    rows: int
    start: int
    end: int


def open_job(asked: AskedJob) -> Done:
    """Steps 2 and 3; `Done.value` is an `Opened`."""
    from distributed import get_worker

    with _task(asked) as (opened, notes):
        facts = opened.facts
        say_of_job(facts)
        finished = {}
        for place, aligner in enumerate(facts.job.aligners):
            if (result := finished_cell(facts, aligner)) is not None:
                finished[place] = str(result.origin)
        left = [(place, one) for place, one in enumerate(facts.job.aligners) if place not in finished]
        fits = tuple(place for place, one in left if learns(one) and isinstance(one.build(), Restorable))
        groups = tuple(len(group) for group in opened.groups)
        value = Opened(groups, finished, fits, any(learns(one) for _, one in left), get_worker().address)
        return Done(value, notes=tuple(notes))


def provide_backbone(asked: AskedJob, group: int, learning: bool) -> Done:
    """Train a backbone where it has no weights; `Done.value` is a list of the `Block`s to extract."""
    with _task(asked) as (opened, notes), _alone(asked, opened, f"train, backbone {group}"):
        return _or_failure(notes, lambda: _lacking(opened, group, learning))


def extract_block(asked: AskedJob, group: int, learning: bool, block: Block) -> Done:
    """Extract the features of a block that are not kept yet."""
    name = f"extract, backbone {group}, rows {block.rows}: {block.start} to {block.end}"
    with _task(asked) as (opened, notes), _alone(asked, opened, name):
        return _or_failure(notes, lambda: _extract(opened, group, learning, block))


def fit_aligner(asked: AskedJob, group: int, place: int, trials: tuple[int, ...]) -> Done:
    """Fit an aligner on the training rows of some trials of a backbone. Where it fails, its cell will say so."""
    with _task(asked) as (opened, notes):
        aligner = opened.facts.job.aligners[place]
        with _alone(asked, opened, f"fit, {cell_name(opened.facts.job, aligner)}, backbone {group}, trials {trials}"):
            return _or_failure(notes, lambda: _fit(opened, group, place, trials))


def run_cell(asked: AskedJob, place: int, failure: str | None) -> Done:
    """Steps 5 to 9 of a cell; `Done.value` is the file of its result, and whether it was there already.

    Args:
        failure: the traceback of what failed for it before.
    """
    with _task(asked) as (opened, notes):
        aligner = opened.facts.job.aligners[place]
        ((result, earlier),) = run_cells(opened, [aligner], time.perf_counter(), failure=failure)
        return Done((str(result.origin), earlier), notes=tuple(notes))


_opened: OrderedDict[str, OpenedJob] = OrderedDict()


@contextmanager
def _task(asked: AskedJob) -> Iterator[tuple[OpenedJob, list[tuple[int, str]]]]:
    """The job of a task, in the one thread of this process that calls plugins, and what is logged meanwhile."""
    with calling_plugins(), _noted() as notes:
        opened = _opened.pop(asked.key, None)
        if opened is None:
            while len(_opened) >= _OPEN:
                _opened.popitem(last=False)
            opened = _open(asked)
        _opened[asked.key] = opened
        yield opened, notes
        opened.facts.paces.keep()


def _open(asked: AskedJob) -> OpenedJob:
    job, spec = asked.job(), asked.spec
    run = RunContext(seed=spec.seed, device=pick_device(spec.device))
    return OpenedJob.of(job, spec, run, open_cache(spec, run))


@contextmanager
def _noted() -> Iterator[list[tuple[int, str]]]:
    """What crbench logs inside."""
    notes: list[tuple[int, str]] = []

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes.append((record.levelno, record.getMessage()))

    logger, handler = logging.getLogger("crbench"), Notes()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield notes
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


@contextmanager
def _alone(asked: AskedJob, opened: OpenedJob, what: str) -> Iterator[None]:
    """While nobody else does this work for the same output folder."""
    job = opened.facts.job
    name = f"{job.dataset.shown_name}, {job.protocol.name}, {job.backbone.name}: {what}"
    claim = work_claim(asked.spec.output, digest([asked.methods, asked.number, what]), name)
    with leased(claim.place, claim.facts):
        yield


def _or_failure(notes: list[tuple[int, str]], work: Callable[[], T]) -> Done:
    """What a step gives, or the traceback of a method that fails.

    Raises:
        CrbenchError: see `crbench.harness.cells.failure_of`.
    """
    try:
        value = work()
    except Exception as error:  # noqa: BLE001  one failing method must not stop the others
        return Done(failure=failure_of(error), notes=tuple(notes))
    return Done(value, notes=tuple(notes))


def _lacking(opened: OpenedJob, group: int, learning: bool) -> list[Block]:
    found, facts = opened.backbone(group), opened.facts
    if isinstance(found.ready.backbone, Precomputed) or facts.cache is None:
        return []  # each worker looks features up; or keeps nothing
    size, blocks = facts.extraction.batch_size * CHUNK_BATCHES, []
    for number, asked in enumerate(asked_rows(facts, found.trials, opened.readers, learning=learning)):
        ids = asked.ordered().ids
        starts = np.unique(asked.table(found.ready).missing(ids) // size) * size
        blocks += [Block(number, start, min(start + size, len(ids))) for start in starts.tolist()]
    return blocks


def _extract(opened: OpenedJob, group: int, learning: bool, block: Block) -> None:
    while True:
        found = opened.backbone(group)
        asked = asked_rows(opened.facts, found.trials, opened.readers, learning=learning)[block.rows]
        some = asked.ordered().take(np.arange(block.start, block.end))
        try:
            add_features(asked.facts, found.ready.backbone, asked.table(found.ready), some, asked.read)
        except BatchTooLargeError as error:
            opened.halve_batches(error)
        else:
            return


def _fit(opened: OpenedJob, group: int, place: int, trials: tuple[int, ...]) -> None:
    found, encoded = opened.backbone(group), opened.encoded(group)
    runner = CellRunner(opened.facts, opened.facts.job.aligners[place], found.ready, encoded)
    for number in trials:
        runner.fit(found.trials[number])

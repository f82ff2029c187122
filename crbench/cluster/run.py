"""Asks workers for the tasks of a run, each as soon as what it needs is there, and collects the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from crbench.api.context import RunContext, Tracker
from crbench.cluster import tasks
from crbench.cluster.asking import Asking
from crbench.cluster.connect import connected, local_workers
from crbench.cluster.request import AskedJob, ClusterSpec, asked_jobs
from crbench.cluster.tasks import Done, Opened
from crbench.config.run_spec import RunSpec
from crbench.errors import ConfigError
from crbench.harness.plan import Job, Plan, make_plan
from crbench.harness.run import OnResult
from crbench.harness.status import RunNotes, cell_name
from crbench.registry.weight_files import find_weights
from crbench.results import Result, load_results

if TYPE_CHECKING:
    from distributed import Client, Future


def run_on_cluster(
    spec: RunSpec,
    cluster: ClusterSpec,
    *,
    context: RunContext | None = None,
    on_result: OnResult | None = None,
) -> list[Result]:
    """Run every cell of `spec` on workers, as `crbench.harness.run.run` does here, and with the same results.

    Args:
        spec, context, on_result: see there. Workers must find data, cache, weights and output under the same paths.
        cluster: which workers.

    Returns:
        The results that there are, in the order of the plan. A cell whose worker died too often has none.

    Raises:
        ConfigError: Dask is not installed, or the workers have other versions, or ``spec.cache`` is off.
        SystemFaultError: no scheduler answers, or it is lost.
        CrbenchError: see `crbench.harness.run.run`.
    """
    if not spec.cache:
        raise ConfigError("--executor dask: features move through the cache; leave --no-cache out")
    plan, context = make_plan(spec), context or RunContext()
    if spec.weights is not None:
        find_weights(spec.weights, spec.weights_sha256)  # or stop before workers are started
    for note in plan.notes:
        context.logger.info("%s", note)
    # With many jobs no worker takes over cells of another: it would have to open their job first.
    share_out = len(plan.jobs) < _ENOUGH * local_workers(cluster)
    joined = connected(cluster, context.logger, share_out=share_out)
    with closing(RunNotes.of(spec, plan)) as notes, joined as client:
        driver = _Driver(client, cluster, context, notes, on_result)
        return driver.run(plan, asked_jobs(spec, plan))


@attrs.define(eq=False)
class _JobState:
    """How far a job is.

    Attributes:
        left: places of the aligners that have no result yet.
        waiting: tasks that its cells wait for.
        cells: those that have not ended.
        failure: the traceback of what failed for all of them.
    """

    asked: AskedJob
    job: Job
    opened: Opened | None = None
    left: tuple[int, ...] = ()
    waiting: int = 0
    failure: str | None = None
    cells: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.cells = len(self.job.aligners)

    @property
    def name(self) -> str:
        return f"{self.job.dataset.shown_name}, {self.job.protocol.name}, {self.job.backbone.name}"


class _Driver:
    def __init__(
        self, client: Client, cluster: ClusterSpec, context: RunContext, notes: RunNotes, on_result: OnResult | None
    ) -> None:
        self._asking = Asking(client, cluster, context, smaller="--batch-size")
        self._cluster, self._context = cluster, context
        self._notes, self._on_result = notes, on_result
        self._said: set[str] = set()
        self._results: dict[tuple[int, int], Result] = {}
        self._lost = self._jobs = self._under_way = 0
        self._later: list[_JobState] = []

    def run(self, plan: Plan, asked: Sequence[AskedJob]) -> list[Result]:
        """All results, in the order of the plan."""
        self._notes.begin()
        self._jobs = len(asked)
        self._later = [_JobState(one, job) for one, job in zip(asked, plan.jobs, strict=True)]
        try:
            with self._context.progress(plan.cells, "cells", "cell") as bar:
                self._open_more()
                while self._asking.open:
                    self._wait(bar)
        finally:
            self._asking.release()
        return [self._results[key] for key in sorted(self._results)]

    def _open_more(self) -> None:
        """Open further jobs, but few at a time: what a worker has open costs memory, and it keeps two of them."""
        while self._later and self._under_way <= max(1, self._asking.workers()):
            state = self._later.pop(0)
            self._under_way += 1
            self._submit(state, "open", state.name, self._opened(state), tasks.open_job, state.asked)

    @property
    def _many_jobs(self) -> bool:
        return self._jobs >= _ENOUGH * max(1, self._asking.workers())

    def _one_cell_done(self, state: _JobState) -> None:
        state.cells -= 1
        if state.cells == 0:
            self._under_way -= 1
            self._open_more()

    def _submit(
        self,
        state: _JobState,
        step: str,
        name: str,
        then: Callable[[Done], None],
        work: Callable[..., Done],
        *arguments: Any,
        cell: str = "",
    ) -> None:
        """Ask for a task. Those of earlier jobs go first, so that a worker has few jobs open."""
        # Each of many jobs stays on the worker that opened it, unless that dies. Of few jobs all workers take cells.
        near = [state.opened.worker] if self._many_jobs and state.opened is not None else None

        def said(future: Future[Done]) -> None:
            done = future.result()
            self._say(done)
            then(done)

        self._asking.submit(
            step,
            f"{name}, job {state.asked.number}",
            work,
            *arguments,
            then=said,
            killed=partial(self._cell_lost, state, cell) if step == "cell" else None,
            priority=-state.asked.number,
            resources=self._asking.resources if step != "open" else None,
            workers=near,
            allow_other_workers=near is not None,
        )

    def _cell_lost(self, state: _JobState, cell: str) -> None:
        self._lost += 1
        self._one_cell_done(state)
        self._context.logger.error(
            "%s: its worker died %d times, perhaps for want of memory (--memory-limit); it has no result",
            cell,
            self._cluster.retries + 1,
        )

    def _wait(self, bar: Tracker) -> None:
        before = len(self._results) + self._lost
        self._asking.wait(lambda: bar.advance(0, **self._figures()))
        if (more := len(self._results) + self._lost - before) > 0:
            bar.advance(more, **self._figures())

    def _say(self, done: Done) -> None:
        """What a worker logged, once."""
        for level, text in done.notes:
            if text not in self._said:
                self._said.add(text)
                self._context.logger.log(level, "%s", text)

    def _figures(self) -> dict[str, float]:
        cells = self._notes.cells
        return {"failed": float(cells["failed"] + self._lost), "workers": float(self._asking.workers())}

    def _opened(self, state: _JobState) -> Callable[[Done], None]:
        def then(done: Done) -> None:
            opened: Opened = done.value
            state.opened = opened
            state.left = tuple(n for n in range(len(state.job.aligners)) if n not in opened.finished)
            for place, file in sorted(opened.finished.items()):
                self._result(state, place, file, earlier=True)
            if not state.left:
                return
            state.waiting = len(opened.groups)
            for group in range(len(opened.groups)):
                name = f"{state.name}, backbone {group}"
                work = (tasks.provide_backbone, state.asked, group, opened.learning)
                self._submit(state, "train", name, self._provided(state, group), *work)

        return then

    def _provided(self, state: _JobState, group: int) -> Callable[[Done], None]:
        def then(done: Done) -> None:
            state.failure = state.failure or done.failure
            blocks = done.value or []
            state.waiting += len(blocks)
            extracted = self._extracted(state, group, len(blocks))
            for block in blocks:
                name = f"{state.name}, backbone {group}, rows {block.rows}: {block.start} to {block.end}"
                work = (tasks.extract_block, state.asked, group, self._of(state).learning, block)
                self._submit(state, "extract", name, extracted, *work)
            if not blocks:
                self._fits(state, group)
            self._one_done(state)

        return then

    def _extracted(self, state: _JobState, group: int, blocks: int) -> Callable[[Done], None]:
        left = [blocks]

        def then(done: Done) -> None:
            state.failure = state.failure or done.failure
            left[0] -= 1
            if left[0] == 0:
                self._fits(state, group)
            self._one_done(state)

        return then

    def _fits(self, state: _JobState, group: int) -> None:
        """Ask for fits apart from their cells, where there are fewer of these than would keep all workers busy."""
        opened, workers = self._of(state), max(1, self._asking.workers())
        if state.failure is not None or state.asked.spec.cell_timeout is not None:
            return  # a time limit is for a cell with its fits, so these stay together
        if self._many_jobs or not opened.fits or len(opened.fits) >= _ENOUGH * workers:
            return
        for place in opened.fits:
            for trial in range(opened.groups[group]):
                name = f"{cell_name(state.job, state.job.aligners[place])}, backbone {group}, trial {trial}"
                state.waiting += 1
                work = (tasks.fit_aligner, state.asked, group, place, (trial,))
                self._submit(state, "fit", name, lambda done: self._one_done(state), *work)

    def _one_done(self, state: _JobState) -> None:
        state.waiting -= 1
        if state.waiting:
            return
        for place in state.left:
            name = cell_name(state.job, state.job.aligners[place])
            work = (tasks.run_cell, state.asked, place, state.failure)
            self._submit(state, "cell", f"{name}, {place}", self._computed(state, place), *work, cell=name)

    def _computed(self, state: _JobState, place: int) -> Callable[[Done], None]:
        def then(done: Done) -> None:
            file, earlier = done.value
            self._result(state, place, file, earlier=earlier)

        return then

    def _result(self, state: _JobState, place: int, file: str, *, earlier: bool) -> None:
        (result,) = load_results([file])
        self._results[state.asked.number, place] = result
        self._notes.add(result, earlier=earlier)
        if self._on_result is not None:
            self._on_result(result, earlier)
        self._one_cell_done(state)

    @staticmethod
    def _of(state: _JobState) -> Opened:
        assert state.opened is not None
        return state.opened


_ENOUGH = 4
"""Jobs or cells for each worker with which all workers are busy to the end, so that nothing need be cut smaller."""

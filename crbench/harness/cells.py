"""Steps 5 to 9 of the cells of a job: taken where they are finished, waited for where another process computes them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import attrs

from crbench.errors import ComparisonError, ConfigError, DataError, SystemFaultError
from crbench.evaluation import Selection
from crbench.harness.cell import CellRunner
from crbench.harness.extract.extractor import BatchTooLargeError
from crbench.harness.facts import JobFacts
from crbench.harness.identity import unreadable
from crbench.harness.job import OpenedJob
from crbench.harness.match import learns
from crbench.harness.record import CellAccumulator, make_result
from crbench.harness.rows import TrialRows
from crbench.harness.status import cell_claim
from crbench.harness.time_limit import TimeLimitReached, time_limit
from crbench.registry.resolve import Resolved
from crbench.results import Level, Result
from crbench.results.folder import find_result, noted_as_made, write_result
from crbench.store.files import check_writable
from crbench.store.lease import POLL_S, Claim, Lease


@attrs.frozen(eq=False)
class _Wanted:
    """A cell that has no result yet.

    Attributes:
        claim: on its lease; None = it is computed in any case, as nobody may take its result from another process.
    """

    facts: JobFacts
    aligner: Resolved
    claim: Claim | None

    @classmethod
    def of(cls, facts: JobFacts, aligner: Resolved) -> _Wanted:
        known = all(one.known for one in Selection.of(facts.job.protocol, facts.spec.metric).metrics)
        shared = facts.spec.resume and known and not unreadable(facts.job, aligner)
        return cls(facts, aligner, cell_claim(facts, aligner) if shared else None)

    def finished(self) -> Result | None:
        """The result of an earlier run, or of another process, that will do."""
        if self.claim is None:
            return None
        spec = self.facts.spec
        scores = {one.name: one.code_sha256 for one in Selection.of(self.facts.job.protocol, spec.metric).metrics}
        cell_id, warn = self.facts.cell_id(self.aligner), self.facts.run.logger.warning
        return find_result(spec.output, cell_id, scores, outcomes=spec.outcomes, hashed=spec.hash_keys, warn=warn)


def finished_cell(facts: JobFacts, aligner: Resolved) -> Result | None:
    """The result of an earlier run that a run would take."""
    return _Wanted.of(facts, aligner).finished()


def run_cells(
    opened: OpenedJob, aligners: Sequence[Resolved], started: float, *, failure: str | None = None
) -> Iterator[tuple[Result, bool]]:
    """The result of each cell, and whether it was there already; else it is computed and written.

    Args:
        started: when the job began, as `time.perf_counter` gives it.
        failure: the traceback of what failed for all of them before; their results say so.

    Raises:
        CrbenchError: see `crbench.harness.run.run`.
    """
    left = list(aligners)
    while left:
        try:
            for aligner, result, earlier in _results(opened, left, started, failure):
                left = [other for other in left if other is not aligner]
                yield result, earlier
        except BatchTooLargeError as error:
            # Features may depend on the batch size, so the cells that are left have all of theirs by the smaller one.
            opened.halve_batches(error)


def _results(
    opened: OpenedJob, aligners: Sequence[Resolved], started: float, failure: str | None
) -> Iterator[tuple[Resolved, Result, bool]]:
    facts, writable = opened.facts, False
    wanted, told = [_Wanted.of(facts, aligner) for aligner in aligners], False
    while wanted:
        waiting: list[_Wanted] = []
        with ExitStack() as leases:
            cells: list[tuple[CellAccumulator, Lease | None]] = []
            for one in wanted:
                found, lease = one.finished(), None
                if found is None and not writable:
                    check_writable(facts.spec.output)
                    writable = True
                if found is None and one.claim is not None:
                    lease = one.claim.attempt()
                    if lease is None:
                        waiting.append(one)
                        continue
                    leases.callback(lease.release)
                    found = one.finished()  # its owner may have finished since
                if found is None:
                    cells.append((CellAccumulator.of(facts, one.aligner), lease))
                    continue
                if lease is not None:
                    lease.release()
                yield one.aligner, found, True
            held = {id(cell): lease for cell, lease in cells}
            for cell in _run_trials(opened, [cell for cell, _ in cells], failure):
                written = _write(facts, cell, started)
                if (lease := held[id(cell)]) is not None:
                    lease.release()
                yield cell.aligner, written, False
        if waiting and not told:
            _say_waiting(facts, waiting)
            told = True
        if waiting:
            time.sleep(POLL_S)
        wanted = waiting


def _say_waiting(facts: JobFacts, waiting: Sequence[_Wanted]) -> None:
    for one in waiting:
        if one.claim is not None and one.claim.holder is not None:
            name = one.claim.facts["name"]
            facts.run.logger.info("another process computes %s; this one waits for it (%s)", name, one.claim.holder)


def _write(facts: JobFacts, cell: CellAccumulator, started: float) -> Result:
    begun = time.perf_counter()
    result = make_result(facts, cell, begun - started)
    kept = cell.outcomes if cell.error is None and facts.spec.outcomes else ()
    outcomes = [trial.hashed() if facts.spec.hash_keys else trial for trial in kept]
    written = write_result(facts.spec.output, result, outcomes)
    if cell.error is None:
        facts.paces.add("record", {}, result.trials[0].n_query, time.perf_counter() - begun)
        # How given features were made is not known, so a result of them counts as evaluated anew only.
        level: Level = "re-evaluated" if cell.given_features else "run here"
        written = noted_as_made(written, level, "the run that made it", facts.run.logger.warning)
    return written


def _run_trials(opened: OpenedJob, cells: list[CellAccumulator], failure: str | None) -> Iterator[CellAccumulator]:
    """Steps 4 to 8, one backbone after the other; gives each cell as soon as its last trial is done.

    A backbone that fails fails all cells, whatever trials they have; see `failure_of`.
    """
    for number in range(len(opened.groups)) if cells else ():
        try:
            if failure is None:
                found = opened.backbone(number)
                network = found.network
                encoded = opened.encoded(number, learning=any(learns(cell.aligner) for cell in cells))
        except Exception as error:  # noqa: BLE001  one failing backbone must not stop the others
            failure = failure_of(error)
        if failure is not None:
            for cell in cells:
                cell.error = cell.error or failure
            yield from cells
            return
        for cell in cells:
            cell.add_backbone(found.ready, network, encoded.timing)
            _run_cell(CellRunner(opened.facts, cell.aligner, found.ready, encoded), found.trials, cell)
            if number == len(opened.groups) - 1:
                yield cell


def _run_cell(runner: CellRunner, trials: Sequence[TrialRows], cell: CellAccumulator) -> None:
    """Steps 5 to 8 for one aligner; after an error its other trials are left out."""
    if cell.error is not None:
        return
    limit = runner.facts.spec.cell_timeout
    try:
        for trial in trials:
            with cell.watch.running(), time_limit(limit, cell.watch.seconds):
                fitted = runner.fit(trial)
            rows, extraction = runner.rows(trial, fitted)
            cell.add_extraction(extraction)
            with cell.watch.running(), time_limit(limit, cell.watch.seconds):
                found = runner.trial(rows, fitted)
            cell.add_trial(found)
    except (Exception, TimeLimitReached) as error:  # noqa: BLE001  one failing cell must not stop the others
        cell.error = failure_of(error)


def failure_of(error: BaseException) -> str:
    """The traceback of what fails one method's cells, so that the others go on.

    Raises:
        CrbenchError: `error`, where no method is to blame: the request, missing data, a full disk, leakage, or a batch
            that is tried again with half its size.
    """
    if isinstance(error, (ConfigError, DataError, ComparisonError, SystemFaultError, BatchTooLargeError)):
        raise error
    return "".join(traceback.format_exception(error))

"""One run, in order: the ten steps of `crbench.harness`, each of them a call."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

import attrs

from crbench.api.context import RunContext
from crbench.config.paths import cache_root
from crbench.config.run_spec import RunSpec
from crbench.errors import ComparisonError, ConfigError, DataError, SystemFaultError
from crbench.evaluation import Selection
from crbench.harness.arithmetic import settled_extraction
from crbench.harness.backbone import backbone_key, job_weights, provide_backbone
from crbench.harness.cell import CellRunner, learns
from crbench.harness.costs import NetworkCost
from crbench.harness.environment import pick_device
from crbench.harness.extract.extractor import BatchTooLargeError, with_half_batches
from crbench.harness.facts import JobFacts
from crbench.harness.features import Readers, encode
from crbench.harness.identity import unreadable
from crbench.harness.plan import Job, make_plan
from crbench.harness.record import CellAccumulator, make_result
from crbench.harness.rows import IdentifiedRows, TrialRows
from crbench.harness.time_limit import TimeLimitReached, check_time_limit, time_limit
from crbench.harness.trial import load_trials
from crbench.inputs import check_utf8
from crbench.metrics.choice import ChosenMetric
from crbench.registry.resolve import Resolved
from crbench.registry.weight_files import find_weights
from crbench.results import Level, Result
from crbench.results.folder import find_result, noted_as_made, write_result
from crbench.store.cache import Cache
from crbench.store.features import FeatureTable
from crbench.store.files import check_writable

OnResult = Callable[[Result, bool], None]
"""Called with a result, and with whether it was taken from an earlier run."""


def run(
    spec: RunSpec,
    *,
    context: RunContext | None = None,
    on_result: OnResult | None = None,
    only_kept_features: bool = False,
) -> list[Result]:
    """Run every cell of `spec`, writing each result to ``spec.output`` as soon as it is there.

    Args:
        spec: what to run, and how.
        context: logger and progress bars; silent by default. Seed and device are those of `spec`.
        on_result: called with each result as soon as it is there.
        only_kept_features: take all features from the cache, and write nothing into it.

    Returns:
        One result per cell, job by job; within a job those of an earlier run come first. A cell whose aligner or
        backbone fails has a result with status ``failed`` and the traceback; the others go on.

    Raises:
        CrbenchError: nothing can be run as asked: unknown names, missing data, weights that do not fit, leakage; or
            weights or results cannot be written; or the cache lacks `only_kept_features`. That it cannot be written is
            a warning.

    Example:
        >>> import tempfile
        >>> spec = RunSpec(dataset="mlr-synthetic", aligner="mean-shift", trial=0, limit=3, output=tempfile.mkdtemp(),
        ...                cache_dir=tempfile.mkdtemp(), set={"backbone.epochs": 1})
        >>> [result.method.aligner.name for result in run(spec)]
        ['none', 'mean-shift']
    """
    check_time_limit(spec.cell_timeout)
    plan = make_plan(spec)
    if spec.weights is not None:
        find_weights(spec.weights, spec.weights_sha256)  # before the data are read, which may take long
    context = attrs.evolve(context or RunContext(), seed=spec.seed, device=pick_device(spec.device))
    for note in plan.notes:
        context.logger.info("%s", note)
    results, cache = [], open_cache(spec, context, read_only=only_kept_features)
    for job in plan.jobs:
        for result, earlier in _run_job(job, spec, context, cache):
            results.append(result)
            if on_result is not None:
                on_result(result, earlier)
    return results


def open_cache(spec: RunSpec, context: RunContext, *, read_only: bool = False) -> Cache | None:
    """Where the run keeps features and fits; nowhere, if that is asked for or no such folder is known."""
    if not spec.cache:
        return None
    try:
        root = cache_root(spec.cache_dir)
        check_utf8(root)
        return Cache(root, context.logger.warning, read_only=read_only)
    except (SystemFaultError, DataError) as error:
        context.logger.warning("%s; the run goes on without a cache", error)
        return None


def _run_job(job: Job, spec: RunSpec, context: RunContext, cache: Cache | None) -> Iterator[tuple[Result, bool]]:
    """Steps 2 to 9 for one job: its results, and whether each comes from an earlier run."""
    started = time.perf_counter()
    _say_unreadable(job, Selection.of(job.protocol, spec.metric).metrics, context)
    trials = load_trials(job, spec, context)
    weights = job_weights(job, trials, spec, context)
    extraction = settled_extraction(job, trials, weights, spec, context, cache)
    facts = JobFacts.of(job, trials, spec, context, extraction=extraction, weights=weights, cache=cache)
    _say_deviations(facts)
    if job.dataset.file is not None:
        context.logger.info("%s is %s in results", job.dataset.name, job.dataset.public_name)
    left = list(job.aligners)
    while left:
        try:
            for aligner, result, earlier in _run_aligners(facts, left, started):
                left = [other for other in left if other is not aligner]
                yield result, earlier
        except BatchTooLargeError as error:
            # Features may depend on the batch size, so the cells that are left have all of theirs by the smaller one.
            facts = attrs.evolve(facts, extraction=with_half_batches(facts.extraction, error, context))


def _say_unreadable(job: Job, metrics: Sequence[ChosenMetric], context: RunContext) -> None:
    methods = {method.label: method for aligner in job.aligners for method in unreadable(job, aligner)}
    said = [(method.registered.owner, method.label) for method in methods.values()]
    said += [(one.owner, one.name) for one in metrics if not one.known]
    for owner, name in said:
        context.logger.warning(
            "%s: the source files of %s are not there, or changed since they were read, so no other run reuses what it "
            "makes",
            owner,
            name,
        )


def _say_deviations(facts: JobFacts) -> None:
    if facts.deviations:
        facts.run.logger.warning(
            "%s: this copy is not the published data set, it has %s; `crbench data verify` says more",
            facts.job.dataset.name,
            ", ".join(facts.deviations),
        )


def _run_aligners(
    facts: JobFacts, aligners: Sequence[Resolved], started: float
) -> Iterator[tuple[Resolved, Result, bool]]:
    """Each aligner's result, taken from the output folder where it is there, else computed and written."""
    cells = []
    metrics = Selection.of(facts.job.protocol, facts.spec.metric).metrics
    scores = {one.name: one.code_sha256 for one in metrics}
    for aligner in aligners:
        resumed = facts.spec.resume and all(one.known for one in metrics) and not unreadable(facts.job, aligner)
        earlier = _earlier(facts, aligner, scores) if resumed else None
        if earlier is None:
            cells.append(CellAccumulator.of(facts, aligner))
        else:
            yield aligner, earlier, True
    if cells:
        check_writable(facts.spec.output)
    for cell in _run_trials(facts, cells) if cells else ():
        result = make_result(facts, cell, time.perf_counter() - started)
        kept = cell.outcomes if cell.error is None and facts.spec.outcomes else ()
        outcomes = [trial.hashed() if facts.spec.hash_keys else trial for trial in kept]
        written = write_result(facts.spec.output, result, outcomes)
        if cell.error is None:
            # of features that were given in place of a backbone nothing shows how they were made
            level: Level = "re-evaluated" if cell.given_features else "run here"
            written = noted_as_made(written, level, "the run that made it", facts.run.logger.warning)
        yield cell.aligner, written, False


def _earlier(facts: JobFacts, aligner: Resolved, scores: Mapping[str, str | None]) -> Result | None:
    """The result of an earlier run that will do."""
    spec, warn = facts.spec, facts.run.logger.warning
    return find_result(spec.output, facts.cell_id(aligner), scores, outcomes=spec.outcomes, warn=warn)


def _run_trials(facts: JobFacts, cells: list[CellAccumulator]) -> Iterator[CellAccumulator]:
    """Steps 4 to 8, one backbone after the other; gives each cell as soon as its last trial is done.

    A backbone that fails fails all cells, whatever trials they have; see `_failure`.
    """
    job, run = facts.job, facts.run
    owner = job.backbone.registered.owner
    readers = Readers.of(facts)
    groups = [list(group) for _, group in groupby(facts.trials, lambda t: backbone_key(job, t, facts.weights, run))]
    table = FeatureTable.open(None, {})
    for group in groups:
        try:
            ready = provide_backbone(job, group, facts.weights, read=readers.own, run=run)
            trials = [TrialRows.of(trial, ready.backbone, owner) for trial in group]
            rows = IdentifiedRows.concat([trials[0].train, trials[0].test])
            network = NetworkCost.of(ready.backbone, rows.rows, run.device, owner)
            learning = any(learns(cell.aligner) for cell in cells)
            encoded = encode(facts, ready, trials, readers, table, learning=learning)
            table = encoded.table
        except Exception as error:  # noqa: BLE001  one failing backbone must not stop the others
            failure = _failure(error)
            for cell in cells:
                cell.error = cell.error or failure
            yield from cells
            return
        for cell in cells:
            cell.add_backbone(ready, network, encoded.timing)
            _run_cell(CellRunner(facts, cell.aligner, ready, encoded), trials, cell)
            if group is groups[-1]:
                yield cell


def _run_cell(runner: CellRunner, trials: list[TrialRows], cell: CellAccumulator) -> None:
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
        cell.error = _failure(error)


def _failure(error: BaseException) -> str:
    """The traceback of what fails one method's cells, so that the others go on.

    Raises:
        CrbenchError: `error`, where no method is to blame: the request, missing data, a full disk, leakage, or a batch
            that is tried again with half its size.
    """
    if isinstance(error, (ConfigError, DataError, ComparisonError, SystemFaultError, BatchTooLargeError)):
        raise error
    return "".join(traceback.format_exception(error))

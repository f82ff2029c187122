"""One run, in order: the ten steps of `crbench.harness`, each of them a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import attrs

from crbench.api.context import RunContext
from crbench.config.paths import cache_root
from crbench.config.run_spec import RunSpec
from crbench.errors import DataError, SystemFaultError
from crbench.evaluation import Selection
from crbench.harness.cells import run_cells
from crbench.harness.environment import pick_device
from crbench.harness.facts import JobFacts
from crbench.harness.identity import unreadable
from crbench.harness.job import OpenedJob
from crbench.harness.paces import Paces
from crbench.harness.plan import Job, make_plan
from crbench.harness.status import RunNotes
from crbench.harness.time_limit import check_time_limit
from crbench.inputs import check_utf8
from crbench.registry.weight_files import find_weights
from crbench.results import Result
from crbench.store.cache import Cache

OnResult = Callable[[Result, bool], None]
"""Called with a result, and with whether it was taken from an earlier run."""


def run(
    spec: RunSpec,
    *,
    context: RunContext | None = None,
    on_result: OnResult | None = None,
    only_kept_features: bool = False,
    paces: Paces | None = None,
) -> list[Result]:
    """Run every cell of `spec`, writing each result to ``spec.output`` as soon as it is there.

    Args:
        spec: what to run, and how.
        context: logger and progress bars; silent by default. Seed and device are those of `spec`.
        on_result: called with each result as soon as it is there.
        only_kept_features: take all features from the cache, and write nothing into it.
        paces: where the run notes what its steps took; None = in its cache.

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
    paces = paces or Paces.of(cache, context.device)
    with closing(RunNotes.of(spec, plan)) as notes:
        for job in plan.jobs:
            for result, earlier in _run_job(job, spec, context, cache, paces, notes):
                results.append(result)
                notes.add(result, earlier=earlier)
                if on_result is not None:
                    on_result(result, earlier)
            paces.keep()
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


def _run_job(
    job: Job, spec: RunSpec, context: RunContext, cache: Cache | None, paces: Paces, notes: RunNotes
) -> Iterator[tuple[Result, bool]]:
    """Steps 2 to 9 for one job: its results, and whether each comes from an earlier run."""
    started = time.perf_counter()
    opened = OpenedJob.of(job, spec, context, cache, paces)
    say_of_job(opened.facts)
    notes.begin()
    yield from run_cells(opened, job.aligners, started)


def say_of_job(facts: JobFacts) -> None:
    """Tell what the reader of a job's results should know of its code and data."""
    job, logger = facts.job, facts.run.logger
    methods = {method.label: method for aligner in job.aligners for method in unreadable(job, aligner)}
    said = [(method.registered.owner, method.label) for method in methods.values()]
    said += [(one.owner, one.name) for one in Selection.of(job.protocol, facts.spec.metric).metrics if not one.known]
    for owner, name in said:
        logger.warning(
            "%s: the source files of %s are not there, or changed since they were read, so no other run reuses what it "
            "makes",
            owner,
            name,
        )
    for one, differing in ((job, facts.deviations), (job.fitting, facts.fitted_deviations)):
        if differing:
            logger.warning(
                "%s: this copy is not the published data set, it has %s; `crbench data verify` says more",
                one.dataset.name,
                ", ".join(differing),
            )
    datasets = [one.dataset for one in (job, job.fitting) if one.dataset.file is not None]
    for name, shown, digits in dict.fromkeys((one.name, one.shown_name, one.content_digits) for one in datasets):
        logger.info("%s is %s in results, with content %s", name, shown, digits)

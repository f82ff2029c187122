"""One run, in order: plan, split, features, pairs, fit, transform, evaluate, record."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Precomputed, Reader
from crbench.config.paths import cache_root, data_root
from crbench.config.run_spec import RunSpec
from crbench.evaluation import Selection
from crbench.harness.backbone import Encoder, encoder_key, job_weights, provide_encoder
from crbench.harness.cell import CellRunner
from crbench.harness.environment import pick_device
from crbench.harness.extract.extractor import BatchTooLargeError, Extractor, auto_batch_size
from crbench.harness.extract.lookup import look_up
from crbench.harness.extract.pipeline import worker_count
from crbench.harness.galleries import blocks_of
from crbench.harness.plan import Job, make_plan
from crbench.harness.record import Accumulator, RunFacts, cell_id, make_result
from crbench.harness.timing import Clock
from crbench.harness.trial import TrialData, load_trials, make_reader
from crbench.harness.weights import degrade_rules
from crbench.records import Samples
from crbench.registry.resolve import Resolved
from crbench.registry.weight_files import find_weights
from crbench.results import Extraction, Result, Timing, to_json
from crbench.results.folder import find_result, result_path
from crbench.store.features import FeatureTable, row_ids
from crbench.store.files import write_text

OnResult = Callable[[Result, bool], None]
"""Called with each result as soon as it is there, and whether it was taken from an earlier run."""


def run(spec: RunSpec, *, context: RunContext | None = None, on_result: OnResult | None = None) -> list[Result]:
    """Run every cell of `spec`, writing each result to ``spec.output`` as soon as it is there.

    Args:
        spec: the wish; seed and device of `context` are taken from it.
        context: logger and progress bars; silent by default.
        on_result: told of each result.

    Returns:
        One result per cell, job by job; within a job those of an earlier run come first. A cell whose aligner
        fails is ``failed`` with its traceback; the others go on.

    Raises:
        CrbenchError: nothing can be run as asked: unknown names, missing data, weights that do not fit, leakage.

    Example:
        >>> import tempfile
        >>> spec = RunSpec(dataset="mlr-synthetic", aligner="mean-shift", trial=0, limit=3, output=tempfile.mkdtemp(),
        ...                cache_dir=tempfile.mkdtemp(), set={"backbone.epochs": 1})
        >>> [result.method.aligner.name for result in run(spec)]
        ['none', 'mean-shift']
    """
    plan = make_plan(spec)
    if spec.weights is not None:
        find_weights(spec.weights, spec.weights_sha256)  # before the data are read, which may take long
    context = attrs.evolve(context or RunContext(), seed=spec.seed, device=pick_device(spec.device))
    for note in plan.notes:
        context.logger.info("%s", note)
    results = []
    for job in plan.jobs:
        for result, earlier in _run_job(job, spec, context):
            results.append(result)
            if on_result is not None:
                on_result(result, earlier)
    return results


def _run_job(job: Job, spec: RunSpec, context: RunContext) -> Iterator[tuple[Result, bool]]:
    """The cells of one job: results, and whether each comes from an earlier run."""
    started = time.perf_counter()
    skip_bad = spec.on_bad_image == "skip"
    trials = load_trials(
        job,
        root=data_root(spec.data_root),
        limit=spec.limit,
        skip_bad=skip_bad,
        run=context,
        workers=worker_count(spec.num_workers),
    )
    size = auto_batch_size(context.device) if spec.batch_size == "auto" else spec.batch_size
    extraction = Extraction(batch_size=size, amp=spec.amp, compile=spec.compile)
    weights = job_weights(job, trials, spec, context)
    left = list(job.aligners)
    while left:
        facts = RunFacts.of(job, trials, spec, context, extraction, weights)
        try:
            for aligner, result, earlier in _run_aligners(facts, left, started):
                left = [other for other in left if other is not aligner]
                yield result, earlier
        except BatchTooLargeError as error:
            if extraction.batch_size == 1:
                raise
            # Features may depend on the batch's shape, so all that are still to come are made with the smaller one.
            extraction = attrs.evolve(extraction, batch_size=extraction.batch_size // 2)
            context.logger.warning("%s; going on with %d", str(error).partition(";")[0], extraction.batch_size)


def _run_aligners(
    facts: RunFacts, aligners: Sequence[Resolved], started: float
) -> Iterator[tuple[Resolved, Result, bool]]:
    """Each aligner's result, taken from the output folder where it is there, else computed and written."""
    todo = []
    scores = Selection.of(facts.job.protocol, facts.spec.metrics).names
    for aligner in aligners:
        earlier = find_result(facts.spec.output, cell_id(facts, aligner), scores) if facts.spec.resume else None
        if earlier is None:
            todo.append(Accumulator(aligner))
        else:
            yield aligner, earlier, True
    for accumulator in _run_trials(facts, todo) if todo else ():
        result = make_result(facts, accumulator, time.perf_counter() - started)
        write_text(result_path(facts.spec.output, result), to_json(result))
        yield accumulator.aligner, result, False


def _run_trials(facts: RunFacts, accumulators: list[Accumulator]) -> Iterator[Accumulator]:
    """Steps 4 to 8, one encoder after the other; gives each cell as soon as its last trial is done."""
    job, spec, context = facts.job, facts.spec, facts.run
    read = make_reader(job, data_root(spec.data_root))
    cache = cache_root(spec.cache_dir) if spec.cache else None
    groups = [list(group) for _, group in groupby(facts.trials, lambda t: encoder_key(job, t, facts.weights, context))]
    origin, table = None, FeatureTable.open(None, {})
    for group in groups:
        encoder = provide_encoder(job, group, facts.weights, read=read, run=context)
        # Trials with other training rows may still share the encoder, and so its features.
        if origin != (origin := _feature_origin(job, encoder, facts.extraction)):
            table = FeatureTable.open(None if isinstance(encoder.backbone, Precomputed) else cache, origin)
        with Clock(context.device) as clock:
            count = _fill(facts, encoder, table, read, group)
        extraction = Timing(seconds=clock.seconds, count=count, unit="images", cached=count == 0)
        for accumulator in accumulators:
            accumulator.use(encoder, extraction)
            runner = CellRunner(job, encoder.backbone, accumulator.aligner, table, origin, cache, spec, context)
            _run_cell(runner, group, accumulator)
            if group is groups[-1]:
                yield accumulator


def _fill(facts: RunFacts, encoder: Encoder, table: FeatureTable, read: Reader, group: list[TrialData]) -> int:
    """Step 4 for all rows of some trials; returns how many were not in the table yet."""
    rows, ids = _all_rows(encoder.backbone, group)
    if isinstance(encoder.backbone, Precomputed):
        return look_up(encoder.backbone, table, rows, ids)
    workers = worker_count(facts.spec.num_workers)
    extractor = Extractor(encoder.backbone, read, facts.extraction, facts.job.protocol.flip, workers)
    return extractor.fill(table, rows, ids, facts.run)


def _run_cell(runner: CellRunner, trials: list[TrialData], accumulator: Accumulator) -> None:
    if accumulator.error is not None:
        return
    try:
        for trial in trials:
            accumulator.add(*runner.trial(trial))
    except Exception:  # noqa: BLE001  one failing cell must not stop the others
        accumulator.error = traceback.format_exc()


def _all_rows(backbone: Backbone | Precomputed, trials: list[TrialData]) -> tuple[Samples, NDArray[np.bytes_]]:
    parts = [
        (rows, trial.digests(rows))
        for trial in trials
        for rows in (trial.train_all, *(rows for block in blocks_of(backbone, trial.split) for rows in block))
    ]
    return Samples.concat([rows for rows, _ in parts]), np.concatenate([row_ids(*part) for part in parts])


def _feature_origin(job: Job, encoder: Encoder, extraction: Extraction) -> Mapping[str, Any]:
    """All that a feature depends on beside its image, rates and camera; see `crbench.harness.extract.extractor`."""
    if isinstance(encoder.backbone, Precomputed):
        return encoder.facts
    return {
        **encoder.facts,
        "preprocess": attrs.asdict(encoder.backbone.preprocess),
        "degrade": {**degrade_rules(job.protocol), "flip": job.protocol.flip},
        "extraction": attrs.asdict(extraction),
    }

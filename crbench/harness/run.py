"""One run, in order: plan, split, features, pairs, fit, transform, evaluate, record."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.config import RunSpec, cache_root, data_root
from crbench.harness.backbones import Encoder, encoder_key, provide_encoder
from crbench.harness.cells import CellRunner
from crbench.harness.data import TrialData, load_trials, make_reader
from crbench.harness.environment import pick_device
from crbench.harness.extract import Extractor
from crbench.harness.plan import Job, make_plan
from crbench.harness.record import RunFacts, Tally, cell_id, make_result
from crbench.harness.timing import Clock
from crbench.interfaces import Run
from crbench.records import Samples
from crbench.results import Result, Timing, to_json
from crbench.store.features import FeatureTable, row_ids
from crbench.store.files import write_text
from crbench.store.results import find_result, result_path

OnResult = Callable[[Result, bool], None]
"""Called with each result as soon as it is there, and whether it was taken from an earlier run."""


def run(spec: RunSpec, *, context: Run | None = None, on_result: OnResult | None = None) -> list[Result]:
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
    context = attrs.evolve(context or Run(), seed=spec.seed, device=pick_device(spec.device))
    for note in plan.notes:
        context.logger.info("%s", note)
    results = []
    for job in plan.jobs:
        for result, earlier in _run_job(job, spec, context):
            results.append(result)
            if on_result is not None:
                on_result(result, earlier)
    return results


def _run_job(job: Job, spec: RunSpec, context: Run) -> Iterator[tuple[Result, bool]]:
    """The cells of one job: results, and whether each comes from an earlier run."""
    started = time.perf_counter()
    root = data_root(spec.data_root)
    skip_bad = spec.on_bad_image == "skip"
    trials = load_trials(
        job, root=root, limit=spec.limit, skip_bad=skip_bad, run=context, workers=max(1, spec.num_workers)
    )
    facts = RunFacts.of(job, trials, spec, context)
    todo = []
    for aligner in job.aligners:
        earlier = find_result(spec.output, cell_id(facts, aligner)) if spec.resume else None
        if earlier is None:
            todo.append(Tally(aligner))
        else:
            yield earlier, True
    for tally in _run_trials(job, trials, todo, spec, context, root) if todo else ():
        result = make_result(facts, tally, time.perf_counter() - started)
        write_text(result_path(spec.output, result), to_json(result))
        yield result, False


def _run_trials(
    job: Job, trials: list[TrialData], tallies: list[Tally], spec: RunSpec, context: Run, root: Path
) -> Iterator[Tally]:
    """Steps 4 to 8, one encoder after the other; gives each cell as soon as its last trial is done."""
    read = make_reader(job, root)
    cache = cache_root(spec.cache_dir) if spec.cache else None
    groups = [list(group) for _, group in groupby(trials, lambda t: encoder_key(job, t, spec.weights, context))]
    origin, table = None, FeatureTable.open(None, {})
    for group in groups:
        encoder = provide_encoder(job, group, spec.weights, read=read, run=context)
        # Trials with other training rows may still share the encoder, and so its features.
        if origin != (origin := _feature_origin(job, encoder, spec)):
            table = FeatureTable.open(cache, origin)
        extractor = Extractor(encoder.backbone, read, spec.batch_size, job.protocol.flip, max(1, spec.num_workers))
        with Clock(context.device) as clock:
            count = extractor.fill(table, *_all_rows(group), context)
        extraction = Timing(seconds=clock.seconds, count=count, unit="images", cached=count == 0)
        for tally in tallies:
            tally.use(encoder, extraction)
            _run_cell(CellRunner(job, tally.aligner, table, origin, cache, spec, context), group, tally)
            if group is groups[-1]:
                yield tally


def _run_cell(runner: CellRunner, trials: list[TrialData], tally: Tally) -> None:
    if tally.error is not None:
        return
    try:
        for trial in trials:
            tally.add(*runner.trial(trial))
    except Exception:  # noqa: BLE001  one failing cell must not stop the others
        tally.error = traceback.format_exc()


def _all_rows(trials: list[TrialData]) -> tuple[Samples, NDArray[np.bytes_]]:
    parts = [(rows, t.digests(rows)) for t in trials for rows in (t.train_all, t.split.query, t.split.gallery)]
    return Samples.concat([rows for rows, _ in parts]), np.concatenate([row_ids(*part) for part in parts])


def _feature_origin(job: Job, encoder: Encoder, spec: RunSpec) -> Mapping[str, Any]:
    """All that a feature depends on beside its picture, rates and camera."""
    rules = ("kernel", "antialias", "rounding", "encoder", "encode_hr", "flip")
    return {
        **encoder.facts,
        "preprocess": attrs.asdict(encoder.backbone.preprocess),
        "degrade": {rule: getattr(job.protocol, rule) for rule in rules},
        "batch_size": spec.batch_size,
        "dtype": "float32",
    }

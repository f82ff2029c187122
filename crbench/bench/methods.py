"""The methods of a run, measured at its end: a benchmark beside the result of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Precomputed
from crbench.bench.plan import BenchSpec
from crbench.bench.records import Bench, to_json
from crbench.bench.run import bench_method, build_backbone
from crbench.config.run_spec import RunSpec
from crbench.errors import CrbenchError
from crbench.harness.environment import pick_device
from crbench.harness.plan import Job, make_plan
from crbench.harness.record import component
from crbench.registry.guard import plugin_stage
from crbench.registry.resolve import Resolved
from crbench.results import Component, Result
from crbench.results.folder import result_path
from crbench.results.search import BENCH_SUFFIX
from crbench.store.files import write_text

_Facts = tuple[str, str | None, Mapping[str, Any], str, str]


def bench_run(
    spec: RunSpec, results: Sequence[Result], context: RunContext, *, options: BenchSpec, command: str
) -> list[Bench]:
    """Measure what depends on the methods of a run alone: the stages forward, fit and transform.

    A backbone's network is measured once, beside its first aligner. What cannot be measured is named in a warning.

    Args:
        spec: of the run.
        results: of the run; methods whose cells failed are left out.
        context: its logger and progress bars are used.
        options: how well and how long to measure; methods, device and arithmetic are the run's.
        command: kept in the records.

    Returns:
        The benchmarks. Each is written beside a result, under its name with the ending ``.bench.json``.
    """
    benches: list[Bench] = []
    seen: list[tuple[_Facts, _Facts]] = []
    for job in make_plan(spec).jobs:
        cells = [(aligner, one) for aligner, one in _finished(job, results) if _method(job, aligner) not in seen]
        seen += [_method(job, aligner) for aligner, _ in cells]
        for aligner, bench, result in _measured(spec, job, cells, context, options, command):
            context.logger.info("measured %s with %s", aligner.name, job.backbone.name)
            write_text(result_path(spec.output, result).with_suffix(BENCH_SUFFIX), to_json(bench))
            benches.append(bench)
    return benches


def _measured(
    spec: RunSpec,
    job: Job,
    cells: Sequence[tuple[Resolved, Result]],
    context: RunContext,
    options: BenchSpec,
    command: str,
) -> Iterator[tuple[Resolved, Bench, Result]]:
    """The benchmarks of a job's methods."""
    built: Backbone | Precomputed | None = None
    forward: tuple[str, ...] = ("forward",)
    for aligner, result in cells:
        try:
            built = built or build_backbone(job.backbone, spec.weights, pick_device(spec.device))
            stages = (*(() if isinstance(built, Precomputed) else forward), "fit", "transform")
            asked = attrs.evolve(options, stages=stages, aligner=aligner.name, **_shared(spec, job, result))
            with plugin_stage(aligner.registered.owner, "bench"):
                bench = bench_method(asked, job.backbone, built, aligner, progress=context.progress, command=command)
        except CrbenchError as error:
            context.logger.warning("%s with %s cannot be measured: %s", aligner.name, job.backbone.name, error)
            continue
        forward = ()
        yield aligner, bench, result


def _shared(spec: RunSpec, job: Job, result: Result) -> dict[str, Any]:
    """What a benchmark takes from a run."""
    names = ("weights", "device", "compile")
    shared = {name: getattr(spec, name) for name in names}
    return {**shared, "amp": result.extraction.amp, "backbone": job.backbone.name, "settings": spec.set}


def _finished(job: Job, results: Sequence[Result]) -> Iterator[tuple[Resolved, Result]]:
    """The aligners of a job with a result that is ok, and that result."""
    for aligner in job.aligners:
        cell = job.dataset.public_name, job.protocol.name, *_method(job, aligner)
        ours = [one for one in results if one.status == "ok" and _cell(one) == cell]
        yield from ((aligner, one) for one in ours[:1])


def _cell(one: Result) -> tuple[str, str, _Facts, _Facts]:
    return one.dataset, one.protocol.name, _facts(one.method.backbone), _facts(one.method.aligner)


def _method(job: Job, aligner: Resolved) -> tuple[_Facts, _Facts]:
    return _facts(component(job.backbone)), _facts(component(aligner))


def _facts(one: Component) -> _Facts:
    """What the plan of a run and its results say of a component alike."""
    return one.name, one.preset, one.parameters, one.distribution, one.version

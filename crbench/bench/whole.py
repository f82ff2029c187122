"""The stage ``run``: from files to scores, with nothing from a cache; and what benchmarks keep for predictions."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable

import attrs

from crbench.bench.plan import BenchSpec
from crbench.bench.records import Measured
from crbench.config.paths import cache_root
from crbench.errors import EvaluationError, SystemFaultError
from crbench.harness.paces import Paces, network
from crbench.harness.run import run
from crbench.registry.resolve import Resolved
from crbench.results import Extraction
from crbench.results.labels import failure_reason
from crbench.store.cache import Cache


def whole_run(spec: BenchSpec, device: str) -> Callable[[], object]:
    """A call that runs the first trial of the data set. The first call trains a backbone that has no weights.

    What the steps of each run took is kept for predictions, see `crbench.harness.paces`.
    """
    request, paces = spec.run_spec(device), bench_paces(device)

    def call() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for result in run(attrs.evolve(request, output=folder), paces=paces):
                if result.status != "ok":
                    raise EvaluationError(f"the run failed: {failure_reason(result)}")

    return call


def bench_paces(device: str) -> Paces:
    """Where a benchmark keeps what predictions need: in the user's cache, where there is one."""
    try:
        cache = Cache(cache_root())
    except SystemFaultError as error:
        logging.getLogger(__name__).warning("%s; nothing is kept for predictions", error)
        cache = None
    return Paces.of(cache, device, by="bench")


def keep_network(spec: BenchSpec, backbone: Resolved, stages: Iterable[Measured], device: str) -> None:
    """Keep the pace of the network alone, which stands for its share of an extraction until one was measured."""
    paces = bench_paces(device)
    for one in stages:
        if (one.stage, one.scenario) == ("forward", "Offline"):
            extraction = Extraction(batch_size=one.batch, amp=spec.amp, compile=spec.compile)  # type: ignore[arg-type]
            of = network(backbone, extraction, flip=False)
            paces.add("network alone", of, one.batch, one.seconds.median)
    paces.keep()

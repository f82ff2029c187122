"""The stage ``run``: from files to scores, with nothing taken from a cache."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import attrs

from crbench.bench.plan import BenchSpec
from crbench.errors import EvaluationError
from crbench.harness.run import run
from crbench.results.labels import failure_reason


def whole_run(spec: BenchSpec, device: str) -> Callable[[], object]:
    """A call that runs the first trial of the data set. The first call trains a backbone that has no weights."""
    request = spec.run_spec(device)

    def call() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for result in run(attrs.evolve(request, output=folder)):
                if result.status != "ok":
                    raise EvaluationError(f"the run failed: {failure_reason(result)}")

    return call

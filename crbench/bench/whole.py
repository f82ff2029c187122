"""The whole run as one piece of work: from files to scores, with nothing taken from a cache."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import attrs

from crbench.bench.plan import BenchSpec
from crbench.config import build_spec
from crbench.errors import EvaluationError
from crbench.harness.run import run


def whole_run(spec: BenchSpec, device: str) -> Callable[[], object]:
    """A call that runs the first trial of the data set; a backbone without weights is trained in the first call."""
    values = {
        "dataset": spec.dataset,
        "trial": "0",
        "device": device,
        "amp": spec.amp,
        "compile": spec.compile,
        "batch_size": spec.batch_size or "auto",
        "cache": False,
        "resume": False,
        "baseline": False,
        "set": dict(spec.settings),
    }
    named = {name: getattr(spec, name) for name in ("backbone", "aligner", "weights", "data_root")}
    wish = build_spec({**values, **{name: value for name, value in named.items() if value is not None}}, "bench")

    def call() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for result in run(attrs.evolve(wish, output=folder)):
                if result.status != "ok":
                    raise EvaluationError(f"the run failed: {(result.error or '').strip().splitlines()[-1]}")

    return call

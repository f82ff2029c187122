"""The records of a benchmark file, and the file itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import validators as v

from crbench.bench.ceilings import Ceilings
from crbench.bench.hardware import DeviceState
from crbench.bench.repeat import Quantiles
from crbench.errors import DataError
from crbench.results import Component, Environment
from crbench.results.files import read_record, read_text, record_files

BENCH_VERSION = 1
"""Raised when a field of a benchmark file is added, removed or changes its meaning."""

_HINT = "`crbench bench -o FILE` writes one"

Scenario = Literal["Offline", "SingleStream"]
Status = Literal["ok", "noisy", "throttled"]


@attrs.frozen(kw_only=True)
class Measured:
    """One stage in one scenario.

    Attributes:
        stage: see `crbench.bench.plan.STAGES`.
        scenario: ``Offline``: the batch with the highest throughput; ``SingleStream``: one sample at a time.
        batch, unit: what one call works on: so many images, samples, queries, steps, fits or runs.
        seconds: of one call.
        per_second: units per second, at the median.
        first_s: seconds of the first call, with all that is compiled or set up then.
        parameters: learned parameters of what is called; None = not known.
        flops: floating-point operations of one call, as torch counts them (two for each multiply-accumulate); None
            where torch sees none.
        bytes: the fewest bytes that one call can move: input, output and parameters; None = not known.
        macs_per_sample: multiply-accumulates per unit.
        flop_share, bytes_share: achieved operations and bytes per second over the ceilings of the same run.
        note: a remark on the measurement, for readers.
    """

    stage: str
    scenario: Scenario = attrs.field(validator=v.in_(("Offline", "SingleStream")))
    batch: int = attrs.field(validator=v.ge(1))
    unit: str
    seconds: Quantiles
    per_second: float
    first_s: float
    parameters: int | None = None
    flops: int | None = None
    bytes: int | None = None
    macs_per_sample: float | None = None
    flop_share: float | None = None
    bytes_share: float | None = None
    note: str = ""


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _stages(values: Iterable[Measured]) -> tuple[Measured, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Bench:
    """All that one benchmark measured.

    Attributes:
        status: ``ok``, or why the numbers are not fit to be published.
        reasons: one line for each reason.
        dim: length of the features.
        settings: what was asked for (JSON values): sizes, amp, compile, tf32, precision, spread, budget. ``dim`` is
            null where features are as long as the backbone's.
        before, after: state of the device.
        command: the line that repeats it.
    """

    schema_version: int = attrs.field(default=BENCH_VERSION, validator=v.in_((BENCH_VERSION,)))
    status: Status = attrs.field(validator=v.in_(("ok", "noisy", "throttled")))
    reasons: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    created: str
    backbone: Component | None
    aligner: Component | None
    dim: int = attrs.field(validator=v.ge(1))
    settings: Mapping[str, Any]
    environment: Environment
    before: DeviceState
    after: DeviceState
    ceilings: Ceilings
    stages: tuple[Measured, ...] = attrs.field(converter=_stages)
    command: str

    @property
    def hardware(self) -> str:
        """The device as people call it: the GPU's name, or the processor's with the number of threads."""
        env = self.environment
        return env.device if env.device != "cpu" else f"{env.cpu} x{env.threads}"


def to_json(bench: Bench) -> str:
    """The text of a benchmark file."""
    return json.dumps(attrs.asdict(bench), indent=1, allow_nan=False) + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a benchmark file.

    Example:
        >>> schema()["properties"]["schema_version"]
        {'const': 1}
    """
    text = resources.files("crbench").joinpath("schema", f"bench-{BENCH_VERSION}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def load_bench(path: str | Path) -> Bench:
    """Read a benchmark file.

    Raises:
        DataError: it does not exist, cannot be read, or is not a benchmark.
    """
    text = read_text(Path(path), "benchmark")
    return read_record(text, Bench, str(path), kind="benchmark", version=BENCH_VERSION)


def load_benches(paths: Iterable[str | Path]) -> list[Bench]:
    """Read benchmark files, or folders that are searched for ``*.json`` at any depth.

    Raises:
        DataError: a path does not exist, cannot be read or is not a benchmark; a folder holds none.
    """
    benches: list[Bench] = []
    for path in paths:
        files = record_files([path], _HINT)
        if not files:
            raise DataError(f"{path}: no benchmark files in it; {_HINT}")
        benches += map(load_bench, files)
    return benches

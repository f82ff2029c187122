"""The records of a benchmark file, and the file itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import validators as v

from crbench.bench.ceilings import Ceilings
from crbench.bench.hardware import DeviceState
from crbench.bench.load import Load
from crbench.bench.repeat import Quantiles
from crbench.config.json_schema import record_schema
from crbench.errors import DataError
from crbench.results import Component, Environment
from crbench.results.files import read_record
from crbench.results.search import BENCH_SUFFIX, read_each, read_text, record_files

BENCH_VERSION = 2
"""Raised when a field of a benchmark file is added, removed or changes its meaning."""

_HINT = "`crbench bench -o FILE` writes one"

Scenario = Literal["Offline", "SingleStream"]


_SHARE: Any = attrs.field(default=None, validator=v.optional([v.ge(0), v.le(1)]))


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Measured:
    """One stage in one scenario.

    Attributes:
        stage: see `crbench.bench.plan.STAGES`.
        scenario: ``Offline``: the batch with the highest throughput; ``SingleStream``: one sample at a time.
        batch, unit: what one call works on: so many images, samples, queries, steps, fits or runs.
        seconds: of one call, over the calls of both blocks.
        medians: of the calls of each block.
        per_second: units per second, at the median.
        first_s: seconds of the first call, with all that is compiled or set up then.
        parameters: learned parameters of what is called; None = not known.
        flops: floating-point operations of one call, as torch counts them (two for each multiply-accumulate); None
            where torch sees none.
        bytes: the fewest bytes that one call can move: input, output and parameters; None = not known.
        macs_per_sample: multiply-accumulates per unit.
        copy_bytes_per_s: of a copy of `bytes` bytes beside it; None where those are not known.
        flop_share, bytes_share: achieved operations per second over the ceiling of its arithmetic, and bytes per second
            over `copy_bytes_per_s`; from 0 to 1.
        note: where a stage was faster than the plain product or copy, and so is itself what is attainable.
        load: the heavier one of the loads during the two blocks; None = not known.
        reasons: why the number is not fit to be published, one line for each; see `crbench.bench.verdict`.
    """

    stage: str
    scenario: Scenario = attrs.field(validator=v.in_(("Offline", "SingleStream")))
    batch: int = attrs.field(validator=v.ge(1))
    unit: str
    seconds: Quantiles
    medians: tuple[float, float]
    per_second: float
    first_s: float
    parameters: int | None = None
    flops: int | None = None
    bytes: int | None = None
    macs_per_sample: float | None = None
    copy_bytes_per_s: float | None = None
    flop_share: float | None = _SHARE
    bytes_share: float | None = _SHARE
    note: str = ""
    load: Load | None = None
    reasons: tuple[str, ...] = attrs.field(default=(), converter=_strings)

    @property
    def name(self) -> str:
        """Stage and scenario: ``transform, Offline``."""
        return f"{self.stage}, {self.scenario}"


def _stages(values: Iterable[Measured]) -> tuple[Measured, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Bench:
    """All that one benchmark measured.

    Attributes:
        reasons: why none of the numbers is fit to be published, one line for each; a stage has reasons of its own.
        dim: length of the features.
        settings: what was asked for (JSON values): sizes, amp, compile, tf32, precision, spread, budget. ``dim`` is
            null where features are as long as the backbone's.
        before, after: state of the device.
        load_before, load_after: what the machine did while this process slept; None = not known.
        ceilings: the higher rates of those before the first stage and after the last one, and of the stages.
        drift: by how much the ceilings before and after differ, see `crbench.bench.ceilings.Ceilings.drift`.
        created: UTC.
        command: the line that repeats it.
    """

    schema_version: int = attrs.field(default=BENCH_VERSION, validator=v.in_((BENCH_VERSION,)))
    reasons: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    created: str
    backbone: Component | None
    aligner: Component | None
    dim: int = attrs.field(validator=v.ge(1))
    settings: Mapping[str, Any]
    environment: Environment
    before: DeviceState
    after: DeviceState
    load_before: Load | None
    load_after: Load | None
    ceilings: Ceilings
    drift: float = attrs.field(validator=v.ge(0))
    stages: tuple[Measured, ...] = attrs.field(converter=_stages)
    command: str

    @property
    def unfit(self) -> tuple[str, ...]:
        """Every reason why a number is not fit to be published, with the stage that it is about."""
        return (*self.reasons, *(f"{one.name}: {reason}" for one in self.stages for reason in one.reasons))

    @property
    def fit_stages(self) -> tuple[Measured, ...]:
        """The stages whose numbers are fit to be published."""
        return () if self.reasons else tuple(one for one in self.stages if not one.reasons)

    @property
    def hardware(self) -> str:
        """The device as people call it: the GPU's name, or the processor's with the number of threads."""
        env = self.environment
        return env.device if env.device != "cpu" else f"{env.cpu} x{env.threads}"


def to_json(bench: Bench) -> str:
    """The text of a benchmark file."""
    return json.dumps(attrs.asdict(bench), indent=1, allow_nan=False) + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a benchmark file; ``crbench/schema`` holds a copy.

    Example:
        >>> schema()["properties"]["schema_version"]["const"]
        2
    """
    about = {
        "$id": f"urn:crbench:schema:bench-{BENCH_VERSION}",
        "title": "crbench benchmark",
        "description": "How fast the stages of a method are on one machine. Seconds, bytes, operations; shares are of "
        "what the device attains in the same run.",
    }
    return record_schema(Bench, about, by_function={}, by_field={"Bench.schema_version": {"const": BENCH_VERSION}})


def load_bench(path: str | Path) -> Bench:
    """Read a benchmark file.

    Raises:
        DataError: it does not exist, cannot be read, or is not a benchmark.
    """
    text = read_text(Path(path), "benchmark")
    return read_record(
        text, Bench, str(path), kind="benchmark", version=BENCH_VERSION, upgrade=partial(_new, str(path))
    )


def _new(origin: str, content: Any) -> Any:
    """`content`, unless it is of version 1: whether its numbers are fit to be published is not in it."""
    if isinstance(content, dict) and content.get("schema_version") == 1 and "command" in content:
        raise DataError(
            f"{origin}: measured by crbench 0.1.0, which did not look at the load of the machine; measure again by "
            f"{content.get('command')}"
        )
    return content


def load_benches(paths: Iterable[str | Path], *, strict: bool = False) -> list[Bench]:
    """Read benchmark files, or folders that are searched at any depth.

    In a folder to which ``crbench run --bench`` wrote, its files ``*.bench.json`` are the benchmarks; in another one,
    all files ``*.json`` may be.

    Args:
        strict: refuse folders with files that are none, as `crbench.load_results` does.

    Raises:
        DataError: a path does not exist, or what must be a benchmark cannot be read or is none; a folder holds none.
    """
    benches: list[Bench] = []
    for path in paths:
        files = record_files([path], _HINT)
        files = [file for file in files if file.path.name.endswith(BENCH_SUFFIX)] or files
        found = read_each(files, load_bench, strict=strict)
        if not found:
            raise DataError(f"{path}: no benchmark files in it; {_HINT}")
        benches += found
    return benches

"""The engines of `crbench.ranking` by name, and which one answers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType

import attrs

from crbench.config.units import LEAST_BUDGET
from crbench.errors import EvaluationError
from crbench.evaluation.placement import default_budget
from crbench.ranking.interface import PRECISIONS, Engine, RankInputs, Settings

ENGINES: Mapping[str, str] = MappingProxyType(
    {
        "reference": "crbench.ranking.reference:ReferenceEngine",
        "numba": "crbench.ranking.engine:NumbaEngine",
        "cupy": "crbench.ranking.engine:CupyEngine",
        "torch": "crbench.ranking.engine:TorchEngine",
    }
)
"""Engines by name, imported at first use."""

CPU_ENGINES = ("reference", "numba")
"""Those that work on the CPU only."""


@attrs.frozen
class Asked:
    """How the user wants an evaluation to be computed; see `crbench.evaluate`."""

    engine: str
    precision: str
    memory: int | None

    @classmethod
    def checked(cls, engine: str, precision: str, memory: int | None) -> Asked:
        """The same, once it is known to make sense.

        Raises:
            EvaluationError: an unknown precision, or a budget that is too small.
        """
        if precision not in ("auto", *PRECISIONS):
            raise EvaluationError(f"unknown precision {precision!r}; known: auto, {', '.join(PRECISIONS)}")
        if memory is not None and memory < LEAST_BUDGET:
            raise EvaluationError(f"a memory budget of {memory} bytes is too small; expected {LEAST_BUDGET} or more")
        return cls(engine, precision, memory)


def chosen(asked: Asked, inputs: RankInputs) -> tuple[str, Settings]:
    """The name of the engine for these features, and how it is to work.

    Raises:
        EvaluationError: there is none of that name, or it cannot work there.
    """
    memory = default_budget(inputs.device) if asked.memory is None else asked.memory
    return _name(asked.engine, asked.precision, inputs), Settings(precision=asked.precision, memory=memory)


def prepare(engine: str, device: str) -> None:
    """Compile what an evaluation with this engine, or ``auto``, needs on a device, so that its time is its own.

    A few seconds at the first call ever; the compiled code is kept, see `crbench.jit`.
    """
    import_module("crbench.metrics.single_shot")
    if engine in ("auto", "numba") and not device.startswith("cuda"):
        import_module("crbench.ranking.backends.numba")


def _name(engine: str, precision: str, inputs: RankInputs) -> str:
    """The name of the engine for these features.

    Raises:
        EvaluationError: there is none of that name, or it cannot work there.
    """
    if engine not in ("auto", *ENGINES):
        raise EvaluationError(f"unknown engine {engine!r}; known: auto, {', '.join(ENGINES)}")
    device = inputs.device.type
    needed = {"numba": "cpu", "cupy": "cuda"}.get(engine, device)
    if needed != device:
        raise EvaluationError(
            f"engine {engine!r} works on {needed}, not on {device}; use engine 'auto' or another device"
        )
    if precision == "int8" and device != "cpu":
        raise EvaluationError(f"precision 'int8' works on cpu, not on {device}; use 'bf16x3'")
    if engine == "auto" and device == "cpu":
        return "numba"
    has_cupy = find_spec("cupy") is not None
    if engine == "cupy" and not has_cupy:
        raise EvaluationError("engine 'cupy' needs CuPy; install crbench[cuda12] or crbench[cuda13]")
    return ("cupy" if has_cupy else "torch") if engine == "auto" else engine


def load(name: str) -> type[Engine]:
    """The class of an engine."""
    module, _, attribute = ENGINES[name].partition(":")
    engine: type[Engine] = getattr(import_module(module), attribute)
    return engine

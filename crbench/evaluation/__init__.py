"""The evaluation: features and a protocol in, scores out; the same integers from every engine.

`task` says what an engine is asked; `checks`, `places` and `shots` prepare the question, `rank` and `scores` make use
of the answer. `distance` and `reference` are the definition. The fast engines are `tiled`: `blocks` cuts the work,
`streams` bring rows to the device, `norms` make `operands` of them, `products` (with `integers`) multiplies these in a
`precision`, `rows` bounds what a product may be wrong by; `positives` are what is asked of a block; `counters` say what
`operations`, `compiled` (its loops are `loops`) and `kernels` count; `workers` are the threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import attrs
import numpy as np

from crbench.api.context import Progress, no_progress
from crbench.config.units import LEAST_BUDGET
from crbench.errors import EvaluationError
from crbench.evaluation import masks
from crbench.evaluation.inputs import checked
from crbench.evaluation.outcomes import Evaluation, Outcomes, Scores, joined
from crbench.evaluation.placement import default_budget
from crbench.evaluation.shards import Part, Shard, content, merge
from crbench.metrics import rank
from crbench.protocol import EvalProtocol
from crbench.ranking.interface import PRECISIONS, Engine, RankCounts, RankInputs, RankTask, Settings
from crbench.records import Features

if TYPE_CHECKING:
    from crbench.api.interfaces import Distance

__all__ = [
    "CPU_ENGINES",
    "ENGINES",
    "PRECISIONS",
    "Evaluation",
    "Outcomes",
    "Part",
    "Scores",
    "Shard",
    "evaluate",
    "evaluate_part",
    "joined",
    "merge",
    "prepare",
]

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


def evaluate(
    query: Features,
    gallery: Features,
    protocol: EvalProtocol | None = None,
    *,
    engine: str = "auto",
    stream: str = "evaluate",
    distance: Distance | None = None,
    precision: str = "auto",
    device: str | None = None,
    memory_budget: int | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Score query features against gallery features.

    A gallery item is valid for a query unless it is junk (pid -1, with ``junk="drop"``), shows the query's person from
    the query's camera (with ``same_camera="ignore"``; camid -1 = unknown equals no camera), or is of a camera that the
    query's does not meet (`ignored_cameras`). Valid items of the query's person are its positives. Rank of the i-th
    nearest positive: i plus the negatives ahead of it, which are those strictly nearer and, with
    ``ties="pessimistic"``, those equally near. Formulas: `crbench.metrics.rank`; what "near" and "equal" mean, to
    the bit: `crbench.ranking.distance`. ``distance="cosine"`` divides features by their norm whatever `normalise`
    says. With single-shot galleries, distractors (pid 0) and kept junk are each an identity of their own.

    Args:
        query, gallery: features as NumPy, torch or CuPy arrays, float32 (others are converted); see also
            `crbench.records.features_from_arrays`.
        protocol: the rules; None = ``EvalProtocol()``, i.e. exact single-shot with cosine distance.
        engine: one of `ENGINES`, or ``auto`` to choose; ``reference`` is the definition, and slow.
        stream: names the draws of ``single:mc:N`` (see `crbench.data.draws`); same name, same draws.
        distance: gives f32[q, g] for blocks of queries, smaller is closer, instead of ``protocol.distance``; compared
            as they are, so normalising is its own affair.
        precision: of the products, see `PRECISIONS`; ``auto`` to choose. What a product cannot decide is decided in
            float64, so scores do not depend on it.
        device: where to compare, ``cpu``, ``cuda`` or ``cuda:1``; None = the CUDA device of either side, else the CPU.
            Features are brought there, or tile by tile if they take more than half of a CUDA device's free memory.
        memory_budget: bytes to use beside the features, at least 1 MiB; sets the size of blocks. None = 40 MiB per
            thread of torch, 80 MiB at least, and on a CUDA device a sixteenth of its memory.
        progress: shows progress bars, see `crbench.api.context.Progress`; silent by default.

    Returns:
        Scores over all queries that have a positive, per rate too, and the outcome of each query.

    Raises:
        EvaluationError: empty, integer, non-finite or zero features, lengths that differ, pids or dims out of range, an
            unknown distance, engine, precision or device, a memory budget below 1 MiB, distances of the wrong shape, no
            query with a positive.

    Example:
        >>> from crbench.records import features_from_arrays
        >>> query = features_from_arrays([[1.0, 0.1], [0.2, 1.0]], pids=[1, 2], rates=[2, 4])
        >>> gallery = features_from_arrays([[1.0, 0.0], [0.9, 0.5]], pids=[1, 2])
        >>> result = evaluate(query, gallery, EvalProtocol(ranks=[1, 2]))
        >>> result.scores.rank(1), result.by_rate[4.0].n_valid
        (1.0, 1)
    """
    protocol = EvalProtocol() if protocol is None else protocol
    _check_settings(precision, memory_budget)
    inputs = checked(query, gallery, protocol, distance, device)
    settings = _settings(precision, memory_budget, inputs)
    answer = _answered(
        inputs, protocol, _chosen(engine, precision, inputs), settings, stream, progress, range(len(query))
    )
    return Evaluation.of(query.rows, **attrs.asdict(answer, recurse=False))


def evaluate_part(
    query: Features,
    gallery: Features,
    protocol: EvalProtocol | None = None,
    *,
    shard: Shard,
    engine: str = "auto",
    stream: str = "evaluate",
    distance: Distance | None = None,
    precision: str = "auto",
    device: str | None = None,
    memory_budget: int | None = None,
    progress: Progress = no_progress,
) -> Part:
    """Score one shard of the queries; `merge` makes of all parts what `evaluate` gives, bit for bit.

    Args:
        query, gallery: all queries and the whole gallery, the same for each part.
        shard: which of the queries to score.
        protocol, engine, stream, distance, precision, device, memory_budget, progress: see `evaluate`; parts may differ
            in engine, precision, device and memory. A distance must be the same for each part, which is not checked.

    Raises:
        EvaluationError: see `evaluate`; a shard without a query that has a positive is none.

    Example:
        >>> from crbench.records import features_from_arrays
        >>> query = features_from_arrays([[1.0, 0.1], [0.2, 1.0]], pids=[1, 2])
        >>> gallery = features_from_arrays([[1.0, 0.0], [0.9, 0.5]], pids=[1, 2])
        >>> parts = [evaluate_part(query, gallery, shard=Shard(number, 2)) for number in (1, 2)]
        >>> bool((merge(parts).scores.cmc == evaluate(query, gallery).scores.cmc).all())
        True
    """
    protocol = EvalProtocol() if protocol is None else protocol
    _check_settings(precision, memory_budget)
    inputs, rows = checked(query, gallery, protocol, distance, device), shard.rows(len(query))
    settings = _settings(precision, memory_budget, inputs)
    answer = _answered(inputs, protocol, _chosen(engine, precision, inputs), settings, stream, progress, rows)
    return Part(
        shard=shard,
        queries=query.rows.take(np.array(rows, dtype=np.intp)),
        outcomes=answer.outcomes.take(np.array(rows, dtype=np.intp)),
        features=content(inputs),
        protocol=protocol,
        stream=stream,
        engine=answer.engine,
        precision=answer.precision,
        ambiguous=answer.ambiguous,
    )


@attrs.frozen(eq=False)
class _Answer:
    """Outcomes of all queries, as far as they were asked for, and how they came about; see `Evaluation`."""

    outcomes: Outcomes
    engine: str
    precision: str
    ambiguous: int


def _answered(
    inputs: RankInputs,
    protocol: EvalProtocol,
    name: str,
    settings: Settings,
    stream: str,
    progress: Progress,
    rows: range,
) -> _Answer:
    """What the engine of that name says of the queries in these rows."""
    task = masks.matches(inputs.query.rows, inputs.gallery.rows, protocol)
    engine: Engine = _load(name)(inputs, settings)
    if protocol.reranking is not None:
        from crbench.ranking.rerank.engine import RerankedEngine

        name, engine = "reranked", RerankedEngine(inputs, settings, protocol.reranking, task.candidates, progress)
    parts, ambiguous = [], 0
    for queries, items in masks.query_gallery_masks(inputs.query.rows, inputs.gallery.rows, protocol):
        mine = masks.restricted(task, queries[np.isin(queries, rows)], items)
        part, unsure = _outcomes(_WithProgress(engine, progress), mine, inputs, protocol, stream)
        parts.append(part)
        ambiguous += unsure
    outcomes = attrs.evolve(Outcomes.joined(parts), unmatched_count=protocol.unmatched == "zero")
    return _Answer(outcomes, name, engine.precision, ambiguous)


@attrs.frozen(eq=False)
class _WithProgress:
    """An engine whose progress is shown."""

    engine: Engine
    progress: Progress

    def count(self, tasks: Sequence[RankTask]) -> Iterator[RankCounts]:
        total = sum(int(np.count_nonzero(task.sizes)) for task in tasks)
        with self.progress(total, "evaluate", "queries") as bar:
            for counts in self.engine.count(tasks):
                bar.advance(len(counts.queries))
                yield counts


def prepare(engine: str, device: str) -> None:
    """Compile what an evaluation with this engine, or ``auto``, needs on a device, so that its time is its own.

    A few seconds at the first call ever; the compiled code is kept, see `crbench.ranking.jit`.
    """
    import_module("crbench.metrics.single_shot")
    if engine in ("auto", "numba") and not device.startswith("cuda"):
        import_module("crbench.ranking.backends.numba")


def _chosen(engine: str, precision: str, inputs: RankInputs) -> str:
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


def _check_settings(precision: str, memory: int | None) -> None:
    if precision not in ("auto", *PRECISIONS):
        raise EvaluationError(f"unknown precision {precision!r}; known: auto, {', '.join(PRECISIONS)}")
    if memory is not None and memory < LEAST_BUDGET:
        raise EvaluationError(f"a memory budget of {memory} bytes is too small; expected {LEAST_BUDGET} or more")


def _settings(precision: str, memory: int | None, inputs: RankInputs) -> Settings:
    return Settings(precision=precision, memory=default_budget(inputs.device) if memory is None else memory)


class _Part(Protocol):
    """What is made of the answers to one task."""

    task: RankTask

    def add(self, counts: RankCounts) -> None: ...


def _ask(engine: _WithProgress, parts: Sequence[_Part]) -> int:
    """Hand each answer to its part; how many comparisons were ambiguous."""
    ambiguous = 0
    for counts in engine.count([part.task for part in parts]):
        parts[counts.task].add(counts)
        ambiguous += counts.ambiguous
    return ambiguous


def _outcomes(
    engine: _WithProgress, task: RankTask, inputs: RankInputs, protocol: EvalProtocol, stream: str
) -> tuple[Outcomes, int]:
    """The outcomes, and how many comparisons were ambiguous."""
    ranks = max(protocol.ranks)
    full = rank.MultiShot(task, ranks, ap=protocol.ap)
    if protocol.multi_shot:
        ambiguous = _ask(engine, [full])
        return full.outcomes(), ambiguous
    extra = [] if protocol.ap_gallery == "drawn" else [full]
    who = masks.identities(task, inputs.query.rows, inputs.gallery.rows)
    if protocol.shot == "single:exact":
        exact = rank.SingleShot(masks.by_identity(task, who), ranks, sizes=who.sizes)
        ambiguous = _ask(engine, [exact, *extra])
        outcomes = exact.outcomes()
    else:
        draws = int(protocol.shot.removeprefix("single:mc:"))
        drawing = masks.Drawing(task, who, inputs.gallery.rows, stream)
        within = np.zeros((len(task.sizes), ranks), dtype=np.int64)
        drawn = [rank.Draws(drawing.task(number), within) for number in range(draws)]
        ambiguous = _ask(engine, [*drawn, *extra])
        cmc = np.where((task.sizes > 0)[:, None], within / draws, np.nan)
        outcomes = Outcomes(cmc=cmc, ap=None, inp=None, valid=task.sizes > 0)
    if extra:
        outcomes = attrs.evolve(outcomes, ap=full.outcomes().ap, inp=full.outcomes().inp)
    return outcomes, ambiguous


def _load(name: str) -> type[Engine]:
    module, _, attribute = ENGINES[name].partition(":")
    engine: type[Engine] = getattr(import_module(module), attribute)
    return engine

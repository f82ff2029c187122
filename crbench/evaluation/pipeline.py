"""`evaluate`, and `evaluate_part` for a shard of the queries: protocol, masks, ranks, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import Progress, no_progress
from crbench.denormals import denormals_kept
from crbench.errors import EvaluationError
from crbench.evaluation.engines import Asked
from crbench.evaluation.gallery import Gallery, Positives
from crbench.evaluation.gallery_shards import Engines, InOne, InSeveral
from crbench.evaluation.inputs import checked
from crbench.evaluation.labels import LabelFacts
from crbench.evaluation.outcomes import Outcomes
from crbench.evaluation.ranks import Ranking
from crbench.evaluation.scores import Evaluation, names
from crbench.evaluation.selection import Selection
from crbench.evaluation.shards import Part, Shard, content
from crbench.inputs import check_memory
from crbench.metrics.cmc import CURVE_LENGTH
from crbench.protocol import EvalProtocol
from crbench.records import Features

if TYPE_CHECKING:
    from crbench.api.interfaces import Distance


@denormals_kept()
def evaluate(
    query: Features,
    gallery: Features | Sequence[Features],
    protocol: EvalProtocol | None = None,
    *,
    engine: str = "auto",
    stream: str = "evaluate",
    distance: Distance | None = None,
    needs: Sequence[str] = (),
    metrics: Sequence[str] = (),
    curve: int = CURVE_LENGTH,
    precision: str = "auto",
    device: str | None = None,
    memory_budget: int | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Score query features against gallery features.

    A gallery item is valid for a query unless it is junk (pid -1, with ``junk="drop"``), shows the query's person from
    the query's camera (with ``same_camera="ignore"``; camid -1 = unknown equals no camera), is of a camera that the
    query's does not meet (`ignored_cameras`), or is the query's own image (both are ``named``, by equal keys and of one
    person; or `query` and `gallery` share their rows). Valid items of the query's person are its positives. Rank of the
    i-th nearest positive: i plus the negatives ahead of it, which are those strictly nearer and, with
    ``ties="pessimistic"``, those equally near. Formulas: `crbench.metrics`; what "near" and "equal" mean, to
    the bit: `crbench.ranking.distance`. ``distance="cosine"`` divides features by their norm whatever `normalise`
    says. With single-shot galleries, distractors (pid 0) and kept junk are each an identity of their own.

    Args:
        query, gallery: features as NumPy, torch or CuPy arrays, float32 or float64 (others are converted); see also
            `crbench.records.features_from_arrays`. Float64 is ranked as float64 gives, by every engine; only a
            `distance` of a plugin gets float32. A gallery may be a sequence of shards, which gives the scores of all in
            one, to the bit. It is gone through several times, and no shard is held when the next but one is asked for:
            a sequence may read them from files. A plugin's distance and re-ranking need the whole gallery.
        protocol: the rules; None = ``EvalProtocol()``, i.e. exact single-shot with cosine distance.
        engine: one of `ENGINES`, or ``auto`` to choose; ``reference`` is the definition, and slow.
        stream: names the draws of ``single:mc:N`` (see `crbench.data.draws`); same name, same draws.
        distance: gives f32[q, g] for blocks of queries, smaller is closer, instead of ``protocol.distance``; compared
            as they are, so normalising is its own affair. It gets `crbench.api.TestFeatures`: rows without persons and
            keys, in an order of their own.
        needs: what the distance sees of the rows beside their rates: ``("camids",)`` or nothing.
        precision: of the products, see `PRECISIONS`; ``auto`` to choose. What a product cannot decide is decided in
            float64, so scores do not depend on it.
        device: where to compare, ``cpu``, ``cuda`` or ``cuda:1``; None = the CUDA device of either side, else the CPU.
            Features are brought there, or tile by tile if they take more than half of a CUDA device's free memory.
        memory_budget: bytes to use beside the features, at least 1 MiB; sets the size of blocks. None = 40 MiB per
            thread of torch, 80 MiB at least, and on a CUDA device a sixteenth of its memory.
        metrics: names of scores to give beside those that are always given: CMC, mAP, mINP and the scores of plugins
            (``nDCG``; ``crbench plugins`` lists them).
        curve: entries of the CMC curves, from 50.
        progress: shows progress bars, see `crbench.api.context.Progress`; silent by default.

    Returns:
        Scores over all queries that have a positive, per rate too, and of each query.

    Raises:
        EvaluationError: empty, integer, non-finite or zero features, lengths that differ, pids or dims out of range, an
            unknown distance, engine, precision or device, a memory budget below 1 MiB, distances of the wrong shape, no
            query with a positive, a curve of fewer entries than 50.
        DataError: curves that do not fit into memory.
        ConfigError: metrics that nobody offers, or that the protocol does not define.
        PluginError: a plugin's metric fails.

    Example:
        >>> from crbench.records import features_from_arrays
        >>> query = features_from_arrays([[1.0, 0.1], [0.2, 1.0]], pids=[1, 2], rates=[2, 4])
        >>> gallery = features_from_arrays([[1.0, 0.0], [0.9, 0.5]], pids=[1, 2])
        >>> result = evaluate(query, gallery, EvalProtocol())
        >>> result.scores.rank(1), result.by_rate[4.0].n_valid
        (1.0, 1)
    """
    protocol = EvalProtocol() if protocol is None else protocol
    asked = Asked.checked(engine, precision, memory_budget)
    selection = Selection.of(protocol, metrics)
    _check_curve(curve, len(query))
    custom = None if distance is None else _Custom(distance, needs)
    setup = _Setup(protocol, stream, custom, device, Engines(protocol, asked, progress), progress)
    found = _ranked(_ready(query, gallery, setup), setup, range(len(query)), curve)
    return Evaluation.of(
        query.rows,
        found.outcomes,
        protocol,
        selection,
        engine=found.engine,
        precision=found.precision,
        ambiguous=found.ambiguous,
    )


@denormals_kept()
def evaluate_part(
    query: Features,
    gallery: Features | Sequence[Features],
    protocol: EvalProtocol | None = None,
    *,
    shard: Shard,
    engine: str = "auto",
    stream: str = "evaluate",
    distance: Distance | None = None,
    needs: Sequence[str] = (),
    precision: str = "auto",
    device: str | None = None,
    memory_budget: int | None = None,
    progress: Progress = no_progress,
) -> Part:
    """Rank for one shard of the queries; `merge` makes of all parts what `evaluate` gives, bit for bit.

    Args:
        query, gallery: all queries and the whole gallery, the same for each part.
        shard: which of the queries to score.
        protocol, engine, stream, distance, needs, precision, device, memory_budget, progress: see `evaluate`; parts may
            differ in engine, precision, device and memory. A distance must be the same for each part, which is not
            checked.

    Raises:
        EvaluationError: see `evaluate`; a shard without a query that has a positive is none.

    Example:
        >>> from crbench.evaluation import merge
        >>> from crbench.records import features_from_arrays
        >>> query = features_from_arrays([[1.0, 0.1], [0.2, 1.0]], pids=[1, 2])
        >>> gallery = features_from_arrays([[1.0, 0.0], [0.9, 0.5]], pids=[1, 2])
        >>> parts = [evaluate_part(query, gallery, shard=Shard(number, 2)) for number in (1, 2)]
        >>> bool((merge(parts).scores.cmc == evaluate(query, gallery).scores.cmc).all())
        True
    """
    protocol = EvalProtocol() if protocol is None else protocol
    asked = Asked.checked(engine, precision, memory_budget)
    custom = None if distance is None else _Custom(distance, needs)
    setup = _Setup(protocol, stream, custom, device, Engines(protocol, asked, progress), progress)
    ready, rows = _ready(query, gallery, setup), shard.rows(len(query))
    found = _ranked(ready, setup, rows)
    return Part(
        shard=shard,
        queries=query.rows.take(np.array(rows, dtype=np.intp)),
        outcomes=found.outcomes,
        features=content(query.rows, ((one.rows, one.checked()) for one in ready.shards)),
        protocol=protocol,
        stream=stream,
        engine=found.engine,
        precision=found.precision,
        ambiguous=found.ambiguous,
    )


def _check_curve(length: int, queries: int) -> None:
    if length < CURVE_LENGTH:
        raise EvaluationError(f"curve {length}: a CMC curve has {CURVE_LENGTH} entries at least")
    check_memory(8 * length * queries, f"CMC curves of {length} entries of {queries} queries")


@attrs.frozen(eq=False)
class _Found:
    """Outcomes of some queries, and how they came about; see `Evaluation`."""

    outcomes: Outcomes
    engine: str
    precision: str
    ambiguous: int


@attrs.frozen(eq=False)
class _Custom:
    """A distance in the place of the protocol's, and what it sees of the rows; see `evaluate`."""

    distance: Distance
    needs: Sequence[str]


@attrs.frozen(eq=False)
class _Setup:
    """How query and gallery are to be compared; see `evaluate`."""

    protocol: EvalProtocol
    stream: str
    custom: _Custom | None
    device: str | None
    engines: Engines
    progress: Progress


@attrs.frozen(eq=False)
class _Ready:
    """What engines get: what labels say, intp[P] the rows of the positives, and the shards of the gallery."""

    facts: LabelFacts
    positives: NDArray[np.intp]
    shards: InOne | InSeveral


def _ready(query: Features, gallery: Features | Sequence[Features], setup: _Setup) -> _Ready:
    shards = Gallery.of(gallery, numbered=setup.protocol.scoring.draws is not None)
    if not shards.whole:
        return _ready_in_several(query, shards, setup)
    (only,) = shards
    return _ready_in_one(query, only, setup)


def _ready_in_one(query: Features, gallery: Features, setup: _Setup) -> _Ready:
    """The whole gallery in one shard."""
    protocol, custom = setup.protocol, setup.custom
    inputs = checked(query, gallery, protocol, None if custom is None else custom.distance, setup.device)
    rows = gallery.rows
    if custom is not None:
        from crbench.evaluation.custom_distance import with_distance  # with torch, which takes seconds to import

        inputs, rows = with_distance(inputs, query, gallery, custom.distance, custom.needs)
    facts = LabelFacts.of(query.rows, rows, protocol, setup.stream, inputs.gallery.dims)
    facts.check_some_match(query.rows, protocol)
    return _Ready(facts, facts.matches.rows, InOne(inputs, rows, setup.engines))


def _ready_in_several(query: Features, gallery: Gallery, setup: _Setup) -> _Ready:
    """A gallery of several shards, whose positives are collected first."""
    protocol = setup.protocol
    for what, given in (("a plugin's distance", setup.custom), ("re-ranking", protocol.scoring.reranking)):
        if given is not None:
            raise EvaluationError(f"{what} needs the whole gallery at once; give one file, not {len(gallery.shards)}")
    facts, positives, wide = Positives.collected(query.rows, gallery, protocol, setup.stream)
    shards = InSeveral(query, gallery, positives.rows, wide, protocol, setup.device, setup.engines)
    return _Ready(facts, positives.places, shards)


def _ranked(ready: _Ready, setup: _Setup, rows: range, curve: int = CURVE_LENGTH) -> _Found:
    """What the engines say of the queries in these rows."""
    protocol, engines = setup.protocol, setup.engines
    ranking = Ranking(ready.facts, ready.positives, ready.shards, protocol, setup.progress, engines.counts, curve)
    outcomes, ambiguous = ranking.outcomes(rows)
    used, precisions = engines.used()
    return _Found(outcomes, names(used), names(precisions), ambiguous)

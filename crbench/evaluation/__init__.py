"""The evaluation: features and a protocol in, scores out; the same integers from every engine.

`task` says what an engine is asked; `checks` and `shots` prepare the question, `rank` and `scores` make use of the
answer. `distance` and `reference` are the definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs
import numpy as np

from crbench.errors import EvaluationError
from crbench.evaluation import rank, shots
from crbench.evaluation.checks import checked
from crbench.evaluation.scores import Evaluation, Outcomes, Scores
from crbench.evaluation.task import Counts, Engine, Inputs, Task
from crbench.protocols import EvalProtocol
from crbench.records import Features

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crbench.interfaces import Metric

__all__ = ["ENGINES", "Evaluation", "Outcomes", "Scores", "evaluate"]

ENGINES: Mapping[str, str] = MappingProxyType(
    {
        "reference": "crbench.evaluation.reference:ReferenceEngine",
        "torch": "crbench.evaluation.torch_engine:TorchEngine",
    }
)
"""Engines by name, imported at first use."""


def evaluate(
    query: Features,
    gallery: Features,
    protocol: EvalProtocol | None = None,
    *,
    engine: str = "auto",
    stream: str = "evaluate",
    metric: Metric | None = None,
) -> Evaluation:
    """Score query features against gallery features.

    A gallery item is valid for a query unless it is junk (pid -1, with ``junk="drop"``) or shows the query's person
    from the query's camera (with ``same_camera="ignore"``; camid -1 = unknown equals no camera). Valid items of the
    query's person are its positives. Rank of the i-th nearest positive: i plus the negatives ahead of it, which are
    those strictly nearer and, with ``ties="pessimistic"``, those equally near. Formulas: `crbench.evaluation.rank`;
    what "near" and "equal" mean, to the bit: `crbench.evaluation.distance`. ``distance="cosine"`` divides features by
    their norm whatever `normalise` says. With single-shot galleries, distractors (pid 0) and kept junk are each an
    identity of their own.

    Args:
        query, gallery: features as NumPy, torch or CuPy arrays, float32 (others are converted); see also
            `crbench.arrays.features_from_arrays`. Where a tensor is on a CUDA device, both are brought there.
        protocol: the rules; None = ``EvalProtocol()``, i.e. exact single-shot with cosine distance.
        engine: ``reference`` (slow, the definition), ``torch``, or ``auto`` to choose.
        stream: names the draws of ``single:mc:N`` (see `crbench.draws`); same name, same draws.
        metric: distances f32[q, g] for blocks of queries, smaller is closer, instead of ``protocol.distance``; compared
            as they are, so normalising is its own affair.

    Returns:
        Scores over all queries that have a positive, per rate too, and the outcome of each query.

    Raises:
        EvaluationError: empty, integer, non-finite or zero features, lengths that differ, pids or dims out of range, an
            unknown distance or engine, a metric of the wrong shape, no query with a positive.

    Example:
        >>> from crbench.arrays import features_from_arrays
        >>> query = features_from_arrays([[1.0, 0.1], [0.2, 1.0]], pids=[1, 2], rates=[2, 4])
        >>> gallery = features_from_arrays([[1.0, 0.0], [0.9, 0.5]], pids=[1, 2])
        >>> result = evaluate(query, gallery, EvalProtocol(ranks=[1, 2]))
        >>> result.scores.rank(1), result.by_rate[4.0].n_valid
        (1.0, 1)
    """
    protocol = EvalProtocol() if protocol is None else protocol
    name = "torch" if engine == "auto" else engine
    if name not in ENGINES:
        raise EvaluationError(f"unknown engine {engine!r}; known: auto, {', '.join(ENGINES)}")
    inputs = checked(query, gallery, protocol, metric)
    task = shots.matches(query.rows, gallery.rows, protocol)
    answers = _Answers(_load(name)(inputs))
    outcomes = attrs.evolve(
        _outcomes(answers, task, inputs, protocol, stream), unmatched_count=protocol.unmatched == "zero"
    )
    by_rate = {
        domain.rate: outcomes.scores(mask) for domain, mask in query.rows.domains() if np.any(outcomes.counted & mask)
    }
    return Evaluation(
        scores=outcomes.scores(), by_rate=by_rate, outcomes=outcomes, engine=name, ambiguous=answers.ambiguous
    )


class _Answers:
    """An engine that keeps account of its ambiguous comparisons."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.ambiguous = 0

    def count(self, task: Task) -> Iterator[Counts]:
        for counts in self._engine.count(task):
            self.ambiguous += counts.ambiguous
            yield counts


def _outcomes(answers: _Answers, task: Task, inputs: Inputs, protocol: EvalProtocol, stream: str) -> Outcomes:
    ranks = max(protocol.ranks)
    if protocol.multi_shot:
        return rank.multi_shot(task, answers.count(task), ranks, ap=protocol.ap)
    outcomes = _single_shot(answers, task, inputs, protocol, stream)
    if protocol.ap_gallery == "drawn":
        return outcomes
    full = rank.multi_shot(task, answers.count(task), ranks, ap=protocol.ap)
    return attrs.evolve(outcomes, ap=full.ap, inp=full.inp)


def _single_shot(answers: _Answers, task: Task, inputs: Inputs, protocol: EvalProtocol, stream: str) -> Outcomes:
    ranks = max(protocol.ranks)
    query, gallery = inputs.query.rows, inputs.gallery.rows
    who = shots.identities(task, query, gallery)
    if protocol.shot == "single:exact":
        task = shots.by_identity(task, who)
        return rank.single_shot(task, answers.count(task), ranks, sizes=who.sizes)
    cmc = np.zeros((len(query), ranks))
    draws = int(protocol.shot.removeprefix("single:mc:"))
    for number in range(draws):
        drawn = shots.draw(task, who, gallery, f"{stream}|draw {number}")
        cmc += rank.multi_shot(drawn, answers.count(drawn), ranks, ap=protocol.ap).cmc
    return Outcomes(cmc=cmc / draws, ap=None, inp=None, valid=task.sizes > 0)


def _load(name: str) -> type[Engine]:
    module, _, attribute = ENGINES[name].partition(":")
    engine: type[Engine] = getattr(import_module(module), attribute)
    return engine

"""Results with outcomes beside them, as runs leave them, of features or outcomes that tests make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from result_facts import facts_of

from crbench import evaluate
from crbench.evaluation import Evaluation, Selection
from crbench.harness.record import metric_facts
from crbench.protocol import EvalProtocol
from crbench.results import ProtocolFacts, Result, TrialScores, from_json
from crbench.results.folder import result_path, write_result
from crbench.results.outcomes import TrialOutcomes, scores_of
from crbench.statistics import TrialQueries, intervals, numbers_of
from crbench.testing import random_features

GOLDEN = (Path(__file__).parent / "golden" / "result-2.json").read_text(encoding="utf-8")


def keep(
    folder: Path,
    aligner: str = "ridge",
    *,
    noise: float = 0.0,
    trials: Sequence[int] = (0,),
    rules: dict[str, Any] | None = None,
    rates: Sequence[float] = (2, 3, 4),
    **options: Any,
) -> Path:
    """Write a result of six people, whose queries are spoiled by so much noise; its path.

    Args:
        rules: of the protocol, which is multi-shot by default.
        rates: each image is asked for at each of them.
        options: see `keep_outcomes`.
    """
    protocol = EvalProtocol.of(**({"shot": "multi"} | (rules or {})))
    gallery = random_features(persons=6, images=4, dim=4, rates=(1,), seed=2)
    outcomes = []
    for index in trials:
        query = random_features(persons=6, images=3, dim=4, rates=tuple(rates), seed=2)
        generator = torch.Generator().manual_seed(index)
        moved = query.x + (0.5 + noise) * torch.randn(query.x.shape, generator=generator)
        found = evaluate(attrs.evolve(query, x=moved), gallery, protocol)
        outcomes.append(TrialOutcomes(index, query.rows, found.outcomes))
    return keep_outcomes(folder, aligner, protocol, outcomes, **options)


def keep_outcomes(
    folder: Path,
    aligner: str,
    protocol: EvalProtocol,
    trials: Sequence[TrialOutcomes],
    *,
    metrics: Sequence[str] = (),
    hashed: bool = False,
    split: str = "1",
    **fields: Any,
) -> Path:
    """Write a result that has these outcomes; its path.

    Args:
        metrics: beside the default ones.
        hashed: names of images are hashes.
        split: a digit that names the lists of images.
        fields: further fields of the result.
    """
    chosen = Selection.of(protocol, metrics)
    known = metric_facts(chosen)
    scores, queries = [], []
    for trial in trials:
        found = Evaluation.of(trial.queries, trial.outcomes, protocol, chosen, engine="", precision="", ambiguous=0)
        scores.append(TrialScores(index=trial.index, split=split * 64, data="1" * 12, **scores_of(found)))
        queries.append(TrialQueries.of(trial.index, trial.queries, found.per_query))
    base = from_json(GOLDEN, "golden")
    old = {field.name: getattr(base, field.name) for field in attrs.fields(Result) if field.init}
    for name in ("metrics", "by_rate", "content_sha256"):
        del old[name]
    facts = ProtocolFacts.of(protocol)
    method = attrs.evolve(base.method, aligner=attrs.evolve(base.method.aligner, name=aligner, preset=None, changed={}))
    own = {
        **facts_of("mlr-synthetic", facts),
        "rate_source": protocol.split.rate_source,
        "method": method,
        "outcomes": None,
        "metric_facts": known,
        "intervals": intervals(queries, numbers=numbers_of(known)),
        "trials": scores,
    }
    kept = [trial.hashed() if hashed else trial for trial in trials]
    return result_path(folder, write_result(folder, Result(**{**old, **own, **fields}), kept))

"""Results with outcomes beside them, as runs leave them, of features that tests make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from result_facts import facts_of

from crbench import evaluate
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
    metrics: Sequence[str] = (),
    hashed: bool = False,
    split: str = "1",
    rules: dict[str, Any] | None = None,
    **fields: Any,
) -> Path:
    """Write a result of six people, whose queries are spoiled by so much noise; its path.

    Args:
        split: a digit that names the lists of images.
        rules: of the protocol, which is multi-shot by default.
        fields: further fields of the result.
    """
    protocol = EvalProtocol.of(**({"shot": "multi"} | (rules or {})))
    gallery = random_features(persons=6, images=4, dim=4, rates=(1,), seed=2)
    scores, outcomes, queries = [], [], []
    for index in trials:
        query = random_features(persons=6, images=3, dim=4, rates=(2, 3, 4), seed=2)
        generator = torch.Generator().manual_seed(index)
        moved = query.x + (0.5 + noise) * torch.randn(query.x.shape, generator=generator)
        query = attrs.evolve(query, x=moved)
        found = evaluate(query, gallery, protocol, metrics=metrics)
        scores.append(TrialScores(index=index, split=split * 64, data="1" * 12, **scores_of(found)))
        kept = TrialOutcomes(index, query.rows, found.outcomes)
        outcomes.append(kept.hashed() if hashed else kept)
        queries.append(TrialQueries.of(index, query.rows, found.per_query))
    base = from_json(GOLDEN, "golden")
    old = {field.name: getattr(base, field.name) for field in attrs.fields(Result) if field.init}
    for name in ("metrics", "by_rate", "content_sha256"):
        del old[name]
    facts, known = ProtocolFacts.of(protocol), metric_facts(found.selection)
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
    return result_path(folder, write_result(folder, Result(**{**old, **own, **fields}), outcomes))

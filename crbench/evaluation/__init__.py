"""The evaluation: features and a protocol in, scores out; the same integers from every engine.

::

    protocol  ->  masks  ->  ranks  ->  metrics

- `pipeline`: reads like this line. `inputs` checks the features and `placement` brings them to the device
- `masks`: the protocol's rules: which pairs of one person count, and which images may be ahead of a positive
- `labels`: where the `matches` are and what may be ahead of them, in one shard of the gallery or in all; `single_shot`:
  identities and draws
- `gallery`, `gallery_shards`: a gallery in several shards, each with the positives of all
- `engines`: which engine of `crbench.ranking` answers
- `questions`, `ranks`: what is ahead of each positive (the engine's answer) as `outcomes`
- `selection`: which metrics of `crbench.metrics` are asked for, and which the protocol does not define
- `scores`: outcomes to values of each query, and these to means
- `shards`: the queries in shards, on several machines

`custom_distance` is for distances of a plugin; `pairs`, `verification` and `nearest` look at pairs, not at ranks.
"""

from __future__ import annotations

from crbench.evaluation.engines import CPU_ENGINES, ENGINES, prepare
from crbench.evaluation.outcomes import Outcomes, Ranks
from crbench.evaluation.pipeline import evaluate, evaluate_part
from crbench.evaluation.scores import Evaluation, QueryScores, Scores, joined
from crbench.evaluation.selection import Selection
from crbench.evaluation.shards import Part, Shard, merge
from crbench.ranking.interface import PRECISIONS

__all__ = [
    "CPU_ENGINES",
    "ENGINES",
    "PRECISIONS",
    "Evaluation",
    "Outcomes",
    "Part",
    "QueryScores",
    "Ranks",
    "Scores",
    "Selection",
    "Shard",
    "evaluate",
    "evaluate_part",
    "joined",
    "merge",
    "prepare",
]

"""Verification scores of given features: from a protocol's masks to pooled counts to TPR at FPR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crbench.errors import EvaluationError
from crbench.evaluation.inputs import checked
from crbench.evaluation.masks import Pairs, camera_groups, candidates, check_some_match
from crbench.metrics.roc import allowed_false_pairs, true_positive_rate
from crbench.protocol import EvalProtocol
from crbench.records import Features


def verification(
    query: Features, gallery: Features, protocol: EvalProtocol, fprs: Sequence[float]
) -> Mapping[float, float]:
    """TPR at each FPR over all valid pairs; junk and the same-camera rule as in `crbench.evaluation.evaluate`.

    Queries without a match take part with their false pairs. `protocol.ties` and `protocol.shot` play no role: pairs at
    one distance are accepted together, and all gallery images take part. Memory beside the features: one tile of
    distances and a few numbers per true pair. Formula: `crbench.metrics.roc`.

    Args:
        fprs: shares of false pairs in [0, 1).

    Returns:
        TPR by FPR, fractions in [0, 1].

    Raises:
        EvaluationError: an FPR out of range, no false pair, or what `crbench.evaluation.evaluate` refuses.

    Example:
        >>> from crbench.records import features_from_arrays
        >>> query = features_from_arrays([[1.0, 0.0], [0.0, 1.0]], pids=[1, 2])
        >>> gallery = features_from_arrays([[1.0, 0.1], [1.0, 0.9]], pids=[1, 2])
        >>> verification(query, gallery, EvalProtocol(), [0.0, 0.5])
        {0.0: 0.5, 0.5: 1.0}
    """
    wrong = [fpr for fpr in fprs if not 0 <= fpr < 1]
    if wrong:
        raise EvaluationError(f"FPR {wrong[0]} is not a share of false pairs; expected 0 or more and less than 1")
    inputs = checked(query, gallery, protocol, None)
    from crbench.ranking.pooled import false_pairs, falsely_accepted  # with torch, which takes seconds to import

    pairs = Pairs.of(query.rows, gallery.rows, protocol)
    check_some_match(query.rows, len(pairs.owners), pairs.seen, protocol)
    groups = [
        (queries, candidates(gallery.rows, protocol, ignored))
        for queries, ignored in camera_groups(query.rows, protocol)
    ]
    total = false_pairs(inputs, groups)
    if total == 0:
        raise EvaluationError("no false pair: every gallery item shows the person of every query")
    allowed = {fpr: allowed_false_pairs(fpr, total) for fpr in fprs}
    accepted = falsely_accepted(inputs, groups, (pairs.owners, pairs.positives), limit=max(allowed.values(), default=0))
    return {fpr: true_positive_rate(accepted, count) for fpr, count in allowed.items()}

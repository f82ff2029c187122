"""Our metrics, offered by the hook that plugins use. The CMC curve is not one of them: it is always there."""

from __future__ import annotations

from crbench.api.hooks import hookimpl
from crbench.api.metric import Metric

METRICS = (
    Metric(
        "mAP",
        "crbench.metrics.ap:average_precision",
        "mean average precision",
        "Zheng et al., ICCV 2015",
        formula="mean over positives of i / r_i, or of the trapezoids below it (ap=trapezoid)",
        rules=("ap",),
    ),
    Metric(
        "mINP",
        "crbench.metrics.inp:inverse_negative_penalty",
        "mean inverse negative penalty: how early the last match comes",
        "Ye et al., TPAMI 2021",
        formula="P / r_P",
    ),
    Metric(
        "nDCG",
        "crbench.metrics.ndcg:normalised_gain",
        "normalised discounted cumulative gain, binary relevance; on request",
        "Järvelin and Kekäläinen, TOIS 2002",
        formula="sum over positives of 1 / log2(1 + r_i), divided by that of the ideal list",
        default=False,
    ),
)
"""In the order of tables; r_i is the rank of the i-th of P positives."""


@hookimpl
def crbench_metrics() -> tuple[Metric, ...]:
    """Offer them as a plugin does."""
    return METRICS

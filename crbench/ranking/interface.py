"""What an engine is asked, and what it answers.

Every score follows from integers: for each positive of each query, how many gallery items are ahead of it. An engine
finds these integers and knows nothing else; `crbench.evaluation.ranks` makes ranks of them. Counts over
parts of the gallery add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.records import Features

if TYPE_CHECKING:
    import torch

    from crbench.api.interfaces import Distance


PRECISIONS = ("fp32", "tf32", "bf16x3", "bf16", "int8")
"""Arithmetic of the products; all give the same scores."""


@attrs.frozen(eq=False)
class RankInputs:
    """Checked features and how they are compared.

    Attributes:
        query, gallery: x is a float32 torch tensor, both in one place, finite where it counts.
        device: where they are compared; where they are, or a CUDA device whose memory does not hold them.
        query_dims, gallery_dims: i64[n], how many leading columns count; query i and gallery item j are compared on the
            first ``min(query_dims[i], gallery_dims[j])`` columns.
        query_norms, gallery_norms: f64[n], of whole rows, where the features are.
        unit: rows are divided by their norm after that cut.
        dot: rank by the inner product, otherwise by the squared Euclidean distance.
        pessimistic: a negative at exactly the distance of a positive is ahead of it.
        metric: replaces all of the above but `pessimistic`, if given.
    """

    query: Features
    gallery: Features
    device: torch.device
    query_dims: NDArray[np.int64]
    gallery_dims: NDArray[np.int64]
    query_norms: torch.Tensor
    gallery_norms: torch.Tensor
    unit: bool
    dot: bool
    pessimistic: bool
    metric: Distance | None = None


@attrs.frozen(eq=False)
class RankTask:
    """Which positives to rank, and which gallery items may be ahead of them.

    Attributes:
        positives: intp[P], gallery rows, query by query.
        starts: intp[q + 1]; the positives of query i are ``positives[starts[i]:starts[i + 1]]``.
        candidates: intp[c], gallery rows that may be ahead; those of the query's own person never are.
        columns: intp[c], in which of `width` counts a candidate is counted.
        width: counts per positive.
    """

    positives: NDArray[np.intp]
    starts: NDArray[np.intp]
    candidates: NDArray[np.intp]
    columns: NDArray[np.intp]
    width: int = 1

    @property
    def sizes(self) -> NDArray[np.intp]:
        """intp[q], positives per query."""
        return np.diff(self.starts)


@attrs.frozen(eq=False)
class RankCounts:
    """An engine's answer for some queries.

    Attributes:
        task: number of the task that is answered.
        queries: intp[b], query rows.
        ahead: integers [p, width] in NumPy, candidates ahead per column, for the positives of these queries: query by
            query, in any order within a query.
        ambiguous: query-item pairs decided in float64 instead of by a faster product.
    """

    task: int
    queries: NDArray[np.intp]
    ahead: NDArray[np.integer]
    ambiguous: int = 0


@attrs.frozen(kw_only=True)
class Settings:
    """How an engine works; no score depends on it.

    Attributes:
        precision: of the products, one of `PRECISIONS`; ``auto`` = the engine's choice.
        memory: bytes to use beside the features.
    """

    precision: str = "auto"
    memory: int


class Engine(Protocol):
    """Counts what is ahead of positives; built once per evaluation from `RankInputs`.

    Attributes:
        precision: of the products; the one in use at the end, as an engine may turn to a finer one.
    """

    precision: str

    def __init__(self, inputs: RankInputs, settings: Settings) -> None: ...

    def count(self, tasks: Sequence[RankTask]) -> Iterator[RankCounts]:
        """Answers that together cover, for each task, each query with positives exactly once, in any order.

        Distances are computed once for all tasks.
        """


def slots(task: RankTask, queries: NDArray[np.intp]) -> NDArray[np.intp]:
    """Positions within ``task.positives`` of all positives of `queries`, query by query.

    Example:
        >>> starts = np.array([0, 2, 2, 5])
        >>> task = RankTask(np.arange(5), starts, candidates=np.arange(9), columns=np.zeros(9, np.intp))
        >>> slots(task, np.array([2, 0])).tolist()
        [2, 3, 4, 0, 1]
    """
    sizes = task.sizes[queries]
    before = np.cumsum(sizes) - sizes
    found: NDArray[np.intp] = np.arange(sizes.sum()) + np.repeat(task.starts[queries] - before, sizes)
    return found

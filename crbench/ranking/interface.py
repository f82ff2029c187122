"""What a ranking engine is given, what it is asked, and what it answers.

Every score follows from integers: for each positive of each query, how many gallery items are ahead of it. An engine
finds these integers and knows nothing else; `crbench.metrics` turns them into scores. Counts over parts of the gallery
add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from crbench.ranking.threads import Workers


PRECISIONS = ("fp32", "tf32", "bf16x3", "bf16", "int8")
"""Arithmetic of the approximate products; all give the same counts."""


@attrs.frozen(eq=False)
class RankRows:
    """The rows of one side, query or gallery.

    Attributes:
        x: f32[n, D], or f64[n, D] on both sides, a torch tensor in the range of float32, finite where it counts.
        labels: i64[n]; a gallery item never counts as ahead where it has the label of the query.
        dims: i64[n], how many leading columns of a row count.
        norms: f64[n], Euclidean norms of whole rows, where `x` lies.
    """

    x: torch.Tensor
    labels: NDArray[np.int64]
    dims: NDArray[np.int64]
    norms: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


DistanceBlocks: TypeAlias = "Callable[[Workers], Iterator[tuple[NDArray[np.intp], torch.Tensor]]]"
"""Gives query rows intp[b] with their distances f32[b, g] to the whole gallery, block after block, all queries once."""


@attrs.frozen(eq=False)
class RankInputs:
    """Checked rows and how they are compared.

    Query i and gallery item j are compared on their first ``min(dims_i, dims_j)`` columns.

    Attributes:
        query, gallery: both in one place.
        positives: the rows of the positives, beside the query and gallery rows, where the gallery is a part of a larger
            one and others hold positives as well; None = they are rows of `gallery`. Not with `distances`.
        device: where they are compared; where they lie, or a CUDA device whose memory does not hold them.
        unit: rows are divided by their norm, after they were cut to the columns that are compared.
        dot: rank by the inner product, otherwise by the squared Euclidean distance. Needs `unit`.
        pessimistic: a negative at exactly the distance of a positive is ahead of it.
        distances: replaces the distances of the rows, if given; compared as they are.
    """

    query: RankRows
    gallery: RankRows
    device: torch.device
    unit: bool
    dot: bool
    pessimistic: bool
    distances: DistanceBlocks | None = None
    positives: RankRows | None = None


@attrs.frozen(eq=False)
class RankTask:
    """Which positives to rank, and which gallery items may be ahead of them.

    Attributes:
        positives: intp[P], rows of `RankInputs.positives`, or of the gallery where there are none, query by query.
        starts: intp[q + 1]; the positives of query i are ``positives[starts[i]:starts[i + 1]]``.
        candidates: intp[c], gallery rows that may be ahead.
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
        ambiguous: query-item pairs that the approximate product could not decide.
    """

    task: int
    queries: NDArray[np.intp]
    ahead: NDArray[np.integer]
    ambiguous: int = 0


@attrs.frozen(kw_only=True)
class Settings:
    """How an engine works; no count depends on it.

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


def positive_slots(task: RankTask, queries: NDArray[np.intp]) -> NDArray[np.intp]:
    """Positions within ``task.positives`` of all positives of `queries`, query by query.

    Example:
        >>> starts = np.array([0, 2, 2, 5])
        >>> task = RankTask(np.arange(5), starts, candidates=np.arange(9), columns=np.zeros(9, np.intp))
        >>> positive_slots(task, np.array([2, 0])).tolist()
        [2, 3, 4, 0, 1]
    """
    sizes = task.sizes[queries]
    before = np.cumsum(sizes) - sizes
    found: NDArray[np.intp] = np.arange(sizes.sum()) + np.repeat(task.starts[queries] - before, sizes)
    return found

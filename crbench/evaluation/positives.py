"""The positives of a block of queries, sorted by distance, and the counts kept for them."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.evaluation.counters import Counter
from crbench.evaluation.rows import FeatureRows, MetricRows, Near
from crbench.evaluation.task import Counts, Task, slots


@attrs.frozen(eq=False)
class Asked:
    """Some queries of a task and, query by query, their positives from the farthest to the nearest.

    Attributes:
        number: of the task.
        queries: intp[b], of the block; those without positives in this task too.
        owners: i64[p], which of the b queries.
        positives: i64[p], gallery rows.
        near: their distances.
        first, leaps, width: see `crbench.evaluation.counters.Bounds`.
    """

    number: int
    queries: NDArray[np.intp]
    owners: torch.Tensor
    positives: torch.Tensor
    near: Near
    first: torch.Tensor
    leaps: torch.Tensor
    width: int

    def counts(self, task: Task, ambiguous: int, counter: Counter) -> Counts:
        """The answer; asked for once, as it is made in place."""
        totals = counter.totals(self.leaps.view(len(self.owners), -1), self.first, self.owners)
        answered = self.queries[task.sizes[self.queries] > 0]
        return Counts(task=self.number, queries=answered, ahead=totals.cpu().numpy(), ambiguous=ambiguous)


def ask(
    tasks: Sequence[Task], queries: NDArray[np.intp], rows: FeatureRows | MetricRows, device: torch.device
) -> list[Asked]:
    """What each task asks of some queries, if anything; the distance of a positive of several tasks is taken once."""
    owners = [np.repeat(np.arange(len(queries)), task.sizes[queries]) for task in tasks]
    items = [task.positives[slots(task, queries)] for task in tasks]
    pairs = np.concatenate(owners).astype(np.int64) << 32 | np.concatenate(items)
    places = np.arange(len(pairs))
    if len(tasks) > 1:
        pairs, places = np.unique(pairs, return_inverse=True)
    near = rows.near_positives(on_device(pairs >> 32, device), on_device(pairs & 0xFFFFFFFF, device))
    ends = np.cumsum([len(mine) for mine in owners])[:-1]
    return [
        _sorted(number, tasks[number], queries, owners[number], near.take(on_device(mine, device)), items[number])
        for number, mine in enumerate(np.split(places, ends))
        if len(mine)
    ]


def on_device(index: NDArray[np.integer], device: torch.device) -> torch.Tensor:
    """Row numbers as i64 where the features are."""
    return torch.from_numpy(index.astype(np.int64)).to(device)


def slice_or_rows(rows: NDArray[np.intp], device: torch.device) -> slice | torch.Tensor:
    """Rows as a slice where they are one, so that nothing is copied."""
    if rows[-1] - rows[0] + 1 == len(rows) and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return on_device(rows, device)


def _sorted(
    number: int,
    task: Task,
    queries: NDArray[np.intp],
    owners: NDArray[np.intp],
    near: Near,
    items: NDArray[np.intp],
) -> Asked:
    device = near.distances.device
    mine = on_device(owners, device)
    order = _farthest_first(near.distances, mine)
    return Asked(
        number=number,
        queries=queries,
        owners=mine,
        positives=on_device(items, device)[order],
        near=near.take(order),
        first=on_device(np.concatenate([[0], np.cumsum(task.sizes[queries])]), device),
        leaps=torch.zeros(len(owners) * task.width, dtype=torch.int32, device=device),
        width=task.width,
    )


def _farthest_first(distances: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
    """i64[p], places of the distances owner by owner, the largest first."""
    if distances.is_cuda:
        order = distances.argsort(descending=True)
        return order[owners[order].argsort(stable=True)]
    places = np.argsort(-distances.numpy())  # several times faster than torch, and so are short integers
    numbers = owners.numpy()[places].astype(np.min_scalar_type(len(places)))
    return torch.from_numpy(places[np.argsort(numbers, kind="stable")])

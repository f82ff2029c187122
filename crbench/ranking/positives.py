"""The positives of a block of queries, sorted by distance, and the counts kept for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.ranking.backends.interface import ApproximateDistances, Bounds, CountingBackend, QueryTasks
from crbench.ranking.filter import DistanceRows, FeatureRows, Scored, Targets
from crbench.ranking.interface import RankCounts, RankTask, slots


@attrs.frozen(eq=False)
class Asked:
    """What some tasks ask of a block of queries.

    Attributes:
        query_tasks: see `crbench.ranking.backends.interface.QueryTasks`.
        owners: i64[p], which of the block's queries each positive belongs to.
        positives: i64[p], gallery rows.
        approximate: their distances.
    """

    query_tasks: QueryTasks
    owners: torch.Tensor
    positives: torch.Tensor
    approximate: ApproximateDistances
    _targets: dict[int, Targets] = attrs.field(factory=dict, init=False)

    def bounds(self, rows: FeatureRows | DistanceRows, scored: Scored) -> Bounds:
        """The bounds of the positives for a tile."""
        if scored.prefix not in self._targets:
            self._targets[scored.prefix] = rows.targets(scored.prefix, self.owners, self.approximate.distances)
        return Bounds(*rows.bounds(scored, self.owners, self._targets[scored.prefix]))

    def counts(
        self, tasks: Sequence[RankTask], queries: NDArray[np.intp], ambiguous: Sequence[int], backend: CountingBackend
    ) -> Iterator[RankCounts]:
        """The answers; asked for once, as they are made in place.

        Args:
            queries: intp[b], of the block.
            ambiguous: pairs that were in doubt, per task.
        """
        backend.add_up(self.query_tasks)
        count_diffs, place = self.query_tasks.count_diffs.cpu().numpy(), 0
        for number, task in enumerate(tasks):
            mine = queries[task.sizes[queries] > 0]
            if len(mine):
                end = place + int(task.sizes[mine].sum()) * task.width
                ahead = count_diffs[place:end].reshape(-1, task.width)
                yield RankCounts(task=number, queries=mine, ahead=ahead, ambiguous=ambiguous[number])
                place = end


def ask(
    tasks: Sequence[RankTask],
    queries: NDArray[np.intp],
    rows: FeatureRows | DistanceRows,
    pids: NDArray[np.int64],
    device: torch.device,
) -> Asked:
    """What the tasks ask of some queries; the distance of a positive of several tasks is taken once.

    Args:
        queries: intp[b].
        pids: of all queries.
    """
    sizes = np.stack([task.sizes[queries] for task in tasks])
    numbers, asking = np.nonzero(sizes)
    counts = sizes[numbers, asking]
    widths = np.array([task.width for task in tasks])[numbers]
    items = np.concatenate([task.positives[slots(task, queries)] for task in tasks])
    owners = np.repeat(asking, counts)
    approximate = _approximate(rows, owners, items, pids[queries], several=len(tasks) > 1, device=device)
    order = _farthest_first(approximate.distances, on_device(np.repeat(np.arange(len(counts)), counts), device))
    ends = np.cumsum(counts * widths)
    return Asked(
        query_tasks=QueryTasks(
            tasks=on_device(numbers, device),
            rows=on_device(asking, device),
            pids=on_device(pids[queries[asking]], device),
            first=on_device(np.concatenate([[0], np.cumsum(counts)]), device),
            slots=on_device(ends - counts * widths, device),
            widths=on_device(widths, device),
            count_diffs=torch.zeros(int(ends[-1]), dtype=torch.int32, device=device),
        ),
        owners=on_device(owners, device),  # an query_task's positives are in its own places, in whatever order
        positives=on_device(items, device)[order],
        approximate=approximate.take(order),
    )


def _approximate(
    rows: FeatureRows | DistanceRows,
    owners: NDArray[np.intp],
    items: NDArray[np.intp],
    pids: NDArray[np.int64],
    *,
    several: bool,
    device: torch.device,
) -> ApproximateDistances:
    """Distances of pairs of a query and a gallery row, person by person while features of one are in the cache.

    Args:
        owners: which of the block's queries, whose persons are `pids`.
        several: pairs may be there several times, and are compared once.
    """
    if isinstance(rows, DistanceRows):
        return rows.approximate_positives(on_device(owners, device), on_device(items, device))
    pairs = owners.astype(np.int64) << 32 | items
    places = np.arange(len(pairs))
    if several:
        pairs, places = np.unique(pairs, return_inverse=True)
    order = np.argsort(pids[pairs >> 32], kind="stable")
    approximate = rows.approximate_positives(
        on_device(pairs[order] >> 32, device), on_device(pairs[order] & 0xFFFFFFFF, device)
    )
    return approximate.take(on_device(np.argsort(order)[places], device))


def on_device(index: NDArray[np.integer], device: torch.device) -> torch.Tensor:
    """Row numbers as i64 where the features are."""
    return torch.from_numpy(index.astype(np.int64)).to(device)


def slice_or_rows(rows: NDArray[np.intp], device: torch.device) -> slice | torch.Tensor:
    """Rows as a slice where they are one, so that nothing is copied."""
    if rows[-1] - rows[0] + 1 == len(rows) and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return on_device(rows, device)


def _farthest_first(distances: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
    """i64[p], places of the distances owner by owner, the largest first."""
    if distances.is_cuda:
        order = distances.argsort(descending=True)
        return order[owners[order].argsort(stable=True)]
    places = np.argsort(-distances.numpy())  # several times faster than torch, and so are short integers
    numbers = owners.numpy()[places].astype(np.min_scalar_type(len(places)))
    return torch.from_numpy(places[np.argsort(numbers, kind="stable")])

"""The positives of a block of queries, sorted by distance, and the counts kept for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.ranking.backends.interface import ApproximateDistances, Bounds, CountingBackend, QueryTasks
from crbench.ranking.block import DistanceBlock, PositiveScores, QueryBlock, TileScores
from crbench.ranking.interface import RankCounts, RankTask, positive_slots


@attrs.frozen(eq=False)
class BlockPositives:
    """The positives of some tasks for a block of queries.

    Attributes:
        query_tasks: see `crbench.ranking.backends.interface.QueryTasks`.
        owners: i64[p], which of the block's queries each positive belongs to.
        positives: i64[p], rows of the positives.
        approximate: their distances.
    """

    query_tasks: QueryTasks
    owners: torch.Tensor
    positives: torch.Tensor
    approximate: ApproximateDistances
    _scores: dict[int, PositiveScores] = attrs.field(factory=dict, init=False)

    def bounds(self, block: QueryBlock, tile: TileScores) -> Bounds:
        """The bounds of the positives' scores for a tile."""
        if tile.prefix not in self._scores:
            self._scores[tile.prefix] = block.positive_scores(tile.prefix, self.owners, self.approximate.distances)
        return Bounds(*block.bounds(tile, self.owners, self._scores[tile.prefix]))

    def counts(
        self, tasks: Sequence[RankTask], queries: NDArray[np.intp], ambiguous: Sequence[int], backend: CountingBackend
    ) -> Iterator[RankCounts]:
        """The answers; to be called once, as the difference arrays are summed up in place.

        Args:
            queries: intp[b], of the block.
            ambiguous: uncertain pairs, per task.
        """
        backend.add_up(self.query_tasks)
        counts, place = self.query_tasks.count_diffs.cpu().numpy(), 0
        for number, task in enumerate(tasks):
            mine = queries[task.sizes[queries] > 0]
            if len(mine):
                end = place + int(task.sizes[mine].sum()) * task.width
                ahead = counts[place:end].reshape(-1, task.width)
                yield RankCounts(task=number, queries=mine, ahead=ahead, ambiguous=ambiguous[number])
                place = end


def block_positives(
    tasks: Sequence[RankTask],
    queries: NDArray[np.intp],
    block: QueryBlock,
    labels: NDArray[np.int64],
    device: torch.device,
) -> BlockPositives:
    """The positives of a block of queries; the distance of a positive of several tasks is computed once.

    Args:
        queries: intp[b].
        labels: of all queries.
    """
    sizes = np.stack([task.sizes[queries] for task in tasks])
    numbers, places = np.nonzero(sizes)
    counts = sizes[numbers, places]
    widths = np.array([task.width for task in tasks])[numbers]
    items = np.concatenate([task.positives[positive_slots(task, queries)] for task in tasks])
    owners = np.repeat(places, counts)
    approximate = _approximate(block, owners, items, labels[queries], several=len(tasks) > 1, device=device)
    order = _farthest_first(approximate.distances, on_device(np.repeat(np.arange(len(counts)), counts), device))
    ends = np.cumsum(counts * widths)
    return BlockPositives(
        query_tasks=QueryTasks(
            tasks=on_device(numbers, device),
            rows=on_device(places, device),
            labels=on_device(labels[queries[places]], device),
            first=on_device(np.concatenate([[0], np.cumsum(counts)]), device),
            slots=on_device(ends - counts * widths, device),
            widths=on_device(widths, device),
            count_diffs=torch.zeros(int(ends[-1]), dtype=torch.int32, device=device),
        ),
        # Sorting keeps the positives of a query-task pair together, so the owners stay in their order.
        owners=on_device(owners, device),
        positives=on_device(items, device)[order],
        approximate=approximate.take(order),
    )


def _approximate(
    block: QueryBlock,
    owners: NDArray[np.intp],
    items: NDArray[np.intp],
    labels: NDArray[np.int64],
    *,
    several: bool,
    device: torch.device,
) -> ApproximateDistances:
    """Distances of pairs of a query and a gallery row, person by person, while a person's features are in the cache.

    Args:
        owners: which of the block's queries, whose labels are `labels`.
        several: pairs may be there several times, and are compared once.
    """
    if isinstance(block, DistanceBlock):
        return block.approximate_positives(on_device(owners, device), on_device(items, device))
    pairs = owners.astype(np.int64) << 32 | items
    places = np.arange(len(pairs))
    if several:
        pairs, places = np.unique(pairs, return_inverse=True)
    order = np.argsort(labels[pairs >> 32], kind="stable")
    approximate = block.approximate_positives(
        on_device(pairs[order] >> 32, device), on_device(pairs[order] & 0xFFFFFFFF, device)
    )
    return approximate.take(on_device(np.argsort(order)[places], device))


def on_device(index: NDArray[np.integer], device: torch.device) -> torch.Tensor:
    """Row numbers as i64 on a device."""
    return torch.from_numpy(index.astype(np.int64)).to(device)


def slice_or_rows(rows: NDArray[np.intp], device: torch.device) -> slice | torch.Tensor:
    """Rows as a slice where they are consecutive, so that nothing is copied."""
    if rows[-1] - rows[0] + 1 == len(rows) and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return on_device(rows, device)


def _farthest_first(distances: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
    """i64[p], places of the distances owner by owner, the largest first."""
    if distances.is_cuda:
        order = distances.argsort(descending=True)
        return order[owners[order].argsort(stable=True)]
    # NumPy sorts several times faster than torch here, and short integers faster still.
    places = np.argsort(-distances.numpy())
    numbers = owners.numpy()[places].astype(np.min_scalar_type(len(places)))
    return torch.from_numpy(places[np.argsort(numbers, kind="stable")])

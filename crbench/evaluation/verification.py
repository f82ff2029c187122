"""Verification: the share of true pairs that is accepted (TPR) when few false pairs may be (FPR).

A pair of a query and a gallery item is accepted if its distance is at most a threshold. TPR at FPR f is the largest TPR
of all thresholds at which at most ``f`` of the false pairs are accepted; nothing is interpolated. The best thresholds
are distances of true pairs, so it is enough to count, for each of these, the false pairs at most as far. That is exact
and needs no sorted list of all pairs. Products are taken in float64, and what is too close to a true pair's distance to
be decided so is decided by the definition in `crbench.ranking.distance`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from crbench.errors import EvaluationError
from crbench.evaluation.inputs import checked
from crbench.evaluation.masks import matches, query_gallery_masks
from crbench.protocol import EvalProtocol
from crbench.ranking.exact import ExactRows, exact_distances, squared_distances
from crbench.ranking.interface import RankInputs, RankTask
from crbench.records import Features

_QUERIES = 1024
_ITEMS = 4096


def verification(
    query: Features, gallery: Features, protocol: EvalProtocol, fprs: Sequence[float]
) -> Mapping[float, float]:
    """TPR at each FPR over all valid pairs; junk and the same-camera rule as in `crbench.evaluation.evaluate`.

    Queries without a match take part with their false pairs. `protocol.ties` and `protocol.shot` play no role: pairs at
    one distance are accepted together, and all gallery images take part. Memory beside the features: one tile of
    distances and one number per true pair.

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
    task = matches(inputs.query.rows, inputs.gallery.rows, protocol)
    pairs = _Pairs.of(inputs, task, protocol)
    falses = pairs.false_pairs()
    if falses == 0:
        raise EvaluationError("no false pair: every gallery item shows the person of every query")
    # the shortest decimal of the number, as 1e-3 of 1,000 pairs is one pair
    allowed = {fpr: math.floor(Fraction(str(float(fpr))) * falses) for fpr in fprs}
    accepted = pairs.falsely_accepted(task, limit=max(allowed.values(), default=0))
    return {fpr: int(np.searchsorted(accepted, count, side="right")) / len(accepted) for fpr, count in allowed.items()}


@attrs.frozen(eq=False)
class _Pairs:
    """Both sides of an evaluation, how they are compared, and query rows with the gallery rows that they meet."""

    inputs: RankInputs
    query: ExactRows
    gallery: ExactRows
    met: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]

    @classmethod
    def of(cls, inputs: RankInputs, task: RankTask, protocol: EvalProtocol) -> _Pairs:
        sides = ExactRows(inputs.query, unit=inputs.unit), ExactRows(inputs.gallery, unit=inputs.unit)
        groups = query_gallery_masks(inputs.query.rows, inputs.gallery.rows, protocol)
        return cls(inputs, *sides, [(queries, task.candidates[items[task.candidates]]) for queries, items in groups])

    def false_pairs(self) -> int:
        """Pairs of a query and a candidate of another person."""
        total = 0
        for queries, items in self.met:
            pids, counts = np.unique(self.inputs.gallery.rows.pids[items], return_counts=True)
            same = dict(zip(pids.tolist(), counts.tolist(), strict=True))
            total += sum(len(items) - same.get(pid, 0) for pid in self.inputs.query.rows.pids[queries].tolist())
        return total

    def falsely_accepted(self, task: RankTask, *, limit: int) -> NDArray[np.int64]:
        """i64[P], rising: false pairs at most as far as each true pair; no longer exact beyond `limit`."""
        owners = np.repeat(np.arange(len(task.sizes)), task.sizes)
        thresholds = self._exact(owners, task.positives).sort().values
        # the false pairs that each threshold accepts beyond those of the one before; the last slot: none accepts
        found = torch.zeros(len(thresholds) + 1, dtype=torch.int64, device=thresholds.device)
        for rows, items, prefix in self._tiles():
            total = found[:-1].cumsum(dim=0)
            # thresholds past the limit are lost whatever else is counted
            useful = int(torch.searchsorted(total, torch.tensor(limit, device=total.device), right=True))
            if useful == 0:
                break
            slots = self._slots(thresholds[:useful], rows, items, prefix)
            found[:useful] += torch.bincount(slots, minlength=useful + 1)[:useful]
        accepted: NDArray[np.int64] = found[:-1].cumsum(dim=0).cpu().numpy()
        return accepted

    def _slots(
        self, thresholds: torch.Tensor, rows: NDArray[np.intp], items: NDArray[np.intp], prefix: int
    ) -> torch.Tensor:
        """i64[m], the first threshold that accepts each false pair of a tile; `len(thresholds)` where none does."""
        index, columns = self._on_device(rows), self._on_device(items)
        sides = self.query.exact(index, prefix), self.gallery.exact(columns, prefix)
        distances, error_bound = squared_distances(*sides, dot=self.inputs.dot)
        others = self._pids(self.inputs.query, rows)[:, None] != self._pids(self.inputs.gallery, items)[None]
        near = (others & (distances - error_bound <= thresholds[-1])).nonzero()
        pairs = distances[near[:, 0], near[:, 1]]
        slots = torch.searchsorted(thresholds, pairs - error_bound)
        doubtful = (slots != torch.searchsorted(thresholds, pairs + error_bound)).nonzero()[:, 0]
        if len(doubtful):
            chosen = index[near[doubtful, 0]], columns[near[doubtful, 1]]
            exact = exact_distances(self.query, self.gallery, *chosen, prefix=prefix, dot=self.inputs.dot)
            slots[doubtful] = torch.searchsorted(thresholds, exact)
        return slots

    def _tiles(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], int]]:
        """Query rows and candidates in tiles of one number of compared columns."""
        for queries, candidates in self.met:
            for rows, mine in _by_dims(queries, self.inputs.query_dims):
                for items, theirs in _by_dims(candidates, self.inputs.gallery_dims):
                    for start in range(0, len(rows), _QUERIES):
                        for first in range(0, len(items), _ITEMS):
                            part = rows[start : start + _QUERIES], items[first : first + _ITEMS]
                            yield *part, min(mine, theirs)

    def _exact(self, rows: NDArray[np.intp], items: NDArray[np.intp]) -> torch.Tensor:
        """f64[P], distances of pairs by the definition."""
        prefixes = np.minimum(self.inputs.query_dims[rows], self.inputs.gallery_dims[items])
        found = torch.empty(len(rows), dtype=torch.float64, device=self.query.x.device)
        for prefix in np.unique(prefixes).tolist():
            same = np.flatnonzero(prefixes == prefix)
            pair = self._on_device(rows[same]), self._on_device(items[same])
            found[self._on_device(same)] = exact_distances(
                self.query, self.gallery, *pair, prefix=prefix, dot=self.inputs.dot
            )
        return found

    def _pids(self, feats: Features, rows: NDArray[np.intp]) -> torch.Tensor:
        return self._on_device(feats.rows.pids[rows])

    def _on_device(self, index: NDArray[np.integer]) -> torch.Tensor:
        return torch.from_numpy(index.astype(np.int64)).to(self.query.x.device)


def _by_dims(rows: NDArray[np.intp], dims: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Rows of equal dims, with these."""
    for number in np.unique(dims[rows]).tolist():
        yield rows[dims[rows] == number], number

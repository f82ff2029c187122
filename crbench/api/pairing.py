"""Training features and the ways to pair them: each source (LR) row with a target (HR) row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np

from crbench.arrays import Array
from crbench.errors import DataError
from crbench.records import Domain, Features, Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pairing = Literal["image", "id_mean", "id_mean_pooled"]

Scope = Literal["shared", "per_rate"]
"""One map for all source domains, or one for each."""


@attrs.frozen(eq=False)
class Pairs:
    """Source row i belongs to target row i; both have n rows.

    Raises:
        DataError: no pairs, or unequal lengths.
    """

    source: Features
    target: Features

    def __attrs_post_init__(self) -> None:
        if len(self.source) != len(self.target):
            raise DataError(f"pairs: {len(self.source)} source rows against {len(self.target)} target rows")
        if len(self.source) == 0:
            raise DataError("pairs: no source row has a target row; check the protocol's train_rates and the pairing")

    def __len__(self) -> int:
        return len(self.source)

    def domains(self) -> Iterator[tuple[Domain, Array, Array]]:
        """Each source domain with its source and target features, f32[m, D] each, row by row."""
        for domain, mask in self.source.rows.domains():
            index = np.flatnonzero(mask)
            yield domain, self.source.x[index], self.target.x[index]


@attrs.frozen(eq=False)
class TrainFeatures:
    """Features of training rows only: `source` (LR, infrared, text) and `target` (HR, visible, image)."""

    source: Features
    target: Features

    def pairs(self, how: Pairing, *, min_count: int = 1) -> Pairs:
        """Pair source with target.

        Args:
            how: ``image``: each source row with the HR version of the same image; ``id_mean``: the mean of each
                (person, source domain) with the person's target mean (VPFA, Eq. 2); ``id_mean_pooled``: the mean over
                all source rows of a person, rates together; these means are called rows of the highest rate.
            min_count: with means, persons with fewer source rows (over all domains) or fewer target rows
                are left out. VPFA uses 2.

        Raises:
            DataError: no such pairs exist (CAVIAR has no image pairs).
            ValueError: unknown `how`.
        """
        self._check_sides()
        if how == "image":
            return self._image_pairs()
        if how == "id_mean":
            return self._mean_pairs(min_count, list(self.source.rows.domains()))
        if how == "id_mean_pooled":
            return self._mean_pairs(min_count, self._one_domain())
        raise ValueError(f"unknown pairing {how!r}; expected 'image', 'id_mean' or 'id_mean_pooled'")

    def _check_sides(self) -> None:
        if not len(self.target):
            raise DataError(
                f"pairs: there are no target (HR) training rows beside {len(self.source)} source (LR) rows; a map "
                "to HR features needs training images of rate 1"
            )
        if not len(self.source):
            raise DataError(
                f"pairs: there are no source (LR) training rows beside {len(self.target)} target (HR) rows; a map from "
                "LR features needs a protocol that shrinks training images, such as --set protocol.train_rates=[2,3,4]"
            )

    def _one_domain(self) -> list[tuple[Domain, NDArray[np.bool_]]]:
        """All source rows as one domain."""
        rows = self.source.rows
        highest = max((domain.rate for domain, _ in rows.domains()), default=1.0)
        return [(Domain(modality=rows.modality, rate=highest), np.ones(len(rows), dtype=np.bool_))]

    def _image_pairs(self) -> Pairs:
        order = np.argsort(self.target.rows.keys, kind="stable")
        keys = self.target.rows.keys[order]
        position = np.minimum(np.searchsorted(keys, self.source.rows.keys), len(keys) - 1)
        found = np.flatnonzero(keys[position] == self.source.rows.keys)
        if len(found) == 0:
            raise DataError(
                "pairs: no image occurs in LR and in HR, so image pairs do not exist here; use pairs=id_mean"
            )
        return Pairs(source=self.source.take(found), target=self.target.take(order[position[found]]))

    def _mean_pairs(self, min_count: int, domains: list[tuple[Domain, NDArray[np.bool_]]]) -> Pairs:
        source, target = self.source.rows, self.target.rows
        targets = dict(_by_person(target.pids, np.arange(len(target))))
        counts = dict(zip(*(column.tolist() for column in np.unique(source.pids, return_counts=True)), strict=True))
        groups = [
            (pid, domain, index)
            for domain, mask in domains
            for pid, index in _by_person(source.pids, np.flatnonzero(mask))
            if pid in targets and min(counts[pid], len(targets[pid])) >= min_count
        ]
        if not groups:
            raise DataError(f"pairs: no person has at least {min_count} source and {min_count} target training rows")
        rows = Samples(
            keys=[f"mean of pid {pid}" for pid, _, _ in groups],
            pids=[pid for pid, _, _ in groups],
            rates=[domain.rate for _, domain, _ in groups],
            modality=source.modality,
        )
        source_x = _means(self.source.x, [index for _, _, index in groups])
        target_x = _means(self.target.x, [targets[pid] for pid, _, _ in groups])
        return Pairs(
            source=Features(x=source_x, rows=rows),
            target=Features(x=target_x, rows=attrs.evolve(rows.at_rate(1), modality=target.modality)),
        )


def _by_person(pids: NDArray[np.int64], index: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each person among the rows `index`, sorted, with the person's rows."""
    order = index[np.argsort(pids[index], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(pids[order]) != 0])[: len(order)]
    for group in np.split(order, starts[1:]) if len(order) else []:
        yield int(pids[group[0]]), group


def _means(x: Array, groups: list[NDArray[np.intp]]) -> Array:
    import torch

    return torch.stack([x[index].mean(dim=0) for index in groups])


def by_scope(pairs: Pairs, scope: Scope) -> Iterator[tuple[tuple[Domain, ...], Pairs]]:
    """The pairs that each map learns from, with the source domains that it serves.

    Raises:
        ValueError: unknown `scope`.
    """
    domains = list(pairs.source.rows.domains())
    if scope == "shared":
        yield tuple(domain for domain, _ in domains), pairs
    elif scope == "per_rate":
        for domain, mask in domains:
            index = np.flatnonzero(mask)
            yield (domain,), Pairs(source=pairs.source.take(index), target=pairs.target.take(index))
    else:
        raise ValueError(f"unknown scope {scope!r}; expected 'shared' or 'per_rate'")


def check_alignable(train: TrainFeatures) -> None:
    """Refuse training features that no map can be learned from.

    Raises:
        DataError: NaN or infinite values, source and target of different length, or lengths that vary by row.
    """
    for role, feats in (("source", train.source), ("target", train.target)):
        if feats.dims is not None:
            raise DataError(
                f"{role} features vary in length (dims are set); this aligner needs one length for all rows"
            )
        if not bool((abs(feats.x) < float("inf")).all()):
            bad = int((~(abs(feats.x) < float("inf"))).any(1).sum())
            raise DataError(f"{role} features of {bad} of {len(feats)} training rows hold NaN or infinite values")
    source, target = train.source.x.shape[1], train.target.x.shape[1]
    if source != target:
        raise DataError(f"source features have {source} columns and target features {target}; expected equal lengths")

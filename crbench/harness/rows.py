"""Step 4: the rows of a trial that are encoded, with the ids by which their features are found.

An id hashes a row's image, rates and camera. At the size of Market-1501 the ids of a trial take 0.1 s, so they are
computed once for each trial and backbone, not for each aligner.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.interfaces import Backbone, Precomputed, Transform
from crbench.harness.galleries import Compared, galleries_by_rate
from crbench.harness.identity import training_digest
from crbench.harness.trial import TrialData
from crbench.records import Features, Samples
from crbench.registry.guard import Owner
from crbench.store.features import FeatureTable, row_ids


@attrs.frozen(eq=False)
class IdentifiedRows:
    """Rows with the id V16 of each, see `crbench.store.features.row_ids`."""

    rows: Samples
    ids: NDArray[np.bytes_]

    @classmethod
    def of(cls, rows: Samples, trial: TrialData) -> IdentifiedRows:
        """Rows of a trial."""
        return cls(rows, row_ids(rows, trial.digests(rows)))

    @classmethod
    def concat(cls, lists: Sequence[IdentifiedRows]) -> IdentifiedRows:
        """All rows of all lists, in order."""
        return cls(Samples.concat([some.rows for some in lists]), np.concatenate([some.ids for some in lists]))

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> IdentifiedRows:
        """The rows at a mask bool[n] or an index array (order kept)."""
        return IdentifiedRows(self.rows.take(which), self.ids[which])

    def features(self, table: FeatureTable, device: str) -> Features:
        """Their features f32[n, D] on `device`; all of them are in the table."""
        x, dims = table.gather(self.ids, device)
        return Features(x=x, rows=self.rows, dims=dims)


@attrs.frozen(eq=False)
class TrialRows:
    """What one backbone encodes for one trial, and an aligner compares.

    Attributes:
        compared: query rows, and the gallery that these are compared with, as `crbench.harness.galleries.Compared`.
    """

    trial: TrialData
    compared: tuple[tuple[IdentifiedRows, tuple[IdentifiedRows, ...]], ...]

    @classmethod
    def of(cls, trial: TrialData, backbone: Backbone | Precomputed, owner: Owner) -> TrialRows:
        """The rows of a trial, the gallery as the backbone of this plugin wants it."""
        return cls._of(trial, galleries_by_rate([(trial.split.query, (trial.split.gallery,))], backbone, owner))

    def for_transform(self, transform: Transform, owner: Owner) -> TrialRows:
        """The rows with the gallery as the transform of this plugin wants it; `self` where it wants no other."""
        before = [(query.rows, tuple(view.rows for view in views)) for query, views in self.compared]
        compared = galleries_by_rate(before, transform, owner, several=True)
        same = len(compared) == len(before) and all(
            len(views) == 1 and views[0] is old for (_, views), (_, (old,)) in zip(compared, before, strict=True)
        )
        return self if same else self._of(self.trial, compared)

    @classmethod
    def _of(cls, trial: TrialData, compared: Compared) -> TrialRows:
        return cls(
            trial,
            tuple(
                (IdentifiedRows.of(query, trial), tuple(IdentifiedRows.of(view, trial) for view in views))
                for query, views in compared
            ),
        )

    @cached_property
    def train(self) -> IdentifiedRows:
        """HR training rows and their LR copies, of the data set that aligners are fitted on."""
        return IdentifiedRows.of(self.trial.fitting.train_all, self.trial.fitting)

    @cached_property
    def training_digest(self) -> str:
        """The training rows as `crbench.harness.identity.fit_key` takes them; 0.1 s at the size of Market-1501."""
        return training_digest(self.train.ids, self.train.rows.pids)

    @property
    def places(self) -> list[NDArray[np.intp]]:
        """Which of the ranked queries each pair has, intp[b]: a pair has all queries of its rates, in order."""
        rates = self.trial.split.ranked.query.rates
        return [np.flatnonzero(np.isin(rates, query.rows.rates)) for query, _ in self.compared]

    @property
    def queries(self) -> IdentifiedRows:
        """All query rows."""
        return IdentifiedRows.concat([query for query, _ in self.compared])

    @property
    def test(self) -> IdentifiedRows:
        """All query and gallery rows, those of all views."""
        return IdentifiedRows.concat([rows for query, views in self.compared for rows in (query, *views)])

    @property
    def pairs(self) -> int:
        """Pairs of a query and a gallery image that are compared."""
        return sum(len(query.rows) * len(views[0].rows) for query, views in self.compared)

    @property
    def gallery_passes(self) -> float:
        """How often a gallery image is encoded: once, or once for each of several rates."""
        encoded = np.concatenate([view.ids for _, views in self.compared for view in views])
        return len(np.unique(encoded)) / len(np.unique(self.trial.split.gallery.keys))

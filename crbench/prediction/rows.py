"""Which features a run lacks, and what it must read for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np

from crbench.api.interfaces import Precomputed
from crbench.harness.backbone import ReadyBackbone
from crbench.harness.extract.extractor import CHUNK_BATCHES
from crbench.harness.facts import JobFacts
from crbench.harness.features import AskedRows
from crbench.harness.identity import feature_origin
from crbench.protocol.hashing import digest
from crbench.records import Samples
from crbench.store.features import FeatureTable

ID_BYTES = 2 * 16
"""A row of a cache file beside its feature: its id, and the digest of its content; see `crbench.store.features`."""


@attrs.frozen(eq=False)
class Lacking:
    """Rows whose features are not there.

    Attributes:
        rows: them, in the order of extraction.
        asked: how many different rows are needed.
        again: their images were read before by this process.
        batch: images that go through the network together.
    """

    rows: Samples
    asked: int
    again: bool
    batch: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def images(self) -> int:
        """Different images among them, each of which is read once."""
        return len(np.unique(self.rows.keys))

    def blocks(self) -> list[Samples]:
        """What workers extract at once: 32 batches of rows."""
        size = self.batch * CHUNK_BATCHES
        return [self.rows.take(np.arange(start, min(start + size, len(self)))) for start in range(0, len(self), size)]

    def bytes(self, dim: int, *, varies: bool) -> int:
        """Bytes of their features as they are kept: float32, with id, digest and, where it varies, length."""
        return len(self) * (4 * dim + ID_BYTES + (8 if varies else 0))


@attrs.define(eq=False)
class KnownRows:
    """What is kept already, and what the steps before will have extracted."""

    _there: dict[str, set[bytes]] = attrs.field(factory=dict, init=False)
    _tables: dict[str, FeatureTable] = attrs.field(factory=dict, init=False)

    def lacking(self, asked: AskedRows, ready: ReadyBackbone, trained: str | None) -> Lacking:
        """The rows without features, which are there from now on.

        Args:
            trained: names a training that is due, so that nothing is kept of the backbone; None = there is none.
        """
        facts, ordered = asked.facts, asked.ordered()
        if trained is None:
            table = self._table(facts, ready, asked.table)
            missing = np.sort(table.missing(ordered.ids))
            name = digest(dict(table.origin))
        else:
            missing, name = np.arange(len(ordered.ids)), trained
        there = self._there.setdefault(name, set())
        left = np.array([at for at in missing.tolist() if ordered.ids[at].tobytes() not in there], dtype=np.intp)
        there.update(ordered.ids[at].tobytes() for at in left.tolist())
        rows = ordered.rows.take(left)
        again = facts.paces.read_before(facts.job, rows.keys.tolist())
        batch = 1 if isinstance(ready.backbone, Precomputed) else facts.extraction.batch_size
        return Lacking(rows, len(ordered.ids), again, batch)

    def _table(
        self, facts: JobFacts, ready: ReadyBackbone, make: Callable[[ReadyBackbone], FeatureTable]
    ) -> FeatureTable:
        name = digest(dict(origin_of(facts, ready)))
        if name not in self._tables:
            self._tables[name] = make(ready)
        return self._tables[name]


def origin_of(facts: JobFacts, ready: ReadyBackbone) -> Mapping[str, Any]:
    """What the features of a job's rows depend on beside the rows."""
    return feature_origin(facts.job, ready.backbone, ready.facts, facts.extraction)

"""One partition of a data set into training, query and gallery rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Self

import attrs
import numpy as np

from crbench.errors import ComparisonError
from crbench.records.rows import Samples


@attrs.frozen(eq=False)
class Split:
    """One partition of a data set: training, query and gallery rows.

    Attributes:
        train, query, gallery: rows; `train` holds HR rows (and native LR rows), LR training copies are made later.
        notes: what was left out and how often, e.g. ``{"junk images": 3819}``.

    Raises:
        ComparisonError: a person occurs in training and in the test rows.
    """

    train: Samples
    query: Samples
    gallery: Samples
    notes: Mapping[str, int] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        test = np.concatenate([self.query.pids, self.gallery.pids])
        shared = np.intersect1d(self.train.pids, test[test > 0])
        if len(shared):
            raise ComparisonError(
                f"split: {len(shared)} test identities are also training identities (first: {shared[:5].tolist()}); "
                "they must be disjoint"
            )

    def manifest(self) -> str:
        """The split as tab-separated text: a header, then one line per row, sorted; the same on every machine.

        A column ``group`` is there where rows are of tracklets, and empty for a row that is of none.
        """
        grouped = any(rows.groups is not None for rows in (self.query, self.gallery))
        lines = []
        for role in ("train", "query", "gallery"):
            rows: Samples = getattr(self, role)
            columns = (rows.keys, rows.pids, rows.camids, rows.rates, rows.native_rates)
            groups = [""] * len(rows) if rows.groups is None else rows.groups.tolist()
            for key, pid, camid, rate, native, group in zip(*(c.tolist() for c in columns), groups, strict=True):
                of = f"\t{group}" if grouped else ""
                lines.append(f"{role}\t{key}\t{pid}\t{camid}\t{rate:g}\t{native:g}{of}\n")
        header = "role\tkey\tpid\tcamid\trate\tnative_rate" + ("\tgroup" if grouped else "")
        return f"{header}\n" + "".join(sorted(lines))

    @cached_property
    def ranked(self) -> Self:
        """What is asked for and found: query and gallery with one row for each tracklet, that of its first image."""
        return attrs.evolve(self, query=self.query.items()[0], gallery=self.gallery.items()[0])

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of `manifest`, 64 hex digits."""
        return hashlib.sha256(self.manifest().encode()).hexdigest()

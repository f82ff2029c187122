"""Step 7: query and gallery features as a fitted aligner changes them, without its learning whom they show."""

from __future__ import annotations

import numpy as np

from crbench.api.interfaces import Transform
from crbench.errors import PluginError
from crbench.harness.rows import IdentifiedRows
from crbench.records import Features, TestFeatures, blind_order
from crbench.registry.guard import plugin_stage
from crbench.registry.resolve import Resolved
from crbench.store.features import FeatureTable


def transformed(
    transform: Transform, aligner: Resolved, rows: IdentifiedRows, table: FeatureTable, device: str
) -> Features:
    """Features of `rows`, all of them in `table`, as the fitted transform of `aligner` changes them.

    The transform sees them in the order of `crbench.records.blind_order`. Its features and lengths are taken, and put
    back in order; the rows are ours.

    Raises:
        PluginError: the transform fails, or gives something else than features of so many rows.
    """
    order = blind_order(rows.rows)
    entry, owner = aligner.registered.entry, aligner.registered.owner
    shown = TestFeatures.of(rows.take(order).features(table, device), entry.needs)
    with plugin_stage(owner, "transform", passing=()):
        found = transform(shown)
    if not isinstance(found, TestFeatures) or len(found) != len(rows.rows):
        raise PluginError(
            f"{owner}: the transform of {aligner.name} must return TestFeatures of the same rows, "
            f"for example attrs.evolve(feats, x=...); it gave {_described(found)}"
        )
    back = np.argsort(order)
    return Features(x=found.x[back], rows=rows.rows, dims=None if found.dims is None else found.dims[back])


def _described(found: object) -> str:
    if isinstance(found, TestFeatures):
        return f"{len(found)} rows"
    return f"a {type(found).__name__}"

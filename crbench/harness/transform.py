"""Step 7: query and gallery features as a fitted aligner changes them, without its learning whom they show."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray

from crbench.api.interfaces import Transform
from crbench.denormals import denormals_flushed
from crbench.errors import PluginError
from crbench.harness.rows import IdentifiedRows, TrialRows
from crbench.records import Features, TestFeatures, blind_order
from crbench.registry.contract import close, fault, other_companions, other_draws
from crbench.registry.guard import plugin_stage
from crbench.registry.resolve import Resolved
from crbench.store.features import FeatureTable

_SAMPLE = 512
"""Rows, at most, of queries and of the gallery that are transformed twice more."""

Views = Sequence[IdentifiedRows]
"""Rows, and the same images at further rates; see `crbench.harness.galleries.Views`."""


def transformed(transform: Transform, aligner: Resolved, views: Views, table: FeatureTable, device: str) -> Features:
    """Features of the first of `views`, all of them in `table`, as the fitted transform of `aligner` changes them.

    The transform sees them in the order of `crbench.records.blind_order`. Its features and lengths are taken, and put
    back in order; the rows are ours.

    Raises:
        PluginError: the transform fails, or gives something else than sound features of so many rows.
    """
    rows = views[0].rows
    order = blind_order(rows)
    found = _call(transform, aligner, _shown(aligner, views, order, table, device))
    back = np.argsort(order)
    return Features(x=found.x[back], rows=rows, dims=None if found.dims is None else found.dims[back])


def check_companions(
    transform: Transform, aligner: Resolved, rows: TrialRows, table: FeatureTable, device: str
) -> None:
    """Refuse a transform by which the feature of a row depends on the rows that come with it, unless its entry says so.

    A sample of the queries, and one of the gallery, is transformed twice, the second time with other companions at the
    same rates.

    Raises:
        PluginError: the features of the others differ by more than `crbench.registry.contract.TOLERANCE`.
    """
    if aligner.transductive:
        return
    for views in ((rows.queries,), max((views for _, views in rows.compared), key=len)):
        _check_companions(transform, aligner, views, table, device)


def _check_companions(transform: Transform, aligner: Resolved, views: Views, table: FeatureTable, device: str) -> None:
    rows = views[0].rows
    sample = blind_order(rows)[:_SAMPLE]
    sample = sample[np.argsort(rows.rates[sample], kind="stable")]
    companions = other_companions(rows.rates[sample])
    kept = np.flatnonzero(companions == np.arange(len(sample)))
    made = []
    for some, draws in ((sample, nullcontext()), (sample[companions], other_draws())):
        with draws:
            found = _call(transform, aligner, _shown(aligner, views, some, table, device))
        # A copy of what is compared, as the transform may use its memory again.
        made.append((found.x[kept], None if found.dims is None else found.dims[kept].tolist()))
    (before, dims), (after, other_dims) = made
    if not (dims == other_dims and close(after, before)):
        raise PluginError(
            f"{aligner.registered.owner} failed at transform: what it makes of a row depends on the other rows, or is "
            "not the same twice; a method that is meant to do so says transductive=True in its entry"
        )


def _shown(aligner: Resolved, views: Views, which: NDArray[np.intp], table: FeatureTable, device: str) -> TestFeatures:
    first, *others = (view.take(which).features(table, device) for view in views)
    return TestFeatures.of(first, aligner.needs, others)


def _call(transform: Transform, aligner: Resolved, shown: TestFeatures) -> TestFeatures:
    """What the transform makes of features, which are of its own; checked."""
    owner, count, device = aligner.registered.owner, len(shown), shown.x.device
    with plugin_stage(owner, "transform", passing=()), denormals_flushed():
        found = transform(shown)
    if not isinstance(found, TestFeatures):
        raise PluginError(
            f"{owner} failed at transform: it gave a {type(found).__name__}; expected TestFeatures, for example "
            "attrs.evolve(feats, x=...)"
        )
    if wrong := fault(found.x, found.dims, count=count, device=device):
        raise PluginError(f"{owner} failed at transform: {wrong}")
    return found

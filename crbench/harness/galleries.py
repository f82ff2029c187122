"""Which gallery each query is compared with: the same for all, or one for each rate of the queries."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from crbench.api.capabilities import GalleryByRate
from crbench.errors import PluginError
from crbench.records import Samples, TestRows
from crbench.registry.guard import Owner, plugin_stage

Compared = Sequence[tuple[Samples, Samples]]
"""Pairs of query rows and the gallery rows that these are compared with; every query is in one of them."""


def galleries_by_rate(compared: Compared, method: object, owner: Owner) -> Compared:
    """The same pairs, with a gallery for each rate of the queries where `method` is `GalleryByRate` and wants one.

    Args:
        method: a backbone or an aligner.
        owner: the plugin that it comes from.

    Raises:
        PluginError: it fails, or gives something else than rates for all that it was asked about.

    Example:
        >>> from crbench.registry.guard import UNKNOWN
        >>> from crbench.testing import RandomBackbone
        >>> rows = Samples(keys=["a", "b"], pids=[1, 1], rates=[2, 3])
        >>> len(galleries_by_rate([(rows, rows.at_rate(1))], RandomBackbone(), UNKNOWN))
        1
    """
    if not isinstance(method, GalleryByRate):
        return compared
    found: list[tuple[Samples, Samples]] = []
    for query, gallery in compared:
        wanted = [(mask, _encoded(method, gallery, domain.rate, owner)) for domain, mask in query.domains()]
        if all(own is gallery for _, own in wanted):
            found.append((query, gallery))
        else:
            found.extend((query.take(mask), own) for mask, own in wanted)
    return found


def _encoded(method: GalleryByRate, gallery: Samples, rate: float, owner: Owner) -> Samples:
    """The gallery as `method` has it encoded for queries at `rate`; `gallery` itself where nothing changes.

    It is asked about the rates that occur, each once: rates of single rows could tell a transform which row is whose.
    """
    columns = np.stack([gallery.rates, gallery.native_rates])
    distinct, index = np.unique(columns, axis=1, return_inverse=True)
    shown = TestRows(rates=distinct[0], native_rates=distinct[1], modality=gallery.modality)
    with plugin_stage(owner, "gallery_for", passing=()):
        wanted = method.gallery_for(shown, rate)
    if not isinstance(wanted, TestRows) or len(wanted) != len(shown):
        given = f"{len(wanted)} rows" if isinstance(wanted, TestRows) else f"a {type(wanted).__name__}"
        raise PluginError(f"{owner} failed at gallery_for: expected TestRows of {len(shown)} rows, got {given}")
    if np.array_equal(wanted.rates, shown.rates) and np.array_equal(wanted.native_rates, shown.native_rates):
        return gallery
    index = index.reshape(-1)  # NumPy 2.0 gives it a second axis
    return attrs.evolve(gallery, rates=wanted.rates[index], native_rates=wanted.native_rates[index])

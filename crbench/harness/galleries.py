"""Which gallery each query is compared with: the same for all, or one for each rate of the queries."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from crbench.api.capabilities import GalleryByRate
from crbench.errors import PluginError
from crbench.records import Samples, TestRows
from crbench.registry.guard import Owner, plugin_stage

Views = tuple[Samples, ...]
"""Gallery rows, and the same images at further rates where a transform asks for several encodings of each."""

Compared = Sequence[tuple[Samples, Views]]
"""Pairs of query rows and the gallery that these are compared with; every query is in one of them."""


def galleries_by_rate(compared: Compared, method: object, owner: Owner, *, several: bool = False) -> Compared:
    """The same pairs, with a gallery for each rate of the queries where `method` is `GalleryByRate` and wants one.

    Args:
        method: a backbone or a transform; a transform is asked about the rates that the backbone chose.
        owner: the plugin that it comes from.
        several: it may want several encodings of each image.

    Raises:
        PluginError: it fails, or gives something else than rates for all that it was asked about.

    Example:
        >>> from crbench.registry.guard import UNKNOWN
        >>> from crbench.testing import RandomBackbone
        >>> rows = Samples(keys=["a", "b"], pids=[1, 1], rates=[2, 3])
        >>> len(galleries_by_rate([(rows, (rows.at_rate(1),))], RandomBackbone(), UNKNOWN))
        1
    """
    if not isinstance(method, GalleryByRate):
        return compared
    found: list[tuple[Samples, Views]] = []
    for query, (gallery, *_) in compared:
        wanted = [(mask, _encoded(method, gallery, domain.rate, owner, several)) for domain, mask in query.domains()]
        if all(len(views) == 1 and views[0] is gallery for _, views in wanted):
            found.append((query, (gallery,)))
        else:
            found.extend((query.take(mask), views) for mask, views in wanted)
    return found


def _encoded(method: GalleryByRate, gallery: Samples, rate: float, owner: Owner, several: bool) -> Views:
    """The gallery as `method` has it encoded for queries at `rate`; `gallery` itself where nothing changes.

    It is asked about the rates that occur, each once: rates of single rows could tell a transform which row is whose.
    """
    columns = np.stack([gallery.rates, gallery.native_rates])
    distinct, index = np.unique(columns, axis=1, return_inverse=True)
    shown = TestRows(rates=distinct[0], native_rates=distinct[1], modality=gallery.modality)
    views = _asked(method, shown, rate, owner, several)
    index = index.reshape(-1)  # NumPy 2.0 gives it a second axis
    return tuple(
        gallery
        if np.array_equal(view.rates, shown.rates) and np.array_equal(view.native_rates, shown.native_rates)
        else attrs.evolve(gallery, rates=view.rates[index], native_rates=view.native_rates[index])
        for view in views
    )


def _asked(method: GalleryByRate, shown: TestRows, rate: float, owner: Owner, several: bool) -> tuple[TestRows, ...]:
    with plugin_stage(owner, "gallery_for", passing=()):
        wanted: object = method.gallery_for(shown, rate)
    views = wanted if several and isinstance(wanted, tuple) and wanted else (wanted,)
    found = []
    for view in views:
        if not isinstance(view, TestRows) or len(view) != len(shown):
            given = f"{len(view)} rows" if isinstance(view, TestRows) else f"a {type(view).__name__}"
            raise PluginError(f"{owner} failed at gallery_for: expected TestRows of {len(shown)} rows, got {given}")
        found.append(view)
    return tuple(found)

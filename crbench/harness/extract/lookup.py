"""Step 4 for features that are there already: they are looked up by row, not extracted from images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crbench.api.interfaces import Precomputed
from crbench.errors import DataError, PluginError
from crbench.records import Encoded, Samples
from crbench.registry.guard import Owner, plugin_stage
from crbench.store.features import FeatureTable


def look_up(source: Precomputed, table: FeatureTable, rows: Samples, ids: NDArray[np.bytes_], owner: Owner) -> int:
    """Put the features of the rows that `table` lacks into it; gives how many it lacked.

    Args:
        owner: the plugin that `source` comes from, which is named where it fails.

    Raises:
        DataError: `source` has no features of some rows.
        PluginError: it fails otherwise, or gave a wrong shape or values that are not finite.
    """
    import torch

    from crbench.registry.contract import fault

    missing = table.missing(ids)
    if not len(missing):
        return 0
    with plugin_stage(owner, "lookup", passing=(DataError,)):
        encoded = source.lookup(rows.take(missing))
    if not isinstance(encoded, Encoded):
        raise PluginError(f"{owner} failed at lookup: it gave a {type(encoded).__name__}; expected Encoded")
    if wrong := fault(encoded.x, encoded.dims, count=len(missing), device=torch.device("cpu"), finite=False):
        raise PluginError(f"{owner} failed at lookup: {wrong}")
    shape, expected = tuple(encoded.x.shape), (len(missing), source.dim)
    if shape != expected:
        raise PluginError(f"{owner} failed at lookup: it gave features {shape}; expected {expected}")
    finite = torch.isfinite(encoded.x).all(dim=1)
    if not bool(finite.all()):
        row = rows.row(int(missing[int(torch.nonzero(~finite)[0])]))
        raise PluginError(
            f"{owner} failed at lookup: the features of {row.key} at rate {row.rate:g} hold NaN or infinite values"
        )
    # a copy, as the source may use its memory again
    table.add(ids[missing], encoded.x.clone(), None if encoded.dims is None else encoded.dims.clone())
    return len(missing)

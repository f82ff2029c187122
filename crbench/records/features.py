"""Features with the rows that they belong to, and the batches that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from crbench.arrays import Array, to_features, to_integers
from crbench.errors import EvaluationError
from crbench.records.rows import RGB, Samples, row_numbers


@attrs.frozen(eq=False)
class Batch:
    """What a backbone sees at once: `inputs` with b first, and the side data that travels with the images.

    `rates` f32[b], `camids` i64[b]; one modality per batch. For images `inputs` is f32[b, 3, height, width].
    """

    inputs: Array
    rates: NDArray[np.float32]
    camids: NDArray[np.int64]
    modality: str = RGB


@attrs.frozen(eq=False)
class Encoded:
    """What a backbone returns: `x` f32[b, D]; `dims` i64[b] only where the feature length varies by row."""

    x: Array
    dims: Array | None = None


@attrs.frozen(eq=False)
class Features:
    """Features with the rows that they belong to.

    Attributes:
        x: f32[n, D], not normalised.
        rows: the n rows, in the same order.
        dims: i64[n], how many leading columns of a row count; None = all.

    Raises:
        ValueError: `x` is not two-dimensional or its length differs from the rows'.
    """

    x: Array = attrs.field()
    rows: Samples = attrs.field(validator=attrs.validators.instance_of(Samples))
    dims: Array | None = None

    def __attrs_post_init__(self) -> None:
        check_shapes(self.x, self.dims, len(self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: NDArray[np.intp]) -> Features:
        """The features at an index array, order kept."""
        dims = None if self.dims is None else self.dims[which]
        return Features(x=self.x[which], rows=self.rows.take(which), dims=dims)


def check_shapes(x: Array, dims: Array | None, count: int) -> None:
    """Refuse features that do not belong to `count` rows.

    Raises:
        ValueError: `x` is not [count, D], or `dims` are not [count].
    """
    if len(x.shape) != 2 or x.shape[0] != count:
        raise ValueError(f"features have shape {tuple(x.shape)}, expected ({count}, D)")
    if dims is not None and tuple(dims.shape) != (count,):
        raise ValueError(f"dims have shape {tuple(dims.shape)}, expected ({count},)")


def features_from_arrays(
    x: Array,
    pids: ArrayLike,
    *,
    camids: ArrayLike | None = None,
    rates: ArrayLike | None = None,
    dims: ArrayLike | None = None,
    keys: Sequence[str] | NDArray[np.str_] | None = None,
) -> Features:
    """`Features` from plain arrays, for `crbench.evaluate` in a notebook.

    Args:
        x: features [n, D], see `crbench.arrays.to_features`.
        pids: person of each row; in a gallery -1 is junk, and 0 a distractor unless a query asks for person 0.
        camids: camera of each row; None = unknown, so that the same-camera rule removes nothing.
        rates: down-sampling rate of each row, or one for all; None = 1 (HR).
        dims: how many leading columns of each row count; None = all.
        keys: name of each row's image, used by Monte Carlo draws; a query does not meet a gallery row of its own name.
            None = unknown; draws use the row's number.

    Raises:
        EvaluationError: a column of the wrong type or length.

    Example:
        >>> feats = features_from_arrays([[1.0, 0.0], [0.6, 0.8]], pids=[1, 2], rates=4)
        >>> len(feats), feats.rows.rates.tolist()
        (2, [4.0, 4.0])
    """
    tensor = to_features(x)
    count = len(tensor)
    columns: dict[str, Any] = {"pids": to_integers(pids, "pids")}
    if camids is not None:
        columns["camids"] = to_integers(camids, "camids")
    if rates is not None:
        columns["rates"] = rates
    names = row_numbers(count) if keys is None else keys
    try:
        rows = Samples(keys=names, named=keys is not None, **columns)
        return Features(x=tensor, rows=rows, dims=None if dims is None else to_integers(dims, "dims"))
    except ValueError as error:
        raise EvaluationError(str(error)) from error

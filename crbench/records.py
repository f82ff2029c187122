"""The records that travel through a run: plain, frozen, checked once at construction.

The records themselves know no array library: a feature array is any two-dimensional float32 array with ``shape`` and
``dtype``. `features_from_arrays` makes torch tensors of what a user has, and imports torch only then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from crbench.arrays import Array, to_integers, to_torch
from crbench.errors import ComparisonError, EvaluationError

RGB = "rgb"


@attrs.frozen(order=True)
class Domain:
    """What makes features of two rows directly comparable: modality and down-sampling rate (1 = HR)."""

    modality: str = RGB
    rate: float = 1.0


@attrs.frozen
class Row:
    """One image in one role: row `i` of `Samples`.

    Attributes:
        key: names the stored image within its data set; the same image has the same key at every rate.
        pid: person, -1 for junk, 0 for a distractor in the Market-1501 convention.
        camid: camera, -1 where unknown.
        rate: down-sampling rate at which the image is used, 1 = HR.
        native_rate: rate of the image as stored (CAVIAR's far camera: 2); it is shrunk by ``rate / native_rate``.
            Below 1 where the stored image is larger than an image of rate 1 should be.
        modality: ``"rgb"`` unless the data set says otherwise.
    """

    key: str
    pid: int
    camid: int = -1
    rate: float = 1.0
    native_rate: float = 1.0
    modality: str = RGB


def _text(value: ArrayLike) -> NDArray[np.str_]:
    return np.array(value, dtype=np.str_)


def _integers(value: ArrayLike) -> NDArray[np.int64]:
    return np.array(value, dtype=np.int64)


def _floats(value: ArrayLike) -> NDArray[np.float32]:
    return np.array(value, dtype=np.float32)


@attrs.frozen(eq=False)
class Samples:
    """A list of images without pixels, column by column.

    Scalars given for `camids`, `rates` or `native_rates` are repeated for all rows.

    Raises:
        ValueError: columns of unequal length, a rate below 1 or not finite.

    Example:
        >>> rows = Samples(keys=["a.png", "b.png"], pids=[1, 2], camids=[1, 1], rates=[1, 4])
        >>> [domain.rate for domain, mask in rows.domains()]
        [1.0, 4.0]
        >>> rows.at_rate(2).rates.tolist()
        [2.0, 2.0]
    """

    keys: NDArray[np.str_] = attrs.field(converter=_text)
    pids: NDArray[np.int64] = attrs.field(converter=_integers)
    camids: NDArray[np.int64] = attrs.field(converter=_integers, default=-1)
    rates: NDArray[np.float32] = attrs.field(converter=_floats, default=1.0)
    native_rates: NDArray[np.float32] = attrs.field(converter=_floats, default=1.0)
    modality: str = RGB

    def __attrs_post_init__(self) -> None:
        count = len(self.keys)
        for name in ("pids", "camids", "rates", "native_rates"):
            column = getattr(self, name)
            if column.ndim == 0:
                column = np.full(count, column)
                object.__setattr__(self, name, column)
            if column.shape != (count,):
                raise ValueError(f"samples: {name} has shape {column.shape}, expected ({count},) like keys")
            column.setflags(write=False)
        if not np.all(np.isfinite(self.rates) & (self.rates >= 1) & (self.native_rates > 0)):
            raise ValueError("samples: every rate must be finite and at least 1 (1 = HR), every native rate above 0")

    def __len__(self) -> int:
        return len(self.keys)

    def row(self, index: int) -> Row:
        """Row `index` as a record."""
        return Row(
            key=str(self.keys[index]),
            pid=int(self.pids[index]),
            camid=int(self.camids[index]),
            rate=float(self.rates[index]),
            native_rate=float(self.native_rates[index]),
            modality=self.modality,
        )

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Samples:
        """The rows at a boolean mask, an index array (order kept) or a slice."""
        return Samples(
            keys=self.keys[which],
            pids=self.pids[which],
            camids=self.camids[which],
            rates=self.rates[which],
            native_rates=self.native_rates[which],
            modality=self.modality,
        )

    def at_rate(self, rate: float, *, as_stored: bool = False) -> Samples:
        """The same images, used at down-sampling rate `rate`; with `as_stored` they count as stored at that rate."""
        rates = np.full(len(self), rate, dtype=np.float32)
        return attrs.evolve(self, rates=rates, native_rates=rates if as_stored else self.native_rates)

    def domains(self) -> Iterator[tuple[Domain, NDArray[np.bool_]]]:
        """Each domain that occurs, lowest rate first, with the mask of its rows."""
        for rate in np.unique(self.rates):
            yield Domain(self.modality, float(rate)), self.rates == rate

    @classmethod
    def concat(cls, parts: Sequence[Samples]) -> Samples:
        """All rows of `parts`, in order; the parts share one modality."""
        modalities = {part.modality for part in parts}
        if len(modalities) != 1:
            raise ValueError(f"samples of one modality can be joined, not of {sorted(modalities)}")
        return cls(
            keys=np.concatenate([part.keys for part in parts]),
            pids=np.concatenate([part.pids for part in parts]),
            camids=np.concatenate([part.camids for part in parts]),
            rates=np.concatenate([part.rates for part in parts]),
            native_rates=np.concatenate([part.native_rates for part in parts]),
            modality=modalities.pop(),
        )


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
        if len(self.x.shape) != 2 or self.x.shape[0] != len(self.rows):
            raise ValueError(f"features have shape {tuple(self.x.shape)}, expected ({len(self.rows)}, D)")
        if self.dims is not None and tuple(self.dims.shape) != (len(self.rows),):
            raise ValueError(f"dims have shape {tuple(self.dims.shape)}, expected ({len(self.rows)},)")

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: NDArray[np.intp]) -> Features:
        """The features at an index array, order kept."""
        dims = None if self.dims is None else self.dims[which]
        return Features(x=self.x[which], rows=self.rows.take(which), dims=dims)


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
        """The split as tab-separated text: a header, then one line per row, sorted; the same on every machine."""
        lines = []
        for role in ("train", "query", "gallery"):
            rows: Samples = getattr(self, role)
            columns = (rows.keys, rows.pids, rows.camids, rows.rates, rows.native_rates)
            for key, pid, camid, rate, native in zip(*(column.tolist() for column in columns), strict=True):
                lines.append(f"{role}\t{key}\t{pid}\t{camid}\t{rate:g}\t{native:g}\n")
        return "role\tkey\tpid\tcamid\trate\tnative_rate\n" + "".join(sorted(lines))

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of `manifest`, 64 hex digits."""
        return hashlib.sha256(self.manifest().encode()).hexdigest()


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
        x: features [n, D], see `to_torch`.
        pids: person of each row; in a gallery -1 is junk, and 0 a distractor unless a query asks for person 0.
        camids: camera of each row; None = unknown, so that the same-camera rule removes nothing.
        rates: down-sampling rate of each row, or one for all; None = 1 (HR).
        dims: how many leading columns of each row count; None = all.
        keys: name of each row, used by Monte Carlo draws; None = the row's number.

    Raises:
        EvaluationError: a column of the wrong type or length.

    Example:
        >>> feats = features_from_arrays([[1.0, 0.0], [0.6, 0.8]], pids=[1, 2], rates=4)
        >>> len(feats), feats.rows.rates.tolist()
        (2, [4.0, 4.0])
    """
    tensor = to_torch(x)
    count = len(tensor)
    columns: dict[str, Any] = {"pids": to_integers(pids, "pids")}
    if camids is not None:
        columns["camids"] = to_integers(camids, "camids")
    if rates is not None:
        columns["rates"] = np.asarray(rates, dtype=np.float32)
    names = [str(index) for index in range(count)] if keys is None else keys
    try:
        rows = Samples(keys=names, **columns)
        return Features(x=tensor, rows=rows, dims=None if dims is None else to_integers(dims, "dims"))
    except ValueError as error:
        raise EvaluationError(str(error)) from error

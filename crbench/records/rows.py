"""Lists of images without pixels, and the domains that their rows belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from crbench.arrays import as_int64

RGB = "rgb"

_MOST_RATE = 9999
"""Results name rates by six digits, without an exponent."""


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


def integers(value: ArrayLike) -> NDArray[np.int64]:
    return as_int64(value, "pids and camids")


def floats(value: ArrayLike) -> NDArray[np.float32]:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"rates are {array.dtype}; expected numbers")
    with np.errstate(over="ignore"):  # what leaves the range becomes inf, which no rate is
        return array.astype(np.float32)


@attrs.frozen(eq=False)
class Samples:
    """A list of images without pixels, column by column.

    Scalars given for `camids`, `rates` or `native_rates` are repeated for all rows. `named` says that the keys name
    images: rows of equal keys are the same image, and a query does not meet itself in the gallery. Where it is False,
    keys are numbers of rows. `groups` names the tracklet of each row, and rows of one tracklet are ranked as one; None:
    each row is by itself.

    Raises:
        ValueError: columns of unequal length, pids or camids that are no integers, a rate below 1, above
            9,999 or not finite.

    Example:
        >>> rows = Samples(keys=["a.png", "b.png"], pids=[1, 2], camids=[1, 1], rates=[1, 4])
        >>> [domain.rate for domain, mask in rows.domains()]
        [1.0, 4.0]
        >>> rows.at_rate(2).rates.tolist()
        [2.0, 2.0]
    """

    keys: NDArray[np.str_] = attrs.field(converter=_text)
    pids: NDArray[np.int64] = attrs.field(converter=integers)
    camids: NDArray[np.int64] = attrs.field(converter=integers, default=-1)
    rates: NDArray[np.float32] = attrs.field(converter=floats, default=1.0)
    native_rates: NDArray[np.float32] = attrs.field(converter=floats, default=1.0)
    modality: str = RGB
    named: bool = True
    groups: NDArray[np.str_] | None = attrs.field(converter=attrs.converters.optional(_text), default=None)

    def __attrs_post_init__(self) -> None:
        check_columns(self, len(self.keys), ("pids", "camids", "rates", "native_rates", "groups"))

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
            named=self.named,
            groups=None if self.groups is None else self.groups[which],
        )

    def items(self) -> tuple[Samples, NDArray[np.intp]]:
        """What is ranked: the first row of each group, in order; and the item intp[n] that each row belongs to.

        Raises:
            ValueError: rows of a group differ in person, camera or rate.

        Example:
            >>> rows = Samples(keys=["a", "b", "c"], pids=[1, 2, 1], groups=["t1", "t2", "t1"])
            >>> items, of = rows.items()
            >>> items.keys.tolist(), of.tolist()
            (['a', 'b'], [0, 1, 0])
        """
        if self.groups is None:
            return self, np.arange(len(self))
        _, first, item = np.unique(self.groups, return_index=True, return_inverse=True)
        item = item.reshape(-1)  # NumPy 2.0 gives it another shape
        for name in ("pids", "camids", "rates", "native_rates"):
            column = getattr(self, name)
            for row in np.flatnonzero(column != column[first[item]])[:1].tolist():
                both = f"{column[first[item[row]]]} and {column[row]}"
                raise ValueError(
                    f"group {str(self.groups[row])!r}: {name} {both}; expected rows of one person, camera and rate"
                )
        order = np.argsort(first)
        return attrs.evolve(self.take(first[order]), groups=None), np.argsort(order)[item]

    def at_rate(self, rate: float) -> Samples:
        """The same images, used at down-sampling rate `rate`."""
        return attrs.evolve(self, rates=np.full(len(self), rate, dtype=np.float32))

    def domains(self) -> Iterator[tuple[Domain, NDArray[np.bool_]]]:
        """Each domain that occurs, lowest rate first, with the mask of its rows."""
        return domain_masks(self.rates, self.modality)

    @classmethod
    def concat(cls, parts: Sequence[Samples]) -> Samples:
        """All rows of `parts`, in order, each by itself; the parts share one modality."""
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
            named=all(part.named for part in parts),
        )


def row_numbers(count: int, first: int = 0) -> NDArray[np.str_]:
    """Numbers of rows as text [count], which stand for the names that rows lack.

    Example:
        >>> row_numbers(3, first=8).tolist()
        ['8', '9', '10']
    """
    return np.arange(first, first + count).astype(f"U{len(str(max(first + count - 1, 0)))}")


def check_columns(rows: Any, count: int, names: Sequence[str]) -> None:
    """Repeat the scalars among the columns of a record of rows, make all read-only, and check them.

    Raises:
        ValueError: a column has another length than `count`, or a rate is below 1, above 9,999 or not finite.
    """
    for name in names:
        column = getattr(rows, name)
        if column is None:
            continue
        if column.ndim == 0:
            column = np.full(count, column)
            object.__setattr__(rows, name, column)
        if column.shape != (count,):
            raise ValueError(f"{name} has shape {column.shape}, expected ({count},) for so many rows")
        column.setflags(write=False)
    if not np.all((rows.rates >= 1) & (rows.rates <= _MOST_RATE) & (rows.native_rates > 0)):
        raise ValueError(
            f"every rate must be finite and at least 1 (1 = HR), at most {_MOST_RATE}, every native rate above 0"
        )


def domain_masks(rates: NDArray[np.float32], modality: str) -> Iterator[tuple[Domain, NDArray[np.bool_]]]:
    """Each domain of rows of one modality, lowest rate first, with the mask of its rows."""
    for rate in np.unique(rates):
        yield Domain(modality, float(rate)), rates == rate

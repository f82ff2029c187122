"""What transforms and distances are given of test rows: features and rates, and never whom an image shows.

A method that saw persons could write the answer into the features. So could one that saw the keys, as the names of
Market-1501's files spell the person, or one that met the rows in the order of the split, in which the images of a
person follow each other. The rows therefore come without persons and keys, in the order of `blind_order`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar, NoReturn

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.arrays import Array
from crbench.records.features import Features, check_shapes
from crbench.records.rows import RGB, Domain, Samples, check_columns, domain_masks, floats, integers

NEEDS = ("camids",)
"""Columns of test rows that a plugin sees only where its entry says that it needs them."""


@attrs.frozen(eq=False)
class TestRows:
    """Test rows as a transform or a distance sees them, column by column.

    Scalars given for the other columns are repeated like `rates`.

    Attributes:
        rates: f32[n], down-sampling rates, 1 = HR.
        native_rates: f32[n], rates of the images as stored.
        modality: ``"rgb"`` unless the data set says otherwise.
        camids: i64[n], -1 where unknown; None unless the entry has ``needs=("camids",)``.

    Raises:
        ValueError: columns of unequal length, a rate below 1, above 9,999 or not finite.

    Example:
        >>> rows = TestRows.of(Samples(keys=["a.png", "b.png"], pids=[1, 2], camids=3, rates=[1, 4]))
        >>> rows.rates.tolist(), rows.camids
        ([1.0, 4.0], None)
        >>> rows.pids
        Traceback (most recent call last):
        ...
        AttributeError: test rows have no 'pids': transforms and distances do not learn whom an image shows
    """

    __test__: ClassVar[bool] = False  # pytest would take the name for a class of tests

    rates: NDArray[np.float32] = attrs.field(converter=floats)
    native_rates: NDArray[np.float32] = attrs.field(converter=floats, default=1.0)
    modality: str = RGB
    camids: NDArray[np.int64] | None = attrs.field(converter=attrs.converters.optional(integers), default=None)

    def __attrs_post_init__(self) -> None:
        check_columns(self, len(self.rates), ("rates", "native_rates", "camids"))

    @classmethod
    def of(cls, rows: Samples, needs: Collection[str] = ()) -> TestRows:
        """What is shown of `rows` to a plugin that has these needs."""
        return cls(rows.rates, rows.native_rates, rows.modality, rows.camids if "camids" in needs else None)

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("pids", "keys"):
            raise AttributeError(
                f"test rows have no {name!r}: transforms and distances do not learn whom an image shows"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __len__(self) -> int:
        return len(self.rates)

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp] | slice) -> TestRows:
        """The rows at a boolean mask, an index array (order kept) or a slice."""
        camids = None if self.camids is None else self.camids[which]
        return TestRows(self.rates[which], self.native_rates[which], self.modality, camids)

    def domains(self) -> Iterator[tuple[Domain, NDArray[np.bool_]]]:
        """Each domain that occurs, lowest rate first, with the mask of its rows."""
        return domain_masks(self.rates, self.modality)


@attrs.frozen(eq=False)
class TestFeatures:
    """Features of test rows as a transform or a distance gets them.

    Attributes:
        x: f32[n, D], not normalised.
        rows: what is shown of the n rows, in the same order.
        dims: i64[n], how many leading columns of a row count; None = all.
        views: of gallery images, their features at the further rates that the transform asked for by
            `crbench.api.GalleryByRate`; row i shows the image of row i.

    Raises:
        ValueError: `x` is not two-dimensional or its length differs from the rows', or that of a view does.
    """

    __test__: ClassVar[bool] = False

    x: Array = attrs.field()
    rows: TestRows = attrs.field(validator=attrs.validators.instance_of(TestRows))
    dims: Array | None = None
    views: tuple[TestFeatures, ...] = ()

    def __attrs_post_init__(self) -> None:
        check_shapes(self.x, self.dims, len(self.rows))
        for view in self.views:
            if len(view) != len(self):
                raise ValueError(f"a view has {len(view)} rows; expected {len(self)}")

    @classmethod
    def of(cls, feats: Features, needs: Collection[str] = (), views: Sequence[Features] = ()) -> TestFeatures:
        """What is shown of `feats` to a plugin that has these needs, in the same order and memory."""
        others = tuple(cls.of(view, needs) for view in views)
        return cls(x=feats.x, rows=TestRows.of(feats.rows, needs), dims=feats.dims, views=others)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: NDArray[np.intp]) -> TestFeatures:
        """The features at an index array, order kept."""
        dims = None if self.dims is None else self.dims[which]
        views = tuple(view.take(which) for view in self.views)
        return TestFeatures(x=self.x[which], rows=self.rows.take(which), dims=dims, views=views)


def blind_order(rows: Samples) -> NDArray[np.intp]:
    """The order in which rows are shown: a permutation i64[n], drawn from their keys and persons.

    Equal rows give the same order, so that scores can be repeated; a plugin, which sees neither, cannot undo it.
    """
    content = hashlib.sha256(rows.keys.tobytes() + rows.pids.tobytes()).digest()
    return np.random.default_rng(int.from_bytes(content)).permutation(len(rows))

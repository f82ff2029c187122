"""What a plugin implements: behaviour as `typing.Protocol`, so that nothing has to be inherited.

Feature arrays at this border are torch float32 tensors on ``run.device``. What a plugin may offer beyond these
interfaces is in `crbench.api.capabilities`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from crbench.api.context import RunContext
from crbench.arrays import Array
from crbench.data.preprocess import Preprocess
from crbench.records import Batch, Encoded, Row, Samples, Split, TestFeatures

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from crbench.api.pairing import TrainFeatures
    from crbench.data.decode import StoredImage
    from crbench.data.info import DatasetInfo
    from crbench.protocol import EvalProtocol

Reader = Callable[[Row], "Image"]
"""Gives the RGB image of a row as the protocol shows it (shrunk and encoded); thread-safe."""


@runtime_checkable
class Backbone(Protocol):
    """Image to feature.

    An entry's target is called with ``weights: Path | None``, ``device: str`` and its own parameters by keyword, and
    returns a ready backbone. It raises `crbench.errors.MissingWeightsError` where it needs weights and gets none (the
    entry's `crbench.api.entry.Released` are then added to the message), and `crbench.errors.DataError` for weights that
    do not fit.
    """

    dim: int
    preprocess: Preprocess

    def extract(self, batch: Batch) -> Encoded:
        """Features of ``batch.inputs`` f32[b, 3, height, width]: `Encoded` with x f32[b, dim], not normalised."""


@runtime_checkable
class Precomputed(Protocol):
    """What a backbone's entry may give instead of a `Backbone`: features that are there already.

    Its rows are looked up; no image is decoded, and nothing is copied into the feature cache.
    """

    dim: int

    def lookup(self, rows: Samples) -> Encoded:
        """Features of rows by key and rate, on the CPU: `Encoded` with x f32[n, dim], not normalised.

        Raises:
            DataError: some rows have none; the message names the first.
        """


@runtime_checkable
class Transform(Protocol):
    """A fitted aligner; a plain function will do."""

    def __call__(self, feats: TestFeatures) -> TestFeatures:
        """The features of the same rows in the same order; may change x, D and dims, never its input.

        The rows come in an order that tells nothing, without persons and keys, and each must get the same feature
        whatever the others are. Only `x` and `dims` of what is returned are taken.
        """


@runtime_checkable
class Aligner(Protocol):
    """Feature to feature, learned from training features only; the constructor takes hyper-parameters only."""

    def fit(self, train: TrainFeatures, *, run: RunContext) -> Transform:
        """Learn from training features.

        Raises:
            DataError: the features do not allow it (no pairs, NaN, unequal lengths).
        """


@runtime_checkable
class Distance(Protocol):
    """A distance of its own, for methods that cosine and Euclidean distances do not cover.

    The target of its `crbench.Entry` is called without arguments and gives the distance back, so a plain function
    needs a factory around it. A run takes it by ``--set protocol.distance=NAME``.
    """

    def __call__(self, query: TestFeatures, gallery: TestFeatures) -> Array:
        """Distances f32[q, g] of a block of the queries to the whole gallery; smaller is closer.

        Those of float64 are ranked as they are. What is given must not be changed: other blocks get the same gallery.
        """


@runtime_checkable
class Dataset(Protocol):
    """Images, identities and the protocols to evaluate them by.

    A target takes its parameters by keyword; ``root`` is the folder that holds the user's data sets.
    """

    info: DatasetInfo
    protocols: Mapping[str, EvalProtocol]

    def split(self, protocol: EvalProtocol, index: int, *, root: Path) -> Split:
        """Trial `index` (from 0) of the protocol; the same lists on every machine.

        Raises:
            DataError: the data are missing or not as expected.
        """

    def read(self, key: str, *, root: Path) -> StoredImage:
        """The stored image of a key in RGB, upright, at its stored size, and its digest; thread-safe.

        The digest is of the very bytes that were decoded: read them once. It is compared with that of `digests`, so
        that an image that is replaced while a run goes on is seen.

        Raises:
            DataError: it cannot be read; the message names the file.
        """

    def digests(self, keys: NDArray[np.str_], *, root: Path) -> NDArray[np.str_]:
        """A content hash of each image as it is stored now: equal images, equal hashes."""

"""The rules of a data set."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import no_progress
from crbench.api.data_capabilities import CountsImages, VerifiesFiles
from crbench.api.interfaces import Dataset
from crbench.data.decode import StoredImage
from crbench.data.info import DatasetInfo
from crbench.protocol import EvalProtocol
from crbench.records import Samples, Split
from crbench.testing.require import another_order, no_global_change, require

_ROLES = ("train", "query", "gallery")


@attrs.frozen(slots=False, eq=False)
class Case:
    """A data set below `root`: trial 0 of each protocol, and the first `images` of each role."""

    factory: Callable[[], Dataset]
    root: Path
    images: int = 8

    @cached_property
    def dataset(self) -> Dataset:
        """Built once."""
        made = self.factory()
        require(isinstance(made, Dataset), f"{made!r} lacks info, protocols, split, read or digests")
        return made

    @cached_property
    def splits(self) -> dict[str, Split]:
        """Trial 0 of each protocol."""
        return {name: self.split(self.dataset, protocol) for name, protocol in self.protocols.items()}

    @property
    def protocols(self) -> Mapping[str, EvalProtocol]:
        """Those of the data set."""
        found: object = self.dataset.protocols
        if not isinstance(found, Mapping):
            raise AssertionError(f"protocols is a {type(found).__name__}, not a mapping of names to EvalProtocol")
        return found

    def split(self, dataset: Dataset, protocol: EvalProtocol) -> Split:
        """Trial 0 of a protocol, which comes as it must."""
        found: object = dataset.split(protocol, 0, root=self.root)
        if not isinstance(found, Split):
            raise AssertionError(f"split gives a {type(found).__name__}, not a crbench.api.Split")
        return found

    def lists(self) -> Iterator[tuple[str, Samples]]:
        """The rows of each protocol and role, with a name for messages."""
        for name, split in self.splits.items():
            for role in _ROLES:
                yield f"{name}: {role}", getattr(split, role)

    def first_keys(self) -> Iterator[tuple[str, str]]:
        """The first keys of each list, with its name."""
        for case, rows in self.lists():
            for key in rows.keys[: self.images].tolist():
                yield case, key

    def read(self, key: str) -> StoredImage:
        """An image, which comes as it must."""
        found = self.dataset.read(key, root=self.root)
        require(isinstance(found, StoredImage), f"read gives a {type(found).__name__}, not a crbench.api.StoredImage")
        return found

    def digests(self, keys: NDArray[np.str_]) -> NDArray[np.str_]:
        """The digests of images, which come as they must."""
        found: object = self.dataset.digests(keys, root=self.root)
        if not isinstance(found, np.ndarray):
            raise AssertionError(f"digests gives a {type(found).__name__}, not an array")
        return found


def interface(case: Case) -> None:
    """A data set has info, protocols, split, read and digests."""
    made = case.factory()
    require(isinstance(made, Dataset), f"{made!r} lacks info, protocols, split, read or digests")


def info(case: Case) -> None:
    """The attribute info is a crbench.api.DatasetInfo."""
    require(isinstance(case.dataset.info, DatasetInfo), "info is not a crbench.api.DatasetInfo")


def protocols(case: Case) -> None:
    """There is at least one protocol, and each is an EvalProtocol."""
    require(len(case.protocols) > 0, "protocols is empty")
    for name, protocol in case.protocols.items():
        require(isinstance(protocol, EvalProtocol), f"protocol {name!r} is not an EvalProtocol")


def repeatable_split(case: Case) -> None:
    """Another object of the data set gives the same splits."""
    one, other = case.factory(), case.factory()
    for name, protocol in case.protocols.items():
        first, again = (case.split(made, protocol) for made in (one, other))
        require(again.checksum == first.checksum, f"{name}: two splits of trial 0 differ")


def rows_in_every_role(case: Case) -> None:
    """There are training, query and gallery rows."""
    for name, split in case.splits.items():
        for role in _ROLES:
            require(len(getattr(split, role)) > 0, f"{name}: there are no {role} rows")


def queries_have_matches(case: Case) -> None:
    """The gallery shows at least one person who is asked for."""
    for name, split in case.splits.items():
        found = len(split.query) == 0 or np.isin(split.query.pids, split.gallery.pids).any()
        require(bool(found), f"{name}: no query person is in the gallery")


def rgb(case: Case) -> None:
    """Images are RGB."""
    for name, key in case.first_keys():
        mode = case.read(key).image.mode
        require(mode == "RGB", f"{name}: image {key} is {mode}, not RGB")


def repeatable_read(case: Case) -> None:
    """An image is the same each time it is read."""
    for name, key in case.first_keys():
        first, again = (case.read(key).image for _ in range(2))
        require(first == again, f"{name}: image {key} differs when read again")


def digests(case: Case) -> None:
    """There is one digest for each key, in the order of the keys."""
    for name, rows in case.lists():
        keys = rows.keys[: case.images]
        order = another_order(len(keys))
        found, moved = (case.digests(some) for some in (keys, keys[order]))
        require(found.shape == (len(keys),), f"{name}: digests have shape {found.shape}, expected ({len(keys)},)")
        require(bool(np.array_equal(moved, found[order])), f"{name}: digests do not follow the order of the keys")


def digest_of_what_is_read(case: Case) -> None:
    """The digest that comes with an image is that of digests."""
    for name, key in case.first_keys():
        found = case.read(key).digest
        listed = str(case.digests(np.array([key]))[0])
        require(found == listed, f"{name}: image {key} is read with digest {found}, but digests gives {listed}")


def global_state(case: Case) -> None:
    """Splits, images and digests leave seeds, threads and other settings of the process as they are."""
    dataset = case.factory()
    for name, protocol in case.protocols.items():
        with no_global_change(f"{name}: split"):
            split = case.split(dataset, protocol)
        key = str(split.train.keys[0]) if len(split.train) else None
        if key is not None:
            with no_global_change("read"):
                dataset.read(key, root=case.root)
            with no_global_change("digests"):
                dataset.digests(np.array([key]), root=case.root)


def verify_arguments(case: Case) -> None:
    """A method verify takes the arguments root and track."""
    if isinstance(case.dataset, VerifiesFiles):
        try:
            inspect.signature(case.dataset.verify).bind(root=case.root, track=no_progress)
        except TypeError as error:
            raise AssertionError(f"verify cannot be called as verify(root=..., track=...): {error}") from error


def published_counts(case: Case) -> None:
    """A method counts gives every figure that the attribute info publishes."""
    if isinstance(case.dataset, CountsImages):
        lacking = sorted(case.dataset.info.counts.keys() - case.dataset.counts(root=case.root).keys())
        require(not lacking, f"counts lacks {', '.join(lacking)}, which info.counts has")


RULES: Sequence[Callable[[Case], None]] = (
    interface,
    info,
    protocols,
    repeatable_split,
    rows_in_every_role,
    queries_have_matches,
    rgb,
    repeatable_read,
    digests,
    digest_of_what_is_read,
    global_state,
    verify_arguments,
    published_counts,
)

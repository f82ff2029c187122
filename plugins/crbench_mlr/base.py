"""`ImageDataset`: a data set in the user's folders, whatever their layout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from threading import RLock

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api import (
    DatasetInfo,
    EvalProtocol,
    Index,
    Progress,
    Split,
    StoredImage,
    Verification,
    digest_images,
    draw_split,
    no_progress,
    verify_images,
    with_drawn_rates,
)
from crbench.errors import ConfigError, DataError
from crbench_mlr import vpfa_code
from crbench_mlr.inventory import Inventory
from crbench_mlr.layout import Layout

_MISSING = "is not there"
_LOOKED = 3
"""Folders, at most, that the message on missing data names."""


@attrs.define(eq=False)
class ImageDataset:
    """A `crbench.api.Dataset` made of the user's original images; nothing is written beside them.

    Attributes:
        info: what the data set says about itself.
        protocols: by name, the default first.
        layouts: the ways in which users keep it; the first that is found is taken.
    """

    info: DatasetInfo
    protocols: Mapping[str, EvalProtocol]
    layouts: tuple[Layout, ...]
    _inventories: dict[Path, Inventory] = attrs.field(factory=dict, init=False, repr=False)
    _lock: RLock = attrs.field(factory=RLock, init=False, repr=False)

    def locate(self, root: Path) -> Path:
        """The folder below `root` that holds the data.

        Raises:
            DataError: there is none, or the data set asks for an opt-in that was not given.
        """
        return self._find(root)[0]

    def inventory(self, root: Path) -> Inventory:
        """The images below `root`; scanned once.

        Raises:
            DataError: they are missing, or not as expected.
        """
        with self._lock:
            if root not in self._inventories:
                folder, layout = self._find(root)
                self._inventories[root] = layout.scan(folder)
            return self._inventories[root]

    def split(self, protocol: EvalProtocol, index: int, *, root: Path) -> Split:
        """Trial `index` (from 0) of the protocol; the same lists on every machine.

        Raises:
            DataError: the data are missing or too few.
            ConfigError: the protocol has no such trial or does not fit the data set.
        """
        inventory = self.inventory(root)
        images = inventory.index
        if protocol.split.identities == "official" and np.all(images.roles == "any"):
            images = _with_test_set(inventory, index)
        split = draw(images, protocol, index)
        return attrs.evolve(split, notes={**inventory.notes, **split.notes})

    def read(self, key: str, *, root: Path) -> StoredImage:
        """The stored image of a key in RGB, upright, at its stored size, and its digest; thread-safe.

        Raises:
            DataError: it cannot be read; the message names the file.
        """
        return self.inventory(root).source.image(key)

    def digests(self, keys: NDArray[np.str_], *, root: Path) -> NDArray[np.str_]:
        """BLAKE2b (16 hex digits) of each stored image, str[n]; what has not changed is read once.

        Raises:
            DataError: an image cannot be opened.
        """
        return digest_images(self.inventory(root).source, keys.tolist())

    def counts(self, *, root: Path) -> Mapping[str, int]:
        """Figures of the copy below `root`, from lists and file names.

        Raises:
            DataError: the data are missing.
        """
        return self.inventory(root).figures

    def verify(self, *, root: Path, track: Progress = no_progress) -> Verification:
        """Count everything, open every image, compare their contents.

        Raises:
            DataError: the data are missing altogether.
        """
        folder, inventory = self.locate(root), self.inventory(root)
        opened = verify_images(self.info, folder, inventory.source, inventory.index, track=track)
        return attrs.evolve(opened, found=inventory.figures, missing=inventory.missing, extra=inventory.extra)

    def _find(self, root: Path) -> tuple[Path, Layout]:
        self._check_opt_in()
        looked: dict[Path, str] = {}
        for layout in self.layouts:
            for folder, lacks in layout.find(root):
                if not lacks:
                    return folder, layout
                looked.setdefault(folder, f"lacks {', '.join(lacks)}" if folder.is_dir() else _MISSING)
        raise DataError(self._not_found(root, looked))

    def _check_opt_in(self) -> None:
        if self.info.opt_in and os.environ.get(self.info.opt_in) != "1":
            raise DataError(
                f"{self.info.name}: {self.info.privacy} "
                f"If you have read this and have good reason to go on, set {self.info.opt_in}=1."
            )

    def _not_found(self, root: Path, looked: Mapping[Path, str]) -> str:
        where = f"ask for it at {self.info.url}" if self.info.url else "there is no official source any more"
        near = sorted(looked, key=lambda folder: looked[folder] == _MISSING)  # a copy that lacks something tells most
        found = "; ".join(f"{folder} {looked[folder]}" for folder in near[:_LOOKED])
        return (
            f"{self.info.name}: no copy of {self.info.title} below the data root {root} ({found}); give another root "
            f"by --data-root or CRBENCH_DATA; `crbench data info {self.info.name}` shows the expected folders; to get "
            f"the data: {where}"
        )


def draw(index: Index, protocol: EvalProtocol, trial: int) -> Split:
    """`crbench.api.draw_split`, with what VPFA's scripts do and rates for images that are LR as they are stored."""
    if protocol.split.query == "one-per-id":
        return vpfa_code.one_query_split(index, protocol, trial)
    if protocol.split.lr_camera == "per-id-and-folder":
        if protocol.split.gallery_rates:
            raise ConfigError("protocol.gallery_rates: lr_camera=per-id-and-folder shrinks the gallery itself")
        return vpfa_code.folder_split(index, protocol, trial)
    split = draw_split(index, protocol, trial)
    if protocol.split.lr_camera == "smaller" and protocol.split.query_rates:
        query = with_drawn_rates(split.query, protocol, f"{index.name}|trial {trial}")
        return attrs.evolve(split, query=attrs.evolve(query, rates=np.maximum(query.rates, query.native_rates)))
    return split


def _with_test_set(inventory: Inventory, trial: int) -> Index:
    """The index with the official test set of a trial as its query folder and the rest as its train folder."""
    if trial >= len(inventory.test_sets):
        raise DataError(
            f"{inventory.index.name}: official identities asked for, but this copy holds {len(inventory.test_sets)} "
            f"official test sets, so none for trial {trial}; choose another protocol"
        )
    test = np.isin(inventory.index.rows.pids, inventory.test_sets[trial])
    return attrs.evolve(inventory.index, roles=np.where(test, "query", "train"))

"""What a data set may offer beyond its interface; see `crbench.api.capabilities`, which are found in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from crbench.api.context import Progress
from crbench.data.info import Verification


@runtime_checkable
class LocatesFolder(Protocol):
    """A data set that finds its folder below the data root.

    The user gets that folder from ``crbench data path NAME``. Without it, the command prints the data root.

    Example:
        >>> class Shop:
        ...     def locate(self, root):
        ...         return root / "shop"
        >>> isinstance(Shop(), LocatesFolder)
        True
    """

    def locate(self, root: Path) -> Path:
        """The folder below `root` that holds the data.

        Raises:
            DataError: there is none.
        """


@runtime_checkable
class CountsImages(Protocol):
    """A data set that counts what the user's copy holds, without opening an image.

    The user learns, in a run and in every table, where the counts of the copy differ from the published ones, which
    are in `DatasetInfo.counts`. Without it, nobody is told that 94 of 750 persons were there.

    Example:
        >>> class Shop:
        ...     def counts(self, *, root):
        ...         return {"images": 8, "cameras": 2}
        >>> isinstance(Shop(), CountsImages)
        True
    """

    def counts(self, *, root: Path) -> Mapping[str, int]:
        """Figures of the copy below `root`, with the names of `DatasetInfo.counts`; see `crbench.api.count_images`.

        Raises:
            DataError: the data are missing.
        """


@runtime_checkable
class BringsWeights(Protocol):
    """A data set that has weights of a backbone, trained on its own training rows.

    The user gets the same weights on every machine, and no training. They are taken where their card, the ``.json``
    file that ``crbench train`` wrote beside them, shows the training that would be due: of the same backbone with the
    same parameters and seed, on the same persons and images. Without it, each machine trains weights of its own.

    Example:
        >>> class Shop:
        ...     def weights_of(self, backbone):
        ...         return Path("shop.safetensors") if backbone == "resnet-tiny" else None
        >>> isinstance(Shop(), BringsWeights)
        True
    """

    def weights_of(self, backbone: str) -> Path | None:
        """The weights file of a backbone, given by its name with preset; None = the data set brings none."""


@runtime_checkable
class VerifiesFiles(Protocol):
    """A data set that compares the user's copy with what was published.

    The user gets ``crbench data verify NAME``. Without it, the command says that the data set cannot be verified.
    `crbench.api.verify_images` does most of the work; `crbench.api.datasets` has an example.
    """

    def verify(self, *, root: Path, track: Progress) -> Verification:
        """Count everything, open every image, and name what is missing, damaged or there twice.

        Raises:
            DataError: the data are missing altogether.
        """

"""What a plugin may offer beyond its interface: each capability is a Protocol that crbench looks for.

A plugin has a capability as soon as it has the members of the Protocol; nothing is inherited and nothing registered.
Each docstring says what the user gets, and what happens without it. Those of data sets are in
`crbench.api.data_capabilities`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Reader, Transform
from crbench.arrays import Array
from crbench.records import Samples, TestRows

if TYPE_CHECKING:
    from torch import nn


@runtime_checkable
class Trainable(Protocol):
    """A backbone that learns from the training rows of a split.

    The user gets trained weights: a run without weights trains first, and ``crbench train`` works. Trained weights are
    kept by all that decides them, so that equal trainings run once. Without it, the backbone is used as it was built.
    """

    def train(self, rows: Samples, read: Reader, *, run: RunContext) -> Backbone:
        """A new, trained backbone; `rows` are HR training rows, or all of them where its entry asks so."""

    def state(self) -> Mapping[str, Array]:
        """All that `weights=` needs to give this backbone again; saved as safetensors."""


@runtime_checkable
class StartsFromFile(Protocol):
    """A class of `Trainable` backbones whose training starts from a file that is no parameter (ImageNet weights).

    The user gets another training when the content of that file changes. Without it, weights that were trained from
    the former file are taken again.

    Example:
        >>> class FromImageNet:
        ...     @staticmethod
        ...     def starting_file(*, pretrained, **others):
        ...         return Path("resnet50.pth") if pretrained else None
        >>> isinstance(FromImageNet, StartsFromFile), FromImageNet.starting_file(pretrained=False, epochs=3)
        (True, None)
    """

    @staticmethod
    def starting_file(**parameters: Any) -> Path | None:
        """The file that a training with these parameters starts from; None = from no file.

        Raises:
            DataError: the file is missing.
        """


@runtime_checkable
class VariesInLength(Protocol):
    """A class of backbones whose feature length may follow the row; its `extract` then sets ``Encoded.dims``.

    The user gets a refusal before any work where an aligner needs one length (see `TakesAnyLength`). Without it, one
    length is assumed, and such an aligner meets the varying features only when it is fitted.

    Example:
        >>> class Growing:
        ...     @staticmethod
        ...     def varies(parameters):
        ...         return parameters["length"] == "by-rate"
        >>> isinstance(Growing, VariesInLength), Growing.varies({"length": "full"})
        (True, False)
    """

    @staticmethod
    def varies(parameters: Mapping[str, Any]) -> bool:
        """Whether the length varies by row with these parameters, of which every one has a value."""


@runtime_checkable
class GalleryByRate(Protocol):
    """A backbone, or a transform, for which the gallery is encoded anew for each rate of the queries.

    The user gets queries of each rate ranked against a gallery encoded for that rate; what a transform asks for is
    extracted for its own cells only. Without it, the gallery is encoded once. A transform is asked after its backbone,
    about the rates that this chose. It may ask for several encodings of each image, and is then given the first one
    with the others as `crbench.api.TestFeatures.views`.

    Example:
        >>> from crbench.api import TestRows
        >>> class Shrinking:
        ...     def gallery_for(self, gallery, rate):
        ...         return TestRows(rates=[rate] * len(gallery), native_rates=gallery.native_rates)
        >>> Shrinking().gallery_for(TestRows(rates=[1.0, 2.0]), 4.0).rates.tolist()
        [4.0, 4.0]
    """

    def gallery_for(self, gallery: TestRows, rate: float) -> TestRows | tuple[TestRows, ...]:
        """The rates by which gallery images are encoded for queries at `rate`.

        Args:
            gallery: the rates that occur in the gallery, each pair of `rates` and `native_rates` once.

        Returns:
            As many rows: the `rates` to which images are shrunk from their `native_rates`, and which the backbone is
            told. With native rates equal to the rates, images stay as they are stored. `gallery` itself = no change.
            Several of them, from a transform: each image is encoded once for each.
        """


@runtime_checkable
class HoldsNetwork(Protocol):
    """A backbone that runs a torch network, in `model`.

    The user gets ``--compile``, and the number of parameters and of multiply-accumulate operations in results and in
    ``crbench bench``. Without it, ``--compile`` is refused and the numbers are not known.

    Example:
        >>> import torch
        >>> class Pooled:
        ...     model = torch.nn.AdaptiveAvgPool2d(1)
        >>> isinstance(Pooled(), HoldsNetwork)
        True
    """

    model: nn.Module


@runtime_checkable
class HasInferenceForm(Protocol):
    """A backbone that has a faster form for extraction, such as one without batch normalisation.

    The user gets its speed wherever features are extracted, but with ``--compile``, which is left to the compiler.
    Features may differ from its own by roundings. Without it, the backbone itself extracts. It is asked anew for each
    extraction, as weights change while a backbone trains. `crbench.api.folded` makes such forms of torch networks.

    Example:
        >>> import attrs
        >>> @attrs.frozen
        ... class Learned:
        ...     network: str = "with batch normalisation"
        ...     def for_inference(self):
        ...         return attrs.evolve(self, network="folded")
        >>> isinstance(Learned(), HasInferenceForm), Learned().for_inference().network
        (True, 'folded')
    """

    def for_inference(self) -> Backbone:
        """The form that extracts, with the same `dim` and `preprocess`; the backbone itself stays as it is."""


@runtime_checkable
class KnowsWeights(Protocol):
    """A backbone that fetched its weights by itself and tells them from others.

    The user gets the digest in results, and features that are kept by it. Without it, weights that come from neither a
    file nor a training count as none: two downloads that differ would share one cache.

    Example:
        >>> class Downloaded:
        ...     weights_sha256 = "5e1f..."
        >>> isinstance(Downloaded(), KnowsWeights)
        True
    """

    weights_sha256: str | None
    """64 hex digits; None where the weights came from the given file."""


@runtime_checkable
class TakesAnyLength(Protocol):
    """A class of aligners that take features whose length varies by row (``Features.dims`` is set).

    The user may combine it with backbones of varying length (see `VariesInLength`). Without it, this is refused before
    any work.

    Example:
        >>> class Unchanged:
        ...     any_length = True
        >>> isinstance(Unchanged, TakesAnyLength)
        True
    """

    any_length: bool


@runtime_checkable
class MayLearnNothing(Protocol):
    """An aligner that says whether its fit looks at training features.

    The user waits for no training image to go through the network where nothing looks at it. Without it, all training
    rows are extracted, HR and LR.

    Example:
        >>> class Unchanged:
        ...     learns = False
        >>> isinstance(Unchanged(), MayLearnNothing)
        True
    """

    @property
    def learns(self) -> bool:
        """Whether `fit` looks at them; where it does not, it is given features f32[0, D] of no row."""


@runtime_checkable
class Stateful(Protocol):
    """A transform that can be written to a file; its aligner is then `Restorable`.

    The user gets a fit that is kept: the next run with the same features and parameters restores it. Without it, every
    run fits again.

    Example:
        >>> import torch
        >>> class Shift:
        ...     def state(self):
        ...         return {"bias": torch.zeros(2)}
        >>> isinstance(Shift(), Stateful)
        True
    """

    def state(self) -> Mapping[str, Array]:
        """All that `Restorable.restore` needs, as tensors by name; saved as safetensors, never pickled."""


@runtime_checkable
class Restorable(Protocol):
    """An aligner that makes a transform from the state of a `Stateful` one instead of a fit.

    The user gets a fit that is kept. Without it, a state is of no use, and every run fits again.
    """

    def restore(self, state: Mapping[str, Array]) -> Transform:
        """The transform that had this state."""


@runtime_checkable
class CountsParameters(Protocol):
    """A transform or backbone that says how many values it learned.

    The user sees the number in the leaderboard. Without it, the values of a transform's state count (see `Stateful`)
    and all parameters of a backbone's network (see `HoldsNetwork`), also those that features do not depend on, such as
    a classifier's; without these the table says that the number is not known.

    Example:
        >>> class Shift:
        ...     parameter_count = 256
        >>> isinstance(Shift(), CountsParameters)
        True
    """

    @property
    def parameter_count(self) -> int:
        """Learned values, at least 0."""


@runtime_checkable
class DigestsContent(Protocol):
    """A class whose entry has an ``argument`` that names files, and which knows what of these decides what it gives.

    The user gets results and caches that follow what is read, and may add a note or move the folder. Without it, a file
    counts by its bytes, and a folder by the names and bytes of all files directly in it.

    Example:
        >>> class Shop:
        ...     @staticmethod
        ...     def content_sha256(**parameters):
        ...         return "5e1f..."
        >>> isinstance(Shop, DigestsContent)
        True
    """

    @staticmethod
    def content_sha256(**parameters: Any) -> str:
        """64 hex digits for what is read with these parameters, of which every one has a value.

        Raises:
            DataError: it cannot be read.
        """

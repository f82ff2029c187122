"""Step 4, second part: a batch of images on the device to features."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import attrs
import torch
from torch import Tensor, nn

from crbench.api.capabilities import HoldsNetwork
from crbench.api.interfaces import Backbone
from crbench.config.amp import half_dtype
from crbench.data.preprocess import Normaliser
from crbench.errors import ConfigError, PluginError
from crbench.harness.extract.pipeline import Loaded
from crbench.linear import linear_layers
from crbench.records import Batch, Encoded, Samples
from crbench.registry.guard import UNKNOWN, Owner, plugin_stage
from crbench.results import Extraction


class Forward:
    """A backbone as extraction calls it: normalises, runs the network as `extraction` says, averages mirror images.

    Args:
        backbone: with ``extraction.compile`` its network, the attribute ``model``, is compiled in place.
        extraction: autocast and compilation; every batch has its `batch_size`.
        flip: average with the features of the mirror image.
        device: torch device name.

        owner: the plugin that the backbone comes from, which is named where it fails.

    Raises:
        ConfigError: the backbone has no network that torch could compile.
    """

    def __init__(
        self, backbone: Backbone, extraction: Extraction, *, flip: bool, device: str, owner: Owner = UNKNOWN
    ) -> None:
        self._backbone = backbone
        self._owner = owner
        self._extraction = extraction
        self._flip = flip
        self._device = torch.device(device)
        self._normalise = Normaliser(backbone.preprocess, device)
        if extraction.compile:
            _compile(backbone)

    def __call__(self, batch: Loaded, rows: Samples) -> tuple[Tensor, Tensor | None]:
        """Features f32[count, dim] of the batch's first `count` rows and, where they vary, lengths i64[count].

        Args:
            rows: what ``batch.index`` refers to.

        Raises:
            ConfigError: the network cannot be compiled here.
            PluginError: the backbone fails, or gave another shape.
        """
        inputs = Batch(
            inputs=self._normalise(batch.images),
            rates=rows.rates[batch.index],
            camids=rows.camids[batch.index],
            modality=rows.modality,
        )
        with self._arithmetic():
            x, dims = self._features(inputs)
        return x[: batch.count], None if dims is None else dims[: batch.count]

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self._extraction.amp == "off":
            return nullcontext() if self._extraction.compile else linear_layers()
        return torch.autocast(self._device.type, dtype=half_dtype(self._extraction.amp))

    def _features(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        encoded = self._encode(batch)
        shape, wanted = tuple(encoded.x.shape), (self._extraction.batch_size, self._backbone.dim)
        if shape != wanted:
            raise PluginError(f"{self._owner} failed at extract: it gave features {shape}, expected {wanted}")
        x = encoded.x.float()
        if self._flip:
            x = (x + self._encode(attrs.evolve(batch, inputs=batch.inputs.flip(-1))).x.float()) / 2
        return x, encoded.dims

    def _encode(self, batch: Batch) -> Encoded:
        # Memory that runs out is no failure of the backbone, as smaller batches may do.
        no_failures: tuple[type[BaseException], ...] = (torch.cuda.OutOfMemoryError,)
        if not self._extraction.compile:
            with plugin_stage(self._owner, "extract", passing=no_failures):
                return self._backbone.extract(batch)
        from torch._dynamo.exc import TorchDynamoException

        try:
            with plugin_stage(self._owner, "extract", passing=(*no_failures, TorchDynamoException)):
                return self._backbone.extract(batch)
        except TorchDynamoException as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"torch.compile failed ({reason}); leave out --compile") from error


def _compile(backbone: Backbone) -> None:
    if not isinstance(backbone, HoldsNetwork) or not isinstance(backbone.model, nn.Module):
        raise ConfigError(f"{type(backbone).__name__} has no torch network to compile; leave out --compile")
    # All batches have one shape, so that one compilation serves all.
    backbone.model.compile(dynamic=False)

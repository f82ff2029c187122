"""Step 4, second part: a batch of images on the device to features."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from crbench.api.capabilities import HasInferenceForm, HoldsNetwork
from crbench.api.interfaces import Backbone
from crbench.config.amp import half_dtype
from crbench.data.preprocess import Normaliser
from crbench.denormals import denormals_flushed
from crbench.errors import ConfigError, PluginError
from crbench.harness.extract.pipeline import Loaded
from crbench.linear import linear_layers
from crbench.records import Batch, Encoded, Samples
from crbench.registry.contract import close, fault, other_companions, other_draws
from crbench.registry.guard import UNKNOWN, Owner, plugin_stage
from crbench.results import Extraction


class Forward:
    """A backbone as extraction calls it: normalises, runs the network as `extraction` says, averages mirror images.

    Args:
        backbone: with ``extraction.compile`` its network, the attribute ``model``, is compiled in place; otherwise its
            form for inference is taken, where it has one.
        extraction: autocast and compilation; every batch has its `batch_size`.
        flip: average with the features of the mirror image.
        device: torch device name.

        owner: the plugin that the backbone comes from, which is named where it fails.

    Raises:
        ConfigError: the backbone has no network that torch could compile.
        PluginError: its form for inference fails, or is none.
    """

    def __init__(
        self, backbone: Backbone, extraction: Extraction, *, flip: bool, device: str, owner: Owner = UNKNOWN
    ) -> None:
        self._owner = owner
        self._checked = False
        self._extraction = extraction
        self._flip = flip
        self._device = torch.device(device)
        self._normalise = Normaliser(backbone.preprocess, device)
        if extraction.compile:
            _compile(backbone)
        self._backbone = backbone if extraction.compile else self._inference_form(backbone)

    def __call__(self, batch: Loaded, rows: Samples) -> tuple[Tensor, Tensor | None]:
        """Features f32[count, dim] of the batch's first `count` rows and, where they vary, lengths i64[count].

        Args:
            rows: what ``batch.index`` refers to.

        Raises:
            ConfigError: the network cannot be compiled here.
            PluginError: the backbone fails, or breaks its contract.
        """
        inputs = Batch(
            inputs=self._normalise(batch.images),
            rates=rows.rates[batch.index],
            camids=rows.camids[batch.index],
            modality=rows.modality,
        )
        with self._arithmetic(), denormals_flushed():
            x, dims = self._features(inputs)
        return x[: batch.count], None if dims is None else dims[: batch.count]

    def _inference_form(self, backbone: Backbone) -> Backbone:
        if not isinstance(backbone, HasInferenceForm):
            return backbone
        with plugin_stage(self._owner, "for_inference"):
            found: object = backbone.for_inference()
        if not isinstance(found, Backbone) or (found.dim, found.preprocess) != (backbone.dim, backbone.preprocess):
            raise self._fault(f"for_inference gave {type(found).__name__}; expected the backbone in another form")
        return found

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self._extraction.amp == "off":
            return nullcontext() if self._extraction.compile else linear_layers()
        return torch.autocast(self._device.type, dtype=half_dtype(self._extraction.amp))

    def _features(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        given = None if self._checked else batch.inputs.clone()
        encoded = self._encode(batch)
        if given is not None:
            self._check(given, batch, encoded)
            self._checked = True
        x = encoded.x.float()
        if self._flip:
            x = (x + self._encode(attrs.evolve(batch, inputs=batch.inputs.flip(-1))).x.float()) / 2
        return x, encoded.dims

    def _check(self, given: Tensor, batch: Batch, encoded: Encoded) -> None:
        """Look at the first batch closely; all others are computed in the same way.

        Args:
            given: a copy of the inputs as the backbone got them.
        """
        if not torch.equal(batch.inputs, given):
            raise self._fault("it changed the images that it was given")
        rows = other_companions(np.zeros(len(given), dtype=np.float32))  # each place keeps its rate and camera
        with other_draws():
            again = self._encode(attrs.evolve(batch, inputs=given[torch.from_numpy(rows).to(given.device)]))
        kept = np.flatnonzero(rows == np.arange(len(rows)))
        dims = [None if some.dims is None else some.dims[kept].tolist() for some in (encoded, again)]
        if not (dims[0] == dims[1] and close(again.x[kept], encoded.x[kept])):
            raise self._fault(
                "the feature of an image depends on the others of its batch; is the network in evaluation mode?"
            )

    def _fault(self, what: str) -> PluginError:
        return PluginError(f"{self._owner} failed at extract: {what}")

    def _encode(self, batch: Batch) -> Encoded:
        """Features of a batch that are of the right form, in memory of their own: a backbone may use its own again."""
        encoded: object = self._extract(batch)
        if not isinstance(encoded, Encoded):
            raise self._fault(f"it gave a {type(encoded).__name__}; expected Encoded")
        count, half = self._extraction.batch_size, half_dtype(self._extraction.amp)
        dtypes = (torch.float32,) if half is None else (torch.float32, half)
        wrong = fault(encoded.x, encoded.dims, count=count, device=self._device, dtypes=dtypes, finite=False)
        if wrong:
            raise self._fault(wrong)
        if encoded.x.shape[1] != self._backbone.dim:
            raise self._fault(f"it gave features {tuple(encoded.x.shape)}; expected {(count, self._backbone.dim)}")
        return Encoded(x=encoded.x.clone(), dims=None if encoded.dims is None else encoded.dims.clone())

    def _extract(self, batch: Batch) -> Encoded:
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

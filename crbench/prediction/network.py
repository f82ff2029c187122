"""What a network costs, counted on tensors that have shapes and no values: nothing is computed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from crbench.api.interfaces import Backbone, Precomputed
from crbench.errors import PluginError
from crbench.harness.costs import count_flops, network_parameters
from crbench.records import Batch, Samples
from crbench.registry.guard import Owner, plugin_stage


@attrs.frozen
class NetworkNeeds:
    """What a backbone needs for one image; None = not known, as torch does not see what it does.

    Attributes:
        macs: multiply-accumulate operations, as `crbench.harness.costs.NetworkCost` counts them.
        activation_bytes: of the tensors that live at once inside, at most.
    """

    macs: int | None = None
    activation_bytes: int | None = None

    @classmethod
    def of(cls, backbone: Backbone | Precomputed, rows: Samples, device: str, owner: Owner) -> NetworkNeeds:
        """The needs of a backbone on a device.

        Args:
            rows: the first one gives the image's rate and camera.
            owner: the plugin that the backbone comes from.
        """
        if isinstance(backbone, Precomputed) or network_parameters(backbone, owner) is None or not len(rows):
            return cls()
        live = _Live()
        try:
            with plugin_stage(owner, "extract", passing=()), FakeTensorMode(allow_non_fake_inputs=True):
                batch = Batch(
                    inputs=torch.zeros(1, 3, *backbone.preprocess.size, device=device),
                    rates=rows.rates[:1],
                    camids=rows.camids[:1],
                    modality=rows.modality,
                )
                flops = count_flops(lambda: _watched(live, backbone, batch))
        except PluginError:  # what needs values cannot be counted without them
            return cls()
        return cls(macs=flops // 2 or None, activation_bytes=live.most or None)


def _watched(live: _Live, backbone: Backbone, batch: Batch) -> None:
    with live:
        backbone.extract(batch)


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of the tensors that are alive; `most` is the largest sum."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = self._now = 0
        self._sharers: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                self._note(leaf)
        return found

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._sharers:
            self._now += size
            self.most = max(self.most, self._now)
        self._sharers[key] = self._sharers.get(key, 0) + 1
        weakref.finalize(tensor, self._leave, key, size).atexit = False

    def _leave(self, key: int, size: int) -> None:
        self._sharers[key] -= 1
        if not self._sharers[key]:
            del self._sharers[key]
            self._now -= size

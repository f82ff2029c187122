"""Batch normalisation folded into the layers before it, for networks that are applied and not trained.

In evaluation mode it multiplies each channel by a constant and adds another one. A convolution or linear layer before
it can do both by other weights, which saves two passes over its output.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

Network = TypeVar("Network", bound=nn.Module)

_CALLS = (functional.conv1d, functional.conv2d, functional.conv3d, functional.linear)
_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(
    network: Network, *example: Tensor, rest: Mapping[type[nn.Module], Callable[[Any], nn.Module]] | None = None
) -> Network:
    """A copy of a network in evaluation mode whose batch normalisations are folded, where that changes nothing else.

    One is folded if its input comes from a convolution or linear layer with weights of its own, and goes nowhere else.
    What the network does is looked at while it computes `example`. Outputs are equal but for roundings; folded weights
    are computed in float64. `network` is unchanged; it is given back where there is nothing to fold.

    Args:
        example: inputs by which each layer is called as it always is; one image is enough.
        rest: for a subclass of torch's batch normalisation what remains to be done of a module of it, such as its
            activation; other subclasses are left as they are.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
        >>> folded(network, torch.zeros(1, 3, 8, 8))
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
          (2): ReLU()
        )
    """
    left = dict.fromkeys(_NORMS, _nothing) | dict(rest or {})
    pairs = [pair for pair in _pairs(network, _calls(network, example)) if type(pair[1]) in left]
    if not pairs:
        return network
    names = {id(module): name for name, module in network.named_modules()}
    made = copy.deepcopy(network)
    for layer, norm in pairs:
        place = names[id(norm)]
        own = made.get_submodule(place)
        _fold(made.get_submodule(names[id(layer)]), own)
        parent, _, name = place.rpartition(".")
        setattr(made.get_submodule(parent), name, left[type(norm)](own))
    return made


def _nothing(_: nn.Module) -> nn.Module:
    return nn.Identity()


@attrs.frozen(eq=False)
class _Call:
    """Arguments of a layer or batch normalisation by name, and its result."""

    given: Mapping[str, Any]
    result: Tensor

    @classmethod
    def of(cls, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any] | None, result: Tensor) -> _Call:
        """The first arguments by their `names`, and those that were given by name."""
        return cls({**dict(zip(names, args, strict=False)), **(kwargs or {})}, result)


class _Calls(TorchFunctionMode):
    """Notes what is called inside.

    Attributes:
        layers, norms: calls of convolutions and linear layers, and of batch normalisations.
        used: by ``id``, how many functions that give tensors, or the caller, took a tensor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[_Call] = []
        self.norms: list[_Call] = []
        self.used: Counter[int] = Counter()
        self._kept: list[object] = []  # no two tensors have one id as long as all are there

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if _ids(result):
            self._kept.append((args, kwargs, result))
            self.used.update(_ids((args, kwargs)))
        if func in _CALLS:
            self.layers.append(_Call.of(("input", "weight", "bias"), args, kwargs, result))
        elif func is functional.batch_norm:
            self.norms.append(_Call.of(("input", "running_mean"), args, kwargs, result))
        return result


def _calls(network: nn.Module, example: Sequence[Tensor]) -> _Calls:
    calls = _Calls()
    with torch.no_grad(), calls:
        result = network(*example)
    calls.used.update(_ids(result))
    return calls


def _ids(tree: object) -> set[int]:
    """The ``id`` of each tensor in nested containers."""
    return {id(leaf) for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}


def _pairs(network: nn.Module, calls: _Calls) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Layers and the batch normalisations that can be folded into them, each called once."""
    layers = _by_tensor((module, module.weight) for module in network.modules() if isinstance(module, _LAYERS))
    norms = _by_tensor((module, module.running_mean) for module in network.modules() if isinstance(module, _NORMS))
    often = Counter(id(call.given.get("weight")) for call in calls.layers)
    often.update(id(call.given.get("running_mean")) for call in calls.norms)
    before = {id(call.result): call for call in calls.layers if call.result.ndim != 3 or call.given["weight"].ndim > 2}
    for call in calls.norms:
        x, mean = call.given["input"], call.given.get("running_mean")
        norm, made_by = norms.get(id(mean)), before.get(id(x))
        if norm is None or made_by is None or calls.used[id(x)] > 1 or norm.training:
            continue
        weight = made_by.given["weight"]
        layer = layers.get(id(weight))
        once = often[id(weight)] == often[id(mean)] == 1
        if layer is not None and once and made_by.given.get("bias") is layer.bias:
            yield layer, norm


def _by_tensor(owners: Iterable[tuple[Any, Tensor | None]]) -> dict[int, Any]:
    """Modules by the ``id`` of a tensor that is theirs alone."""
    found = list(owners)
    count = Counter(id(tensor) for _, tensor in found)
    return {id(tensor): module for module, tensor in found if tensor is not None and count[id(tensor)] == 1}


def _fold(layer: Any, norm: Any) -> None:
    """Change weights and bias of `layer` so that it does what `norm` did after it."""
    fuse: Callable[..., Any] = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
    parts = (layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    wide = [part.detach().double() if isinstance(part, Tensor) else part for part in parts]
    weight, bias = fuse(*wide)
    dtype = layer.weight.dtype
    layer.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    layer.bias = nn.Parameter(bias.to(dtype), requires_grad=False)

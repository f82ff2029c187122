"""Fitted VPFA: the module of each domain, applied to LR rows only."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Literal

import attrs
import torch
from torch import Tensor

from crbench.api import Domain, TestFeatures, domains_key, linear_layers, map_by_domain, parse_domains
from crbench.errors import ConfigError, DataError
from crbench_vpfa.module import Gate, VectorPanning

Precision = Literal["float32", "bf16"]

BLOCK_ROWS = {"cpu": 1024, "cuda": 8192}
"""Rows per forward pass: on a CPU what its caches hold, on a GPU enough to fill it; other devices as the CPU."""


@attrs.frozen(eq=False)
class PanningTransform:
    """Maps the rows of each trained domain, and of LR domains like them; HR rows come back bit for bit.

    Attributes:
        modules: for each group of source domains the module that serves it; a shared module has one group.
        precision: of the network's arithmetic; weights are kept, and offsets added to the features, in float32.
        compile: let ``torch.compile`` fuse the network's LayerNorm, ReLU, gate and sum.
    """

    modules: Mapping[tuple[Domain, ...], VectorPanning]
    precision: Precision = "float32"
    compile: bool = False
    _ready: dict[tuple[int, torch.device], Callable[[Tensor], Tensor]] = attrs.field(factory=dict, init=False)

    @property
    def parameter_count(self) -> int:
        """Learned values of all modules."""
        return sum(module.parameter_count() for module in self.modules.values())

    @torch.no_grad()
    def __call__(self, feats: TestFeatures) -> TestFeatures:
        """Map LR rows, those of each module in one pass; an unseen rate by the nearest trained one.

        See `crbench.api.nearest_domain`.

        Raises:
            DataError: the features have another length than those that the module was fitted on.
            ConfigError: the network cannot be compiled here.
        """
        return map_by_domain(feats, self.modules, self._mapped)

    def _mapped(self, module: VectorPanning, x: Tensor) -> Tensor:
        if module.dim != x.shape[1]:
            raise DataError(f"vpfa: features have {x.shape[1]} columns, but it was fitted on {module.dim}")
        pan = self._prepared(module, x.device)
        rows = BLOCK_ROWS.get(x.device.type, BLOCK_ROWS["cpu"])
        if not self.compile:
            with linear_layers():
                return torch.cat([pan(block) for block in torch.split(x, rows)])
        # A compiled network is made for one shape; rows that fill up the last block are thrown away.
        filled = torch.nn.functional.pad(x, (0, 0, 0, -len(x) % rows))
        return torch.cat([_compiled(pan, block) for block in torch.split(filled, rows)])[: len(x)]

    def _prepared(self, module: VectorPanning, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The module on a device, in this precision."""
        key = id(module), device
        if key not in self._ready:
            pan = module.to(device) if self.precision == "float32" else _in_bf16(module, device)
            self._ready[key] = torch.compile(pan, dynamic=False) if self.compile else pan
        return self._ready[key]

    def state(self) -> dict[str, Tensor]:
        """All weights, each under the domains that it serves: ``rgb@2.0+rgb@3.0/model.0.weight``."""
        return {
            f"{domains_key(domains)}/{name}": tensor
            for domains, module in self.modules.items()
            for name, tensor in module.state_dict().items()
        }


def _in_bf16(module: VectorPanning, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A copy of the module whose offset is computed in bfloat16 and added to the feature in float32."""
    network, residual = copy.deepcopy(module.model).to(device, torch.bfloat16), module.residual

    def pan(z: Tensor) -> Tensor:
        offset: Tensor = network(z.to(torch.bfloat16)).float()
        return z + offset if residual else offset

    return pan


def _compiled(pan: Callable[[Tensor], Tensor], block: Tensor) -> Tensor:
    from torch._dynamo.exc import TorchDynamoException

    try:
        return pan(block)
    except TorchDynamoException as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"vpfa: torch.compile failed ({reason}); set vpfa.compile=false") from error


def from_state(state: Mapping[str, Tensor], *, gate: Gate, residual: bool) -> PanningTransform:
    """The transform that had this state; gate and residual leave no trace in it and must be told.

    Raises:
        DataError: names, shapes or values are not those of such a transform.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        domains, _, name = key.rpartition("/")
        groups.setdefault(domains, {})[name] = tensor
    if not groups:
        raise DataError("vpfa weights: there are no tensors; expected e.g. 'rgb@2.0/model.0.weight'")
    modules = {
        parse_domains(domains): module_from(own, gate=gate, residual=residual, origin=f"state of {domains}")
        for domains, own in groups.items()
    }
    return PanningTransform(modules)


def module_from(tensors: Mapping[str, Tensor], *, gate: Gate, residual: bool, origin: str) -> VectorPanning:
    """A module with these weights; feature length, width and number of blocks are read from the shapes.

    Raises:
        DataError: a tensor is missing, unexpected, of another shape or not finite; `origin` names it in the message.
    """
    linear = [tensor for name, tensor in tensors.items() if name.endswith("weight") and tensor.ndim == 2]
    first = tensors.get("model.0.weight")
    if first is None or first.ndim != 2 or len(linear) < 2:
        raise DataError(
            f"vpfa weights ({origin}): expected 'model.0.weight' [hidden, D] and the layers after it, "
            f"found {', '.join(list(tensors)[:3]) or 'nothing'}"
        )
    hidden, dim = first.shape
    module = VectorPanning(dim, hidden=hidden, blocks=len(linear) - 1, gate=gate, residual=residual)
    wanted = module.state_dict()
    odd = sorted(wanted.keys() ^ tensors.keys())
    if odd:
        raise DataError(f"vpfa weights ({origin}): missing or unexpected: {', '.join(odd[:3])}")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise DataError(
                f"vpfa weights ({origin}): {name} has shape {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise DataError(f"vpfa weights ({origin}): {name} holds NaN or infinite values")
    module.load_state_dict(tensors)
    return module.eval().requires_grad_(False)

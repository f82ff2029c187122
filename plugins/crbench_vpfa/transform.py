"""Fitted VPFA: the module of each domain, applied to LR rows only."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from crbench.domains import domains_key, map_by_domain, parse_domains
from crbench.errors import DataError
from crbench.records import Domain, Features
from crbench_vpfa.module import Gate, VectorPanning


@attrs.frozen(eq=False)
class PanningTransform:
    """Maps the rows of each trained domain, and of LR domains like them; HR rows come back bit for bit.

    Attributes:
        modules: for each group of source domains the module that serves it; a shared module has one group.
        batch_size: rows per forward pass.
    """

    modules: Mapping[tuple[Domain, ...], VectorPanning]
    batch_size: int = 1024

    @property
    def parameter_count(self) -> int:
        """Learned values of all modules."""
        return sum(module.parameter_count() for module in self.modules.values())

    @torch.no_grad()
    def __call__(self, feats: Features) -> Features:
        """Map LR rows, each domain by its own module, an unseen rate by the nearest trained one (see `nearest_domain`).

        Raises:
            DataError: the features have another length than those that the module was fitted on.
        """
        return map_by_domain(feats, self.modules, self._mapped)

    def _mapped(self, module: VectorPanning, x: Tensor) -> Tensor:
        if module.dim != x.shape[1]:
            raise DataError(f"vpfa: features have {x.shape[1]} columns, but it was fitted on {module.dim}")
        module.to(x.device)
        return torch.cat([module(part) for part in torch.split(x, self.batch_size)])

    def state(self) -> dict[str, Tensor]:
        """All weights, each under the domains that it serves: ``rgb@2.0+rgb@3.0/model.0.weight``."""
        return {
            f"{domains_key(domains)}/{name}": tensor
            for domains, module in self.modules.items()
            for name, tensor in module.state_dict().items()
        }


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

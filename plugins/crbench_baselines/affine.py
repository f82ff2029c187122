"""A fitted affine map per domain: what every closed-form aligner amounts to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import torch
from torch import Tensor

from crbench.api import Domain, TestFeatures, domains_key, map_by_domain, parse_domains
from crbench.errors import DataError


@attrs.frozen(eq=False)
class Affine:
    """``x @ weight + bias`` with a matrix as weight, ``x * weight + bias`` with a vector, ``x + bias`` without.

    Attributes:
        bias: f32[D] once fitted; solvers give f64[D].
        weight: [D], [D, D] or None, of the same type.
    """

    bias: Tensor
    weight: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Map [n, D] to [n, D]."""
        if self.weight is None:
            return x + self.bias
        if self.weight.ndim == 1:
            return x * self.weight + self.bias
        return x @ self.weight + self.bias

    def float(self) -> Affine:
        """The map in float32, each tensor with storage of its own."""
        return self._each(lambda tensor: tensor.float().contiguous())

    def to(self, device: torch.device) -> Affine:
        """The map on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Affine:
        return Affine(change(self.bias), None if self.weight is None else change(self.weight))


def _mapped(mapping: Affine, x: Tensor) -> Tensor:
    if len(mapping.bias) != x.shape[1]:
        raise DataError(f"features have {x.shape[1]} columns, but the map was fitted on {len(mapping.bias)}")
    return mapping.to(x.device)(x)


@attrs.frozen(eq=False)
class AffineTransform:
    """Maps the rows of each source domain by its own map, an unseen rate by the nearest trained one.

    HR rows, and rows of a modality that was not trained, come back bit for bit (see `nearest_domain`).
    """

    maps: Mapping[tuple[Domain, ...], Affine]

    @property
    def parameter_count(self) -> int:
        """Number of fitted values."""
        return sum(tensor.numel() for tensor in self.state().values())

    def __call__(self, feats: TestFeatures) -> TestFeatures:
        """Same rows, mapped.

        Raises:
            DataError: the features have another length than those that the maps were fitted on.
        """
        return map_by_domain(feats, self.maps, _mapped)

    def state(self) -> dict[str, Tensor]:
        """Weights and biases, each under the domains that it serves: ``rgb@2.0/bias``."""
        return {
            f"{domains_key(domains)}/{name}": tensor
            for domains, mapping in self.maps.items()
            for name, tensor in (("bias", mapping.bias), ("weight", mapping.weight))
            if tensor is not None
        }


def from_state(state: Mapping[str, Tensor]) -> AffineTransform:
    """The transform that had this state.

    Raises:
        DataError: it is not the state of such a transform.
    """
    groups = dict.fromkeys(key.rpartition("/")[0] for key in state)
    lacking = [group for group in groups if f"{group}/bias" not in state]
    if lacking:
        raise DataError(f"state of an affine map lacks '{lacking[0]}/bias'; it holds {', '.join(list(state)[:3])}")
    return AffineTransform(
        {parse_domains(group): Affine(state[f"{group}/bias"], state.get(f"{group}/weight")) for group in groups}
    )

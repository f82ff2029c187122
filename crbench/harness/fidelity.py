"""How alike the features of the same images are that were computed in two ways: another arithmetic, another export."""

from __future__ import annotations

from typing import Self

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

_LEAST = float(torch.finfo(torch.float64).tiny)
"""Shorter features count as zero; those of float32 are longer."""

_ROWS = 1024
"""Rows whose similarities to all others are held at once."""

_TRIPLES = 1 << 17
"""Triples of images, about, of which it is asked whether the second or the third is nearer to the first."""


@attrs.frozen(eq=False)
class Fidelity:
    """Features of n images beside those of another computation of the same images, compared by cosine.

    Attributes:
        cosines: f64[n], of the two features of each image.
        nearest: i64[2, n], by either computation the nearest other image of each image.
        swapped: share of triples of images in which the two computations disagree which of two images is nearer to
            the third; drawn from a fixed seed.

    Example:
        >>> x = torch.eye(3)
        >>> Fidelity.of(x, 2 * x).flips
        0
    """

    cosines: NDArray[np.float64]
    nearest: NDArray[np.int64]
    swapped: float

    @classmethod
    def of(cls, one: Tensor, other: Tensor) -> Self:
        """Compare f32[n, D] with f32[n, D], n at least 2, in float64.

        Raises:
            ValueError: other shapes.
        """
        if one.shape != other.shape or one.ndim != 2 or len(one) < 2:
            raise ValueError(f"features {tuple(one.shape)} and {tuple(other.shape)}; expected twice the same (n, D)")
        sides = [normalize(side.double().cpu(), eps=_LEAST) for side in (one, other)]
        generator = torch.Generator().manual_seed(0)
        others = torch.randint(len(one), (2, len(one), -(-_TRIPLES // len(one))), generator=generator)
        seen = [_seen(x, *others) for x in sides]
        return cls(
            cosines=(sides[0] * sides[1]).sum(dim=1).numpy(),
            nearest=np.stack([nearest.numpy() for nearest, _ in seen]),
            swapped=float((seen[0][1] != seen[1][1]).double().mean()),
        )

    def __len__(self) -> int:
        return len(self.cosines)

    @property
    def flips(self) -> int:
        """Images whose nearest other image is another one."""
        return int((self.nearest[0] != self.nearest[1]).sum())

    @property
    def worst(self) -> int:
        """The image whose two features are least alike."""
        return int(self.cosines.argmin())


def _seen(x: Tensor, second: Tensor, third: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest other row of each unit row, and which of two further ones is nearer.

    Args:
        second, third: i64[n, k], rows of which one is nearer to row i.

    Returns:
        i64[n]: the most similar other row; of equal ones the first. bool[n, k]: whether the second is nearer.
    """
    nearest, nearer = [], []
    for start in range(0, len(x), _ROWS):
        similar = x[start : start + _ROWS] @ x.T
        part = slice(start, start + len(similar))
        nearer.append(similar.gather(1, second[part]) > similar.gather(1, third[part]))
        rows = torch.arange(len(similar))
        similar[rows, start + rows] = -torch.inf
        nearest.append(similar.argmax(dim=1))
    return torch.cat(nearest), torch.cat(nearer)

"""`TransReID`: the transformer, the jigsaw patch module and the BN necks."""

from __future__ import annotations

import copy

import attrs
import torch
from attrs import validators as v
from torch import Tensor, nn

from crbench.training import identity_classifier
from crbench_transreid.vit import ARCHITECTURES, PATCH, Architecture, VisionTransformer, grid

CHUNKS = 4
"""Number of local features."""


class TransReID(nn.Module):
    """He et al., ICCV 2021; the state dict has the keys of the released checkpoints.

    Args:
        size: (height, width) of the images in pixels.
        stride: distance of patches in pixels.
        classes: number of training identities; 0 = no classifiers.
        side: number of side information embeddings; 0 = none.
        coefficient: factor of the side information.
        jpm: use the jigsaw patch module.
        shift: of the jigsaw patch module, counted as in the paper's code; see `jigsaw_order`.
        drop_path: see `crbench_transreid.vit.VisionTransformer`.

    Attributes:
        dim: feature length: the width, or five times the width with the jigsaw patch module.

    Raises:
        ValueError: too few patches for the jigsaw patch module.
    """

    def __init__(
        self,
        architecture: Architecture,
        size: tuple[int, int],
        *,
        stride: int = 16,
        classes: int = 0,
        side: int = 0,
        coefficient: float = 3.0,
        jpm: bool = False,
        shift: int = 5,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        rows, columns = grid(size, stride)
        if jpm and rows * columns < max(CHUNKS, shift):
            raise ValueError(f"size: {rows} x {columns} patches are too few for the jigsaw patch module, shift {shift}")
        self.base = VisionTransformer(
            architecture, size, stride=stride, side=side, coefficient=coefficient, split_last=jpm, drop_path=drop_path
        )
        self.jpm = jpm
        self.shift = shift
        self.dim = architecture.width * (1 + CHUNKS * jpm)
        if jpm:
            self.split()
        for name in self._branches():
            self.add_module(f"bottleneck{name}", nn.BatchNorm1d(architecture.width))
        if classes:
            self.classify(classes)

    def split(self) -> None:
        """Start both branches of the jigsaw patch module as copies of the last block and norm."""
        self.b1 = copy.deepcopy(nn.Sequential(self.base.blocks[-1], self.base.norm))
        self.b2 = copy.deepcopy(self.b1)

    def classify(self, classes: int) -> None:
        """A new classifier of so many identities for each neck, in place of any there is."""
        for name in self._branches():
            self.add_module(f"classifier{name}", identity_classifier(self.base.norm.normalized_shape[0], classes))

    def forward(self, images: Tensor, side: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features before and after the necks, each f32[b, dim]: global, then the local ones divided by 4.

        Args:
            images: f32[b, 3, height, width].
            side: f32[b, width], side information, such as ``model.base.sie_embed[cameras, 0]``.

        Raises:
            ValueError: side information for a network without it, or none for one with it.
        """
        before = self.parts(images, side)
        return _joined(before), _joined(self.necks(before))

    def parts(self, images: Tensor, side: Tensor | None = None) -> list[Tensor]:
        """The global feature, then the local ones, f32[b, width] each, before the necks; arguments as in `forward`."""
        if (side is None) != (self.base.sie_embed is None):
            wanted = "no" if side is not None else "an"
            raise ValueError(f"side: this network takes {wanted} embedding of side information per image")
        tokens = self.base(images, side)
        return [self.b1(tokens)[:, 0], *self._local(tokens)] if self.jpm else [tokens[:, 0]]

    def necks(self, parts: list[Tensor]) -> list[Tensor]:
        """What the BN necks make of `parts`."""
        return [self._branch("bottleneck", name)(part) for name, part in zip(self._branches(), parts, strict=True)]

    def logits(self, after: list[Tensor]) -> list[Tensor]:
        """f32[b, classes] of the classifier behind each of the `necks`."""
        return [self._branch("classifier", name)(part) for name, part in zip(self._branches(), after, strict=True)]

    def _branches(self) -> list[str]:
        return ["", *(f"_{i}" for i in range(1, CHUNKS + 1) if self.jpm)]

    def _branch(self, kind: str, name: str) -> nn.Module:
        return self.get_submodule(f"{kind}{name}")

    def _local(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Local features, f32[b, width] each: the class token beside a quarter of the shuffled patches (Sec. 3.3)."""
        patches = tokens[:, 1:]
        length = patches.shape[1] // CHUNKS
        order = jigsaw_order(patches.shape[1], self.shift)[: CHUNKS * length]
        chunks = [torch.cat([tokens[:, :1], chunk], dim=1) for chunk in patches[:, order].chunk(CHUNKS, dim=1)]
        local: Tensor = self.b2(torch.cat(chunks))[:, 0]
        return local.chunk(CHUNKS)


@attrs.frozen(kw_only=True)
class Network:
    """The shape of a `TransReID`, but for what its training data decide.

    Attributes:
        architecture: a name of `crbench_transreid.vit.ARCHITECTURES`.
        size: (height, width) of the input in pixels.
        stride: distance of patches in pixels, 1 to 16.
        sie_coefficient: factor of the side information.
        jpm: use the jigsaw patch module.
        shift: of the jigsaw patch module; see `jigsaw_order`.
        drop_path: probability that training leaves out a branch of the last block; it falls to 0 at the first.

    Raises:
        ValueError: a value out of range.
    """

    architecture: str = attrs.field(default="vit-base", validator=v.in_(tuple(ARCHITECTURES)))
    size: tuple[int, int] = attrs.field(default=(256, 128), validator=v.deep_iterable(v.ge(PATCH)))
    stride: int = attrs.field(default=16, validator=[v.ge(1), v.le(PATCH)])
    sie_coefficient: float = 3.0
    jpm: bool = False
    shift: int = attrs.field(default=5, validator=v.ge(1))
    drop_path: float = 0.1

    def build(self, *, classes: int = 0, side: int = 0) -> TransReID:
        """The network with initial values from torch's generator; see `TransReID`."""
        return TransReID(
            ARCHITECTURES[self.architecture],
            self.size,
            stride=self.stride,
            classes=classes,
            side=side,
            coefficient=self.sie_coefficient,
            jpm=self.jpm,
            shift=self.shift,
            drop_path=self.drop_path,
        )


def jigsaw_order(count: int, shift: int) -> list[int]:
    """The order in which the jigsaw patch module deals `count` patches: rolled, then shuffled in two groups.

    The patches are rolled by ``shift - 1``, as the public code counts `shift` with the class token in front. An odd
    list gets its second-last patch once more at its end. Then both halves alternate.

    Example:
        >>> jigsaw_order(6, shift=3)
        [2, 5, 3, 0, 4, 1]
    """
    rolled = [*range(shift - 1, count), *range(shift - 1)]
    if count % 2:
        rolled.append(rolled[-2])
    half = len(rolled) // 2
    return [index for pair in zip(rolled[:half], rolled[half:], strict=True) for index in pair]


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat([parts[0], *(part / CHUNKS for part in parts[1:])], dim=1)

"""The transformer of TransReID: overlapping patches, side information, blocks; keys as in the released checkpoints."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, cast

import attrs
import numpy as np
import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

PATCH = 16
"""Height and width of a patch in pixels."""

IMAGENET_CLASSES = 1000

LayerNorm: Any = functools.partial(nn.LayerNorm, eps=1e-6)


@attrs.frozen
class Architecture:
    """The shape of a transformer.

    Attributes:
        scale: of the attention scores; None = head length to the power of -0.5.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    scale: float | None = None


ARCHITECTURES: Mapping[str, Architecture] = {
    "vit-base": Architecture(),
    "deit-base": Architecture(),
    # the scale of the whole width, not of a head, as in the weights that it starts from
    "vit-small": Architecture(depth=8, heads=8, mlp_ratio=3.0, qkv_bias=False, scale=768**-0.5),
    "deit-small": Architecture(width=384, heads=6),
    # ours, to train from scratch in minutes
    "vit-tiny": Architecture(width=96, depth=4, heads=4, mlp_ratio=2.0),
}


class PatchEmbed(nn.Module):
    """Patches of 16x16 pixels every `stride` pixels, unpadded, as tokens (He et al., Sec. 3.1)."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=PATCH, stride=stride)

    def forward(self, images: Tensor) -> Tensor:
        """Tokens f32[b, n, width] of images f32[b, 3, height, width], row by row."""
        tokens: Tensor = self.proj(images).flatten(2).transpose(1, 2)
        return tokens


class VisionTransformer(nn.Module):
    """Patches to tokens.

    Args:
        size: (height, width) of the images in pixels.
        side: number of side information embeddings; 0 = none.
        coefficient: factor of the side information.
        split_last: leave out the last block and norm, whose work the two branches of the jigsaw module then do.
        drop_path: probability that training leaves out a branch of the last block; it falls to 0 at the first.

    Attributes:
        fc: the ImageNet classifier that every released checkpoint carries; unused.
    """

    def __init__(
        self,
        architecture: Architecture,
        size: tuple[int, int],
        *,
        stride: int,
        side: int,
        coefficient: float,
        split_last: bool,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        width = architecture.width
        rows, columns = grid(size, stride)
        self.coefficient = coefficient
        self.split_last = split_last
        self.patch_embed = PatchEmbed(width, stride)
        self.cls_token = _small(1, 1, width)
        self.pos_embed = _small(1, rows * columns + 1, width)
        self.sie_embed = _small(side, 1, width) if side else None
        rates = np.linspace(0, drop_path, architecture.depth).tolist()
        self.blocks = nn.ModuleList(build_block(architecture, rate) for rate in rates)
        self.norm = LayerNorm(width)
        self.fc = nn.Linear(width, IMAGENET_CLASSES)

    def forward(self, images: Tensor, side: Tensor | None = None) -> Tensor:
        """Tokens f32[b, 1 + n, width], class token first.

        Args:
            images: f32[b, 3, height, width].
            side: f32[b, width], side information of each image; it is added to all its tokens, times the coefficient.
        """
        tokens = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1) + self.pos_embed
        if side is not None:
            tokens = tokens + self.coefficient * side[:, None]
        for block in self.blocks[:-1] if self.split_last else self.blocks:
            tokens = block(tokens)
        if not self.split_last:
            tokens = self.norm(tokens)
        return cast(Tensor, tokens)


def build_block(architecture: Architecture, drop_path: float = 0.0) -> Block:
    """One transformer block with random weights; training leaves out its branches with probability `drop_path`."""
    block = Block(
        architecture.width,
        architecture.heads,
        mlp_ratio=architecture.mlp_ratio,
        qkv_bias=architecture.qkv_bias,
        drop_path=drop_path,
        norm_layer=LayerNorm,
    )
    if architecture.scale is not None:
        # timm's fused attention knows only the usual scale
        vars(block.attn).update(scale=architecture.scale, fused_attn=False)
    return block


def grid(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Rows and columns of patches in an image of `size`.

    Example:
        >>> grid((256, 128), 12)
        (21, 10)
    """
    return (size[0] - PATCH) // stride + 1, (size[1] - PATCH) // stride + 1


def resize_position(position: Tensor, shape: tuple[int, int]) -> Tensor:
    """Position embeddings of a square grid for another grid: bilinear, corners not aligned, no antialiasing.

    Args:
        position: f32[1, 1 + k * k, width]; the class token's embedding comes first and is kept.
        shape: rows and columns of the new grid.

    Returns:
        f32[1, 1 + rows * columns, width].

    Raises:
        ValueError: the old grid is not square.
    """
    count = position.shape[1] - 1
    edge = int(count**0.5)
    if edge * edge != count:
        raise ValueError(f"position: {count} patches are not a square grid")
    old = position[:, 1:].reshape(1, edge, edge, -1).permute(0, 3, 1, 2)
    new = functional.interpolate(old, size=shape, mode="bilinear", align_corners=False)
    return torch.cat([position[:, :1], new.flatten(2).transpose(1, 2)], dim=1)


def _small(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))

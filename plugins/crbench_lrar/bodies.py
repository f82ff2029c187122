"""Network bodies by name, as stem, units that masks can follow, and head."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from crbench_timm.architectures import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD
from torch import Tensor, nn

from crbench.api import Preprocess

UNITS = ("stages", "blocks")


@attrs.frozen(eq=False)
class Unit:
    """Modules that run one after the other, and the channels that they give."""

    modules: tuple[nn.Module, ...]
    channels: int


class ResNetBody(nn.Module):
    """A timm ResNet; units are its stages or its residual blocks."""

    channels_last = False

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.dim = int(network.num_features)

    def units(self, kind: str) -> list[Unit]:
        """The four stages, or all blocks, first to last."""
        net: Any = self.network
        stages = [net.layer1, net.layer2, net.layer3, net.layer4]
        parts = (
            [(stage,) for stage in stages] if kind == "stages" else [(block,) for stage in stages for block in stage]
        )
        return [Unit(part, _width(part[-1])) for part in parts]

    def stem(self, inputs: Tensor) -> Tensor:
        """Feature maps before the first unit."""
        net: Any = self.network
        maps: Tensor = net.maxpool(net.act1(net.bn1(net.conv1(inputs))))
        return maps

    def head(self, maps: Tensor) -> Tensor:
        """f32[b, dim] of the last unit's maps."""
        return maps.mean(dim=(2, 3))


class SwinBody(nn.Module):
    """A timm Swin transformer; units are its stages or its transformer blocks."""

    channels_last = True

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.dim = int(network.num_features)

    def units(self, kind: str) -> list[Unit]:
        """The four stages, or all blocks (a stage's patch merging belongs to its first), first to last."""
        net: Any = self.network
        widths = [int(info["num_chs"]) for info in net.feature_info]
        if kind == "stages":
            return [Unit((stage,), width) for stage, width in zip(net.layers, widths, strict=True)]
        return [
            Unit((stage.downsample, block) if number == 0 else (block,), width)
            for stage, width in zip(net.layers, widths, strict=True)
            for number, block in enumerate(stage.blocks)
        ]

    def stem(self, inputs: Tensor) -> Tensor:
        """Patch embeddings [b, H, W, C]."""
        net: Any = self.network
        patches: Tensor = net.patch_embed(inputs)
        return patches

    def head(self, maps: Tensor) -> Tensor:
        """f32[b, dim] of the last unit's maps."""
        net: Any = self.network
        normed: Tensor = net.norm(maps)
        return normed.mean(dim=(1, 2))


Body = ResNetBody | SwinBody


@attrs.frozen
class Architecture:
    """A body with what belongs to it.

    Attributes:
        build: gives the body with random weights from torch's generator.
        imagenet: names of ImageNet files in timm's key names, each with the page that has it.
        adapt: turns a file's tensors into those of the body (input size, head).
    """

    preprocess: Preprocess
    build: Callable[[], Body]
    imagenet: Mapping[str, str] = attrs.field(factory=dict)
    adapt: Callable[[Mapping[str, Tensor], nn.Module], Mapping[str, Tensor]] = lambda tensors, _: tensors


def _resnet(name: str) -> Architecture:
    known = ARCHITECTURES[name]
    return Architecture(known.preprocess, lambda: ResNetBody(known.build()), known.imagenet)


def _swin(name: str, *, classes: str = "ms_in22k_ft_in1k") -> Architecture:
    """A Swin transformer at 256x128 with its own strides: the last map is 8x4."""
    size = (256, 128)

    def build() -> Body:
        import timm

        return SwinBody(timm.create_model(name, pretrained=False, num_classes=0, img_size=size))

    def adapt(tensors: Mapping[str, Tensor], network: nn.Module) -> Mapping[str, Tensor]:
        from timm.models.swin_transformer import checkpoint_filter_fn

        with warnings.catch_warnings():
            # timm's resize of position tables warns of an argument of its own that torch will require
            warnings.simplefilter("ignore", UserWarning)
            adapted: Mapping[str, Tensor] = checkpoint_filter_fn(dict(tensors), network)
        return adapted

    file = f"{name}.{classes}.safetensors"
    page = f"https://huggingface.co/timm/{name}.{classes} (model.safetensors)"
    return Architecture(Preprocess(size=size, mean=IMAGENET_MEAN, std=IMAGENET_STD), build, {file: page}, adapt)


def _thin() -> Any:
    """A ResNet of four basic blocks with half the channels of ``resnet-tiny``: one training in a minute on one core."""
    from timm.models.resnet import BasicBlock, ResNet

    block: Any = BasicBlock  # timm annotates the argument as an instance
    return ResNet(block, (1, 1, 1, 1), channels=(16, 32, 64, 128), stem_type="deep", stem_width=8, num_classes=0)


BODIES: Mapping[str, Architecture] = {
    "resnet-tiny": _resnet("resnet-tiny"),
    "resnet-thin": Architecture(ARCHITECTURES["resnet-tiny"].preprocess, lambda: ResNetBody(_thin())),
    "resnet50": _resnet("resnet50"),
    "swin-b": _swin("swin_base_patch4_window7_224"),
    "swin-l": _swin("swin_large_patch4_window7_224"),
}


def _width(module: nn.Module) -> int:
    """Channels that a ResNet stage or block gives: those of its last convolution."""
    return [part.out_channels for part in module.modules() if isinstance(part, nn.Conv2d)][-1]

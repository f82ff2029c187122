"""The network bodies, by name: how each is built, what it wants as input, and where its ImageNet weights come from.

timm is imported when a body is built: its import takes as long as that of torch, and a run that finds its results in
the output folder builds none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from torch import nn

from crbench.api import Preprocess
from crbench.training import Embedder, seeded

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@attrs.frozen
class Architecture:
    """A body with what belongs to it.

    Attributes:
        build: gives the body, with pooled features of length `dim`; its initial weights come from torch's generator.
        imagenet: file names of ImageNet weights in timm's or torchvision's key names, each with the page that has it.
    """

    dim: int
    preprocess: Preprocess
    build: Callable[[], nn.Module]
    imagenet: Mapping[str, str] = attrs.field(factory=dict)


def build_embedder(architecture: Architecture, seed: int) -> Embedder:
    """A body with its BN neck and initial weights from `seed`; torch's global generator is left as it was."""
    with seeded(seed):
        return Embedder(architecture.build(), architecture.dim)


def _resnet_tiny() -> nn.Module:
    from timm.models.resnet import BasicBlock, ResNet

    block: Any = BasicBlock  # timm annotates the argument as an instance
    body = ResNet(block, (1, 1, 1, 1), channels=(32, 64, 128, 256), stem_type="deep", stem_width=16, num_classes=0)
    return _last_stride_one(body)


def _resnet50() -> nn.Module:
    import timm

    return _last_stride_one(timm.create_model("resnet50", pretrained=False, num_classes=0))


def _last_stride_one(body: nn.Module) -> nn.Module:
    """Keep the last stage at the resolution of the one before (Luo et al., CVPRW 2019, Sec. 3.5); no dilation."""
    for module in body.layer4[0].modules():  # type: ignore[index, union-attr]
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    return body


ARCHITECTURES: Mapping[str, Architecture] = {
    "resnet-tiny": Architecture(dim=256, preprocess=Preprocess(size=(128, 64)), build=_resnet_tiny),
    "resnet50": Architecture(
        dim=2048,
        preprocess=Preprocess(size=(256, 128), mean=IMAGENET_MEAN, std=IMAGENET_STD),
        build=_resnet50,
        imagenet={
            "resnet50-0676ba61.pth": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
            "resnet50.a1_in1k.safetensors": "https://huggingface.co/timm/resnet50.a1_in1k (model.safetensors)",
        },
    ),
}

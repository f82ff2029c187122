"""`OSNet`, with the parameter names of the torchreid model zoo, so that its files load as they are."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 512
_STREAMS = 4
_BOTTLENECK = 4
_GATE_REDUCTION = 16


@attrs.frozen
class Variant:
    """One network of the family.

    Attributes:
        channels: of the stem and of the three stages.
        stem_in: the stem normalises instances, not batches.
        blocks: for each block of each stage, where it normalises instances: not at all (``""``), after the residual
            sum (``"out"``, OSNet-IBN), or inside the residual branch (``"in"``, OSNet-AIN).
        nested: the streams carry the names of the OSNet-AIN files, and transitions stand beside the stages.
    """

    channels: tuple[int, int, int, int]
    stem_in: bool = False
    blocks: tuple[tuple[str, str], ...] = (("", ""),) * 3
    nested: bool = False


_FULL = (64, 256, 384, 512)


def _scaled(width: float) -> tuple[int, int, int, int]:
    first, second, third, fourth = (int(width * channels) for channels in _FULL)
    return first, second, third, fourth


def _ain(width: float) -> Variant:
    """Where the search of the TPAMI paper placed instance normalisation."""
    return Variant(_scaled(width), stem_in=True, blocks=(("in", "in"), ("", "in"), ("in", "")), nested=True)


VARIANTS: Mapping[str, Variant] = {
    "x1_0": Variant(_FULL),
    "x0_75": Variant(_scaled(0.75)),
    "x0_5": Variant(_scaled(0.5)),
    "x0_25": Variant(_scaled(0.25)),
    "ibn_x1_0": Variant(_FULL, stem_in=True, blocks=(("out", "out"), ("", ""), ("", ""))),
    "ain_x1_0": _ain(1),
    "ain_x0_75": _ain(0.75),
    "ain_x0_5": _ain(0.5),
    "ain_x0_25": _ain(0.25),
}
"""The paper's widths (ICCV 2019), and its successors with instance normalisation."""


class OSNet(nn.Module):
    """Images f32[b, 3, height, width] to features f32[b, 512], in the range [0, inf): a ReLU comes last."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        stem, *stages = variant.channels
        self.conv1 = Conv(3, stem, 7, stride=2, instance=variant.stem_in)
        self._stages: list[str] = []
        width = stem
        for number, (channels, kinds) in enumerate(zip(stages, variant.blocks, strict=True), start=2):
            layers: list[nn.Module] = [
                Block(width, channels, kinds[0], variant.nested),
                Block(channels, channels, kinds[1], variant.nested),
            ]
            transition = nn.Sequential(Conv(channels, channels), nn.AvgPool2d(2)) if number < 4 else None
            if transition is not None and not variant.nested:
                layers.append(transition)
            self._add(f"conv{number}", nn.Sequential(*layers))
            if transition is not None and variant.nested:
                self._add(f"pool{number}", transition)
            width = channels
        self.conv5 = Conv(width, width)
        self.fc = nn.Sequential(nn.Linear(width, FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU())

    def _add(self, name: str, stage: nn.Module) -> None:
        self.add_module(name, stage)
        self._stages.append(name)

    def forward(self, inputs: Tensor) -> Tensor:
        """Features f32[b, 512]."""
        x = functional.max_pool2d(self.conv1(inputs), 3, stride=2, padding=1)
        for name in self._stages:
            x = self.get_submodule(name)(x)
        x = self.conv5(x).mean(dim=(2, 3))
        features: Tensor = self.fc(x)
        return features


class Conv(nn.Module):
    """Convolution, normalisation and (by default) ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        instance: bool = False,
        norm: bool = True,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        norms = nn.InstanceNorm2d(outputs, affine=True) if instance else nn.BatchNorm2d(outputs)
        self.bn = norms if norm else None
        self._relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """f32[b, outputs, h, w]."""
        x = self.conv(x)
        x = x if self.bn is None else self.bn(x)
        return functional.relu(x) if self._relu else x


class Light(nn.Module):
    """Lite 3x3: a pointwise convolution, then a depthwise one (ICCV 2019, Sec. 3.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """f32[b, channels, h, w]."""
        return functional.relu(self.bn(self.conv2(self.conv1(x))))


class Gate(nn.Module):
    """Unified aggregation gate: channel weights from the pooled input, shared by the streams (Sec. 3.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // _GATE_REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // _GATE_REDUCTION, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`x`, each channel times its weight in [0, 1]."""
        return x * torch.sigmoid(self.fc2(functional.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


class Stream(nn.Module):
    """Several `Light` in a row, under the name that the OSNet-AIN files give them."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """f32[b, channels, h, w]."""
        y: Tensor = self.layers(x)
        return y


class Block(nn.Module):
    """Omni-scale residual block: streams of one to four `Light`, gated and summed (Sec. 3.2)."""

    def __init__(self, inputs: int, outputs: int, instance: str, nested: bool) -> None:
        super().__init__()
        middle = outputs // _BOTTLENECK
        self.conv1 = Conv(inputs, middle)
        streams = [nn.Sequential(*(Light(middle) for _ in range(depth))) for depth in range(1, _STREAMS + 1)]
        if nested:
            self.conv2 = nn.ModuleList(Stream(stream) for stream in streams)
            self._streams = [f"conv2.{number}" for number in range(_STREAMS)]
        else:
            self._streams = [f"conv2{letter}" for letter in "abcd"]
            for name, stream in zip(self._streams, streams, strict=True):
                self.add_module(name, stream[0] if len(stream) == 1 else stream)
        self.gate = Gate(middle)
        self.conv3 = Conv(middle, outputs, norm=instance != "in", relu=False)
        self.downsample = Conv(inputs, outputs, relu=False) if inputs != outputs else None
        self.IN = nn.InstanceNorm2d(outputs, affine=True) if instance else None
        self._inside = instance == "in"

    def forward(self, x: Tensor) -> Tensor:
        """f32[b, outputs, h, w]."""
        narrow = self.conv1(x)
        gated = [self.gate(self.get_submodule(name)(narrow)) for name in self._streams]
        residual = self.conv3(gated[0] + gated[1] + gated[2] + gated[3])
        if self.IN is not None and self._inside:
            residual = self.IN(residual)
        y = residual + (x if self.downsample is None else self.downsample(x))
        if self.IN is not None and not self._inside:
            y = self.IN(y)
        return functional.relu(y)

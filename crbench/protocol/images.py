"""`ImageRules`: what images and their features look like. Keys of cached features hold the group as a whole."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from crbench.protocol.declare import RuleGroup, rule, switch
from crbench.protocol.parse import Codec, Step, parse_codec, parse_degradation, parse_size

KERNELS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
"""Resampling kernels, by Pillow's names."""


@attrs.frozen(kw_only=True)
class ImageRules(RuleGroup):
    """Rules that turn a stored image into the LR or HR image that a network sees, and its output into a feature.

    The rates are no part of them: each row of a split has its own.

    Raises:
        ValueError: a value out of range; the message names the rule.
    """

    title: ClassVar[str] = "Images: what they and their features look like"

    kernel: str = rule("ker", "bilinear", "resampling kernel of LR images, by Pillow's name", values=KERNELS)
    antialias: bool = switch(
        "aa", True, "the kernel is widened by the rate; without, it samples its nearest source pixels only"
    )
    rounding: str = rule(
        "rnd", "floor", "how each side of an LR image becomes whole", values=("floor", "round", "ceil")
    )
    shrink_from: str = rule(
        "from",
        "stored",
        "what is shrunk: the image as it is stored, or resized to this size first by the bilinear kernel (`256x128`: "
        "Wu et al., TIP 2023); of an image that is smaller than that, less is lost",
        values="stored, HEIGHTxWIDTH",
        parse=parse_size,
        option=True,
    )
    degradation: str = rule(
        "deg",
        "none",
        "what LR images suffer beside shrinking, in this order: `blur:SIGMA` (Gaussian, in pixels), `noise:SIGMA` "
        "(Gaussian, in grey levels, drawn from the image's content and rate), `jpeg:QUALITY`; shrinking comes first "
        "unless its place is given, as in `blur:0.8,shrink,noise:4,jpeg:50`",
        values="none, or steps such as blur:1,shrink,noise:4,jpeg:50",
        parse=parse_degradation,
        option=True,
    )
    encoder: str = rule(
        "enc",
        "none",
        "codec that LR images pass after shrinking: none (kept in memory), PNG, or JPEG of a quality",
        values="none, png, jpeg:1 to jpeg:100",
        parse=parse_codec,
    )
    encode_hr: bool = switch("ehr", False, "HR images pass the codec too")
    flip: bool = switch("flip", False, "features of an image and of its mirror image are averaged", test_only=True)

    @property
    def full_size(self) -> tuple[int, int] | None:
        """Height and width to which an image is resized before it is shrunk; None = it is shrunk as it is stored."""
        return parse_size(self.shrink_from)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What leads from a stored image to its LR copy, but for `encoder`."""
        return parse_degradation(self.degradation)

    @property
    def codec(self) -> Codec | None:
        """The codec that `encoder` names, if any."""
        return parse_codec(self.encoder)

    def for_training(self) -> dict[str, Any]:
        """`asked` without the rules that only test images follow: what a network is trained on."""
        fields = attrs.fields_dict(type(self))
        return {name: value for name, value in self.asked().items() if not fields[name].metadata["test_only"]}

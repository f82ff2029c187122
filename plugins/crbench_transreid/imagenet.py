"""ImageNet weights, which training starts from: where they are, and how they come into a network of another grid."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import attrs
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from timm.models import load_state_dict_from_hf
from torch import Tensor

from crbench.api import find_imagenet, read_tensors, weights_root
from crbench.errors import DataError
from crbench_transreid.network import TransReID
from crbench_transreid.vit import grid, resize_position

LOGGER = logging.getLogger("crbench")


@attrs.frozen
class Pretrained:
    """One set of ImageNet weights.

    Attributes:
        file: its usual name.
        page: where the file comes from.
        hub: the same weights on the hub, by timm's name; None = not there.
    """

    file: str
    page: str
    hub: str | None = None


_TIMM = "https://github.com/huggingface/pytorch-image-models/releases"
_DEIT = "https://dl.fbaipublicfiles.com/deit"

PRETRAINED: Mapping[str, Pretrained] = {
    "vit-base": Pretrained(
        "jx_vit_base_p16_224-80ecf9dd.pth", f"{_TIMM}/tag/v0.1-vitjx", "timm/vit_base_patch16_224.orig_in21k_ft_in1k"
    ),
    "deit-base": Pretrained(
        "deit_base_distilled_patch16_224-df68dfff.pth", _DEIT, "timm/deit_base_distilled_patch16_224.fb_in1k"
    ),
    # an early network of timm's, which the one of that name today is not
    "vit-small": Pretrained("vit_small_p16_224-15ec54c9.pth", f"{_TIMM}/tag/v0.1-weights"),
    "deit-small": Pretrained(
        "deit_small_distilled_patch16_224-649709d9.pth", _DEIT, "timm/deit_small_distilled_patch16_224.fb_in1k"
    ),
}
"""What the public configurations start from, by architecture."""


def imagenet_file(architecture: str) -> Path:
    """The file of ImageNet weights in the weights folder.

    Raises:
        ValueError: none are known for the architecture.
        DataError: it is not there.
    """
    known = _known(architecture)
    hub = "fetch them from the hub with --set backbone.pretrained=hub, " if known.hub else ""
    otherwise = f"{hub}or train from scratch with --set backbone.pretrained=none"
    return find_imagenet(architecture, {known.file: known.page}, otherwise)


def load_imagenet(model: TransReID, architecture: str, source: str, size: tuple[int, int], stride: int) -> None:
    """Start a network from ImageNet weights; what has no counterpart keeps its initial values.

    Position embeddings are resized to the grid of `size` and `stride` (He et al., Sec. 3.1), an embedding of a
    distillation token is dropped, and both branches of the jigsaw patch module start from the last block.

    Args:
        source: ``imagenet``, a file of the weights folder; or ``hub``.

    Raises:
        ValueError: no weights are known for the architecture.
        DataError: the weights are missing or do not fit.
    """
    origin, tensors = _read(architecture, source)
    found = {name: tensor for name, tensor in tensors.items() if not _is_head(name)}
    wanted = model.base.state_dict()
    if "pos_embed" in found:
        position = found["pos_embed"]
        if "dist_token" in tensors:
            position = torch.cat([position[:, :1], position[:, 2:]], dim=1)
        found["pos_embed"] = _resized(position, grid(size, stride), origin)
    if "patch_embed.proj.weight" in found:
        found["patch_embed.proj.weight"] = found["patch_embed.proj.weight"].reshape(-1, 3, 16, 16)
    needed = {name for name in wanted if not name.startswith("fc.") and name != "sie_embed"}
    _refuse(origin, "lacks", needed - found.keys())
    _refuse(origin, "holds unexpected", found.keys() - wanted.keys())
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            raise DataError(
                f"{origin}: {name} has shape {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}; "
                f"these are not the weights of {architecture}"
            )
        if not torch.isfinite(tensor).all():
            raise DataError(f"{origin}: {name} holds NaN or infinite values")
    model.base.load_state_dict(found, strict=False)
    if model.jpm:
        model.split()
    ignored = sorted(tensors.keys() - found.keys())
    LOGGER.info("%s: %d matched, %d ignored, %d missing", origin, len(found), len(ignored), len(wanted) - len(found))


def _known(architecture: str) -> Pretrained:
    if architecture not in PRETRAINED:
        raise ValueError(f"pretrained: no ImageNet weights are known for {architecture}; choose pretrained=none")
    return PRETRAINED[architecture]


def _read(architecture: str, source: str) -> tuple[str, Mapping[str, Tensor]]:
    if source == "imagenet":
        path = imagenet_file(architecture)
        return f"weights {path}", read_tensors(path)
    hub = _known(architecture).hub
    if hub is None:
        raise ValueError(f"pretrained: the ImageNet weights of {architecture} are not on the hub; choose imagenet")
    try:
        tensors: Mapping[str, Tensor] = load_state_dict_from_hf(hub, weights_only=True)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        file = _known(architecture).file
        raise DataError(
            f"ImageNet weights {hub} cannot be fetched from the hub ({str(error).splitlines()[0]}); go online, or put "
            f"{file} into {weights_root()} and choose --set backbone.pretrained=imagenet"
        ) from error
    return f"weights {hub} of the hub", tensors


def _is_head(name: str) -> bool:
    return name.startswith(("head", "pre_logits", "fc.")) or "dist" in name


def _resized(position: Tensor, shape: tuple[int, int], origin: str) -> Tensor:
    if position.shape[1] == 1 + shape[0] * shape[1]:
        return position
    try:
        return resize_position(position, shape)
    except ValueError as error:
        raise DataError(f"{origin}: pos_embed has shape {tuple(position.shape)}, expected a square grid") from error


def _refuse(origin: str, fault: str, names: set[str]) -> None:
    if names:
        listed = sorted(names)
        more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
        raise DataError(
            f"{origin}: the file {fault} {len(listed)} tensors ({', '.join(listed[:3])}{more}); "
            "it belongs to another architecture"
        )

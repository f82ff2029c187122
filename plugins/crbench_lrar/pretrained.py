"""ImageNet weights from the user's weights folder; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from crbench.api import fill_weights, find_imagenet, read_tensors
from crbench_lrar.bodies import Architecture

HEADS = ("fc.", "head.", "classifier.")


def load_imagenet(network: nn.Module, name: str, architecture: Architecture) -> None:
    """Fill a timm network from the first of its architecture's ImageNet files that is there.

    Raises:
        ValueError: no ImageNet weights are known for it.
        DataError: no file is there, or it is damaged or does not fit.
    """
    path = imagenet_file(name, architecture)
    tensors = architecture.adapt(read_tensors(path), network)
    fill_weights(network, {key: tensor for key, tensor in tensors.items() if not key.startswith(HEADS)}, path)


def imagenet_file(name: str, architecture: Architecture) -> Path:
    """The first of the architecture's ImageNet files that is in the weights folder.

    Raises:
        ValueError: none are known for it.
        DataError: none is there.
    """
    otherwise = "or train from scratch with --set backbone.pretrained=none"
    return find_imagenet(name, architecture.imagenet, otherwise)

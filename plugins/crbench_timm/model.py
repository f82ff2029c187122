"""`TimmModel`: any of timm's networks as a backbone, with the preprocessing that belongs to its weights."""

from __future__ import annotations

import copy
import difflib
import warnings
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from crbench.api import KERNELS, Batch, Encoded, Preprocess, content_digest, load_weights, weights_root
from crbench.errors import ConfigError, DataError
from crbench_timm.inference import fast_form


class TimmModel:
    """A timm model without its classifier: global pooled features.

    Args:
        model: name as in ``timm.list_models()``, with or without a tag: ``resnet50``, ``vit_base_patch16_224.dino``.
        weights: file with timm's key names for this model; a classifier in it is passed over.
        device: torch device name.
        pretrained: without `weights`, let timm download its own into the Hugging Face cache.
        size: (height, width) of the input in pixels; empty = the model's own. Position embeddings are resized by timm.
        mean, std: per channel, on values in [0, 1]; empty = the model's own.
        interpolation: kernel of the resize, by Pillow's name; empty = the model's own.

    Attributes:
        dim: feature length.
        preprocess: how images become input.
        model: the network, in evaluation mode.
        weights_sha256: of downloaded weights, over names, shapes and values; None where they came from a file.

    Raises:
        DataError: weights are missing, cannot be downloaded or do not fit.
        ConfigError: no such model, one that gives no feature vectors, or a size that it does not take.
        ValueError: a parameter out of range.
    """

    def __init__(
        self,
        model: str,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        pretrained: bool = False,
        size: tuple[int, ...] = (),
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        interpolation: str = "",
    ) -> None:
        _check_name(model)
        if weights is None and not pretrained:
            raise DataError(
                f"timm:{model} needs weights: give a file with --weights (put it into {weights_root()}), or let timm "
                "download its own with --set timm.pretrained=true"
            )
        network = _create(model, pretrained=weights is None)
        if weights is not None:
            load_weights(network, weights, heads=_heads(network))
        self.weights_sha256 = content_digest(network.state_dict()) if weights is None else None
        self.preprocess = _preprocess(network, size, mean, std, interpolation)
        _resize(network, self.preprocess.size, model)
        self.dim = _feature_length(network.eval(), self.preprocess.size, model)
        self.model = network.to(device)

    def extract(self, batch: Batch) -> Encoded:
        """Features f32[b, dim] of ``batch.inputs`` f32[b, 3, height, width], on the model's device."""
        with torch.inference_mode():
            x = self.model(batch.inputs.to(next(self.model.parameters()).device))
        # an ordinary tensor, so that an aligner may use it in a computation with gradients
        return Encoded(x=x.clone())

    def for_inference(self) -> TimmModel:
        """A backbone of the same features but for roundings, whose batch normalisations are folded."""
        faster = copy.copy(self)
        faster.model = fast_form(self.model, self.preprocess.size)
        return faster


def _check_name(name: str) -> None:
    base = name.partition(".")[0]
    if not name.startswith("hf-hub:") and not timm.is_model(base):
        close = difflib.get_close_matches(base, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "timm.list_models() has all names"
        raise ConfigError(f"timm {timm.__version__} has no model {name!r}; {hint}")


def _create(name: str, *, pretrained: bool) -> nn.Module:
    try:
        with warnings.catch_warnings():
            # timm's advice on renamed models is for its developers
            warnings.simplefilter("ignore")
            model: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except (RuntimeError, ValueError, OSError) as error:
        reason = _first_line(error)
        if pretrained:
            raise DataError(f"timm:{name}: its weights cannot be downloaded ({reason}); give --weights FILE") from error
        raise ConfigError(f"timm:{name}: {reason}") from error
    return model


def _heads(network: Any) -> tuple[str, ...]:
    """Beginnings of the classifier's key names, of which networks with distillation have two."""
    names = network.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _preprocess(
    network: Any, size: tuple[int, ...], mean: tuple[float, ...], std: tuple[float, ...], interpolation: str
) -> Preprocess:
    own = resolve_data_config(model=network)  # type: ignore[no-untyped-call]
    kernel = interpolation or own["interpolation"]
    height, width = _numbers("size", size or own["input_size"][1:], 2)
    first, second, third = _numbers("mean", mean or own["mean"], 3)
    spread = _numbers("std", std or own["std"], 3)
    if kernel not in KERNELS:
        raise ValueError(f"interpolation: {kernel!r} is not one of {', '.join(KERNELS)}")
    if min(height, width) < 1 or min(spread) <= 0:
        raise ValueError(f"size {size} and std {std} must be positive")
    return Preprocess(
        size=(int(height), int(width)),
        mean=(first, second, third),
        std=(spread[0], spread[1], spread[2]),
        interpolation=kernel,
    )


def _numbers(name: str, values: Any, count: int) -> tuple[float, ...]:
    if len(values) != count:
        raise ValueError(f"{name}: {tuple(values)} has {len(values)} numbers; expected {count}")
    return tuple(values)


def _resize(network: Any, size: tuple[int, int], name: str) -> None:
    """Tell a network that is built for one size of another; networks of convolutions alone need no telling."""
    if not hasattr(network, "set_input_size") or tuple(network.pretrained_cfg["input_size"][1:]) == size:
        return
    try:
        with warnings.catch_warnings():
            # what torch says of timm's interpolation is nothing that a user could change
            warnings.simplefilter("ignore")
            network.set_input_size(img_size=size)
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise _wrong_size(name, size, error) from error


def _feature_length(network: nn.Module, size: tuple[int, int], name: str) -> int:
    """Length of the features of one grey image."""
    try:
        with torch.inference_mode():
            x = network(torch.zeros(1, 3, *size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _wrong_size(name, size, error) from error
    if not isinstance(x, Tensor) or x.ndim != 2:
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ConfigError(f"timm:{name} gives {shape} for one image; expected one feature vector, (1, D)")
    return int(x.shape[1])


def _wrong_size(name: str, size: tuple[int, int], error: Exception) -> ConfigError:
    own = "its own size is the default"
    return ConfigError(f"timm:{name} does not take images of {size[0]}x{size[1]} ({_first_line(error)}); {own}")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)

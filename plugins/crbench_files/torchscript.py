"""`TorchScriptBackbone`: a network that ``torch.jit.save`` wrote."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from crbench.api import Batch, Encoded, memory_fault
from crbench.errors import DataError
from crbench_files.network import Input, flat, probe, refuse_weights


class TorchScriptBackbone:
    """A TorchScript file as a backbone.

    The file holds a program. TorchScript cannot call arbitrary Python, but it is no sandbox either: load files of
    people whom you trust.

    Args:
        file: what ``torch.jit.save`` wrote; maps f32[b, 3, height, width] to f32[b, D] (or [b, D, 1, 1]).
        weights: must be None; the file holds its own.
        device: torch device name.
        size: (height, width) of the input in pixels.
        mean, std: per channel in the network's order, on values of its range; empty = ImageNet's, or 0 and 1 for values
            0-255.
        channels: order in which the network takes them, ``rgb`` or ``bgr`` (OpenCV, Caffe, OpenVINO).
        values: range that the network takes, before mean and std: ``0-1`` or ``0-255``.
        interpolation: kernel of the resize, by Pillow's name.

    Attributes:
        dim: feature length.
        preprocess: how images become input.

    Raises:
        DataError: not a TorchScript file, damaged, a network that gives something else, or features that depend on more
            than their image (see `crbench_files.network.probe`).
        ConfigError: weights were given.
        ValueError: a parameter out of range.
    """

    def __init__(
        self,
        file: Path,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        size: tuple[int, int] = (256, 128),
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        interpolation: str = "bilinear",
        channels: Literal["rgb", "bgr"] = "rgb",
        values: Literal["0-1", "0-255"] = "0-1",
    ) -> None:
        refuse_weights(file, weights)
        self._images = Input.of(size, mean=mean, std=std, interpolation=interpolation, channels=channels, values=values)
        self.preprocess = self._images.preprocess
        self._file = file
        self._device = device
        self._network = _load(file, device)
        self.dim = probe(self._run, self._images, file)

    def extract(self, batch: Batch) -> Encoded:
        """Features f32[b, dim] of ``batch.inputs`` f32[b, 3, height, width], on the device."""
        return Encoded(x=self._run(batch.inputs))

    def _run(self, inputs: Tensor) -> Tensor:
        try:
            # no_grad, not inference_mode: an aligner may use the features in a computation with gradients
            with torch.no_grad(), _quiet():
                x = self._network(self._images.ordered(inputs.to(self._device)))
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or memory_fault(self._file, error) is not None:
                raise
            reason = _last_line(error)
            shape = tuple(inputs.shape)
            raise DataError(f"{self._file}: the network does not take input of shape {shape} ({reason})") from error
        if not isinstance(x, Tensor):
            kind = type(x).__name__
            raise DataError(f"{self._file}: the network gives a {kind}; expected one tensor of features (b, D)")
        return flat(x).float()


def _load(file: Path, device: str) -> torch.jit.ScriptModule:
    if not file.is_file():
        raise DataError(f"{file}: not a file; expected a TorchScript file")
    try:
        with _quiet():
            module: torch.jit.ScriptModule = torch.jit.load(str(file), map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        if (fault := memory_fault(file, error)) is not None:
            raise fault from error
        raise DataError(
            f"{file}: damaged, or not a TorchScript file, as torch.jit.save writes it; a state_dict belongs to a named "
            "backbone: --backbone NAME --weights FILE"
        ) from error
    return module.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's advice to write new files in another format, of which the user of this one has no use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__

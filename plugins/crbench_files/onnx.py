"""`OnnxBackbone`: a network in an ONNX file, run by onnxruntime."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as ort
from torch import Tensor

from crbench.api import Batch, Encoded, denormals_flushed, memory_fault
from crbench.errors import ConfigError, DataError
from crbench_files.network import Input, flat, probe, refuse_weights

_FALLBACK_SIZE = (256, 128)
_FAULTS = (
    ort.Fail,
    ort.InvalidArgument,
    ort.InvalidGraph,
    ort.InvalidProtobuf,
    ort.NotImplemented,
    ort.RuntimeException,
)
"""What onnxruntime raises for files that it cannot read or run; they have no class in common."""


class OnnxBackbone:
    """An ONNX file as a backbone.

    Name, size and batch of the input are read from the file; where its batch is fixed, batches are cut and filled up.

    Args:
        file: maps one input f32[b, 3, height, width] to features f32[b, D] (or [b, D, 1, 1]); its weights lie in the
            file itself.
        weights: must be None; the file holds its own.
        device: ``cpu``, or ``cuda[:N]`` where onnxruntime-gpu is installed.
        size: (height, width) of the input in pixels; empty = as the file says, 256x128 where it leaves that open.
        mean, std: per channel in the network's order, on values of its range; empty = ImageNet's, or 0 and 1 for values
            0-255.
        channels: order in which the network takes them, ``rgb`` or ``bgr`` (OpenCV, Caffe, OpenVINO).
        values: range that the network takes, before mean and std: ``0-1`` or ``0-255``.
        interpolation: kernel of the resize, by Pillow's name.
        output: name of the output with the features; needed only where there are several.

    Attributes:
        dim: feature length.
        preprocess: how images become input.

    Raises:
        DataError: not an ONNX file, damaged, other inputs or outputs, weights that are not finite, features that depend
            on more than their image (see `crbench_files.network.probe`).
        ConfigError: weights were given, no such device or output, a size that the file does not take.
        ValueError: a parameter out of range.
    """

    def __init__(
        self,
        file: Path,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        size: tuple[int, ...] = (),
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        interpolation: str = "bilinear",
        channels: Literal["rgb", "bgr"] = "rgb",
        values: Literal["0-1", "0-255"] = "0-1",
        output: str = "",
    ) -> None:
        refuse_weights(file, weights)
        self._file = file
        self._device = device
        self._session = _session(file, device)
        self._input, shape = _input(self._session, file)
        self._output = _output(self._session, output, file)
        self._batch = shape[0] if isinstance(shape[0], int) else None
        self._images = Input.of(
            _size(size, shape, file), mean=mean, std=std, interpolation=interpolation, channels=channels, values=values
        )
        self.preprocess = self._images.preprocess
        self.dim = probe(self._run, self._images, file, fixed=self._batch)

    def extract(self, batch: Batch) -> Encoded:
        """Features f32[b, dim] of ``batch.inputs`` f32[b, 3, height, width], on the device."""
        inputs, count = batch.inputs, len(batch.inputs)
        if self._batch is None:
            return Encoded(x=self._run(inputs).to(self._device))
        filled = torch.arange(-(-count // self._batch) * self._batch) % count
        x = torch.cat([self._run(part) for part in inputs[filled.to(inputs.device)].split(self._batch)])
        return Encoded(x=x[:count].to(self._device))

    def _run(self, inputs: Tensor) -> Tensor:
        array = self._images.ordered(inputs.float().cpu()).contiguous().numpy()
        try:
            (x,) = self._session.run([self._output], {self._input: array})
        except _FAULTS as error:
            shape = tuple(inputs.shape)
            raise DataError(
                f"{self._file}: the network does not take input of shape {shape} ({_why(error)})"
            ) from error
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            raise DataError(f"{self._file}: output {self._output!r} holds no floating-point numbers; expected features")
        return flat(torch.from_numpy(x).float())


def _session(file: Path, device: str) -> Any:
    if not file.is_file():
        raise DataError(f"{file}: not a file; expected an ONNX file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised too
    options.intra_op_num_threads = torch.get_num_threads()
    # As torch's threads wait, see `crbench.cli.wait_briefly`.
    spinning = os.environ.get("OMP_WAIT_POLICY", "").lower() != "passive"
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    # Its threads are its own, and need to be told by itself what `denormals_flushed` tells torch's.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # The first session of a process sets the flags of the calling thread for good, which this undoes.
    with tempfile.TemporaryDirectory() as nowhere, denormals_flushed():
        # A file is known by its content; with weights from other files, networks could change unseen.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", nowhere)
        try:
            return onnxruntime.InferenceSession(file.read_bytes(), options, providers=_providers(device))
        except (*_FAULTS, MemoryError) as error:
            if (fault := memory_fault(file, error)) is not None:
                raise fault from error
            if "external" in str(error).lower():
                raise DataError(
                    f"{file}: its weights lie in other files; write them into it "
                    "(torch.onnx.export with external_data=False, or onnx.save)"
                ) from error
            raise DataError(f"{file}: damaged, or not an ONNX file ({_why(error)})") from error


def _providers(device: str) -> list[Any]:
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if kind != "cuda" or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ConfigError(f"this onnxruntime cannot use {device}; install onnxruntime-gpu, or give --device cpu")
    return [("CUDAExecutionProvider", {"device_id": number or "0"}), "CPUExecutionProvider"]


def _input(session: Any, file: Path) -> tuple[str, list[Any]]:
    """Name and shape of the one input; open lengths are None or a name."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(item.name for item in inputs) or "none"
        raise DataError(f"{file}: the network has {len(inputs)} inputs ({names}); expected one, for images")
    name, shape, kind = inputs[0].name, inputs[0].shape, inputs[0].type
    if kind != "tensor(float)":
        raise DataError(f"{file}: input {name!r} is {kind}; expected tensor(float), float32")
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise DataError(f"{file}: input {name!r} has shape {shape}; expected (batch, 3, height, width)")
    return name, shape


def _output(session: Any, request: str, file: Path) -> str:
    names = [item.name for item in session.get_outputs()]
    if request and request not in names:
        raise ConfigError(f"{file}: no output {request!r}; known: {', '.join(names)}")
    if not request and len(names) != 1:
        raise ConfigError(f"{file}: outputs {', '.join(names)}; say which holds features with --set onnx.output=NAME")
    return request or str(names[0])


def _size(request: tuple[int, ...], shape: list[Any], file: Path) -> tuple[int, int]:
    if len(request) not in (0, 2):
        raise ValueError(f"size: {request} is not (height, width)")
    chosen = [
        given if given is not None else found if isinstance(found, int) else fallback
        for given, found, fallback in zip(request or (None, None), shape[2:], _FALLBACK_SIZE, strict=True)
    ]
    if any(isinstance(found, int) and found != side for found, side in zip(shape[2:], chosen, strict=True)):
        raise ConfigError(f"{file}: takes images of {shape[2]}x{shape[3]} only; leave out size {request}")
    return chosen[0], chosen[1]


def _why(error: Exception) -> str:
    """onnxruntime's message without its own heading, on one line."""
    return " ".join(str(error).rpartition(" : ")[2].split())[:200]

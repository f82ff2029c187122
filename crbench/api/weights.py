"""Weights from a file into a module: read without running any code, and refused in one line unless all of it fits."""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from crbench.api.wrappers import opened, unwrapped
from crbench.config.paths import weights_root
from crbench.errors import DataError
from crbench.inputs import check_utf8, memory_fault, open_input

_COUNTER = ".num_batches_tracked"
"""End of the names of batch counters: older files lack them, and features do not depend on them."""

_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What `torch.load` was seen to raise on files with a few changed or missing bytes."""


def load_weights(module: nn.Module, path: Path, *, heads: tuple[str, ...] = ()) -> None:
    """Fill all parameters and buffers of `module` from a file.

    Args:
        path: ``.safetensors``, or anything that `torch.load` reads as plain tensors. Batch counters may be missing.
        heads: beginnings of key names that are passed over, such as ``"classifier."``.

    Raises:
        DataError: the file is missing, damaged or holds code; a tensor is missing, unexpected, of another shape or not
            finite. The module is then unchanged.
    """
    found = read_tensors(path, module.state_dict().keys())
    tensors = {name: tensor for name, tensor in found.items() if not name.startswith(heads)}
    fill_weights(module, tensors, path)


def fill_weights(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill all parameters and buffers of `module` from tensors that came from the file `path`.

    Raises:
        DataError: a tensor is missing, unexpected, of another shape or not finite. The module is then unchanged.
    """
    wanted = module.state_dict()
    lacking = {name for name in wanted.keys() - tensors.keys() if not name.endswith(_COUNTER)}
    _check_names(path, "lacks", lacking, len(wanted))
    _check_names(path, "holds unexpected", tensors.keys() - wanted.keys(), len(tensors))
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise DataError(
                f"weights {path}: {name} has shape {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}; "
                "the file belongs to another architecture"
            )
        if not torch.isfinite(tensor).all():
            raise DataError(f"weights {path}: {name} holds NaN or infinite values")
    module.load_state_dict({**wanted, **tensors})


def module_state(module: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters and buffers of a module on the CPU, in contiguous memory, as `load_weights` reads them.

    For the method `state` of a `crbench.api.capabilities.Trainable` backbone.
    """
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in module.state_dict().items()
    }


def read_tensors(path: Path, wanted: Collection[str] | None = None) -> Mapping[str, Tensor]:
    """The tensors of a file by name, on the CPU, without what training codes put around them and before their names.

    Args:
        wanted: names that the network has; then ``model.`` and ``backbone.`` are known as well as ``module.``, and what
            lies outside of them is left out, see `crbench.api.wrappers.unwrapped`.

    Raises:
        DataError: the file is missing, damaged, or holds something other than tensors, or two networks that fit.
        SystemFaultError: memory does not hold it.
    """
    try:
        open_input(path).close()
        check_utf8(path)
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(f"weights {path}: {reason}") from error
    content: object = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    content = opened(content)
    if not isinstance(content, Mapping) or not content:
        raise DataError(f"weights {path}: expected named tensors, found {type(content).__name__}")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError(f"weights {path}: {name!r} is {type(tensor).__name__}, expected a tensor")
    return unwrapped(content, wanted, path)


def _read_safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        tensors: Mapping[str, Tensor] = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise DataError(f"weights {path}: damaged, or not a safetensors file ({error})") from error
    return tensors


def _read_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            # torch warns of pickle protocols that it may not know; the error, if any, says what matters
            warnings.simplefilter("ignore")
            with torch.serialization.safe_globals(_numbers()):
                return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"weights {path}: not plain tensors, so it was not read: it is damaged, or its pickle holds Python "
            "objects, which can run code; save the state_dict alone, as safetensors"
        ) from error
    except _DAMAGE as error:
        if (fault := memory_fault(path, error)) is not None:
            raise fault from error
        raise DataError(f"weights {path}: damaged, or not a file that torch.save wrote") from error


def _numbers() -> list[Any]:
    """What a NumPy number needs to be read: training codes store their scores beside the tensors."""
    scalar: Any = np.float64(0).__reduce__()[0]
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *(type(np.dtype(code)) for code in "fdil")]


def _check_names(path: Path, fault: str, names: Iterable[str], total: int) -> None:
    listed = sorted(names)
    if listed:
        more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
        raise DataError(
            f"weights {path}: the file {fault} {len(listed)} of {total} tensors ({', '.join(listed[:3])}{more}); "
            "it belongs to another architecture"
        )


def find_imagenet(network: str, files: Mapping[str, str], otherwise: str) -> Path:
    """The first of these ImageNet files that is in the weights folder: what a training starts from.

    Args:
        network: its name, for messages.
        files: usual names, each with the page that has it.
        otherwise: what else the user may do, as the end of a message.

    Raises:
        ValueError: there are none for this network.
        DataError: none is there.
    """
    if not files:
        raise ValueError(f"pretrained: no ImageNet weights are known for {network}; choose pretrained=none")
    folder = weights_root()
    for name in files:
        if (folder / name).is_file():
            return folder / name
    known = " or ".join(f"{name} (from {page})" for name, page in files.items())
    raise DataError(f"ImageNet weights of {network} are not in {folder}; put there {known}, {otherwise}")

"""Small networks, written as files in the formats under test."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from onnx import TensorProto, helper
from torch import nn

WEIGHT = np.random.default_rng(0).normal(size=(5, 3, 4, 4)).astype(np.float32)
"""Of the one convolution that all the networks have."""


_ONES, _ZEROS = np.ones(5, dtype=np.float32), np.zeros(5, dtype=np.float32)

ENDINGS = {
    "batch statistics": (
        [helper.make_node("BatchNormalization", ["own", "one", "o", "o", "one"], ["y", "m", "v"], training_mode=1)],
        {"one": _ONES, "o": _ZEROS},
    ),
    "dropout": (
        [helper.make_node("Dropout", ["own", "ratio", "on"], ["y"])],
        {"ratio": np.float32(0.3), "on": np.bool_(True)},
    ),
    "first row": (
        [
            helper.make_node("Gather", ["own", "index"], ["row"], axis=0),
            helper.make_node("Shape", ["own"], ["shape"]),
            helper.make_node("Expand", ["row", "shape"], ["y"]),
        ],
        {"index": np.array([0], dtype=np.int64)},
    ),
    "sound": ([helper.make_node("Relu", ["own"], ["y"])], {}),
}
"""What may follow the features of each image, ``own``: nodes, and the arrays that they take."""


def network(**changes) -> nn.Module:
    """Convolution 4x4 with stride 4 and global pooling: 5 features."""
    conv = nn.Conv2d(3, 5, 4, stride=4, bias=False)
    conv.weight.data = torch.from_numpy(changes.get("weight", WEIGHT).copy())
    return nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def save_torchscript(path: Path, module: nn.Module | None = None, *, size=(32, 16)) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        script = torch.jit.trace(module or network(), torch.zeros(2, 3, *size))
        torch.jit.save(script, path)
    return path


def save_onnx(
    path: Path,
    *,
    shape=("b", 3, "h", "w"),
    weight=WEIGHT,
    inputs=1,
    outputs=("y",),
    flatten=True,
    kind=TensorProto.FLOAT,
    external=False,
    ending=None,
) -> Path:
    """The same network in ONNX, by hand, so that no exporter is needed; without weight, the image itself."""
    names = ["x", *(f"x{i}" for i in range(1, inputs))]
    steps = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
    if weight is None:
        steps += [helper.make_node("Flatten", ["f"], [outputs[0]])]
    else:
        steps += _convolution(outputs if ending is None else ("own",), flatten)
    ends, constants = ENDINGS[ending] if ending else ([], {})
    graph = helper.make_graph(
        [*steps, *ends],
        "net",
        [helper.make_tensor_value_info(name, kind, shape) for name in names],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [
            onnx.numpy_helper.from_array(np.asarray(array), name)
            for name, array in {"w": weight, **constants}.items()
            if array is not None
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    location = f"{path.name}.data" if external else None
    onnx.save(model, path, save_as_external_data=external, location=location, size_threshold=0)
    return path


def _convolution(outputs, flatten):
    steps = [helper.make_node("Conv", ["f", "w"], ["c"], strides=[4, 4])]
    steps += [helper.make_node("GlobalAveragePool", ["c"], ["g"])]
    steps += [helper.make_node("Flatten" if flatten else "Identity", ["g" if flatten else "c"], [outputs[0]])]
    return [*steps, *(helper.make_node("Identity", ["c"], [name]) for name in outputs[1:])]

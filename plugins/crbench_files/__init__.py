"""Backbones that are files of the user's own: networks in ONNX or TorchScript, and features that are there already."""

from __future__ import annotations

from crbench.api import Entry, hookimpl


@hookimpl
def crbench_backbones() -> list[Entry]:
    """``onnx``, ``torchscript`` and ``features``, each with a file or folder after the colon."""
    return [
        Entry(
            "onnx",
            "crbench_files.onnx:OnnxBackbone",
            summary="any network in an ONNX file, by onnxruntime",
            extra="onnx",
            argument="file",
        ),
        Entry(
            "torchscript",
            "crbench_files.torchscript:TorchScriptBackbone",
            summary="any network in a TorchScript file; it may run code, so trust its author",
            argument="file",
        ),
        Entry(
            "features",
            "crbench_files.folder:FeatureFolder",
            summary="features computed elsewhere, in any language: npz, npy + csv or safetensors files",
            argument="folder",
        ),
    ]

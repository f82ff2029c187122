"""Python, what crbench requires, torch and CuPy."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from crbench._version import __version__
from crbench.doctor.finding import Finding

_EXTRAS = {"onnx": "onnxruntime", "dask": "distributed", "multi": "accelerate", "plot": "matplotlib"}
"""Extras and the package that each adds, for what not everybody needs."""

_DRIVER = Path("/proc/driver/nvidia/version")
"""There, wherever Linux has loaded NVIDIA's driver."""


def python() -> Iterator[Finding]:
    """Interpreter and crbench."""
    where = "a virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    found = f"crbench {__version__} on {platform.python_implementation()} {platform.python_version()}, {where}"
    yield Finding("Python", "ok", found)


def requirements() -> Iterator[Finding]:
    """Versions of what crbench requires, and of what its extras add."""
    required = [one for one in map(Requirement, metadata.requires("crbench") or []) if _applies(one)]
    wrong = []
    for one in required:
        version = _version(one.name)
        if version is None or not one.specifier.contains(version, prereleases=True):
            wrong.append(f"{one.name} {version or 'is not installed'}, expected {one.specifier}")
    if wrong:
        yield Finding("packages", "fault", "; ".join(wrong), "pip install --upgrade crbench, and look for pip check")
    else:
        yield Finding("packages", "ok", f"{len(required)} requirements fulfilled")
    lacking = {extra: package for extra, package in _EXTRAS.items() if _version(package) is None}
    if lacking:
        advice = f"where needed: pip install 'crbench[{','.join(lacking)}]'"
        yield Finding("extras", "ok", f"not installed: {', '.join(lacking.values())}", advice)


def torch() -> Iterator[Finding]:
    """Version, and whether torch and the driver agree on CUDA."""
    try:
        import torch as library
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0]
        yield Finding(
            "torch", "fault", f"it cannot be imported: {reason}", "install it anew: pip install --force-reinstall torch"
        )
        return
    built = library.version.cuda
    found = f"torch {library.__version__}, {f'built for CUDA {built}' if built else 'built without CUDA'}"
    if library.cuda.is_available() or not _DRIVER.exists():
        yield Finding("torch", "ok", found)
    elif built is None:
        advice = "the machine has an NVIDIA driver: install torch with CUDA, see pytorch.org"
        yield Finding("torch", "note", found, advice)
    elif (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        yield Finding(
            "torch", "note", f"{found}, but CUDA_VISIBLE_DEVICES={visible!r} leaves no GPU", "unset it to use them"
        )
    else:
        advice = f"update NVIDIA's driver ({_driver()}), or install torch for an older CUDA"
        yield Finding("torch", "fault", f"{found}, but it finds no GPU although a driver is loaded", advice)


def cupy() -> Iterator[Finding]:
    """Whether CuPy is there once, for the CUDA of torch."""
    import torch as library

    found = sorted({name for name in map(_name, metadata.distributions()) if name.split("-")[0] == "cupy"})
    listed, built = ", ".join(found), library.version.cuda
    if len(found) > 1:
        advice = f"two of them overwrite each other: pip uninstall {' '.join(found)}, then install one"
        yield Finding("CuPy", "fault", f"installed {len(found)} times: {listed}", advice)
    elif not found:
        has_gpu = library.cuda.is_available() and built is not None
        advice = f"pip install 'crbench[cuda{str(built).partition('.')[0]}]' makes evaluation on the GPU faster"
        yield Finding("CuPy", "note" if has_gpu else "ok", "not installed", advice if has_gpu else "")
    elif built is not None and f"cuda{built.partition('.')[0]}x" not in listed and listed != "cupy":
        extra = f"crbench[cuda{built.partition('.')[0]}]"
        advice = f"pip uninstall {listed}, then pip install '{extra}'"
        yield Finding("CuPy", "fault", f"{listed}, but torch is built for CUDA {built}", advice)
    else:
        yield Finding("CuPy", "ok", f"{listed} {_version(listed)}")


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _name(distribution: metadata.Distribution) -> str:
    return (distribution.metadata["Name"] or "").lower().replace("_", "-")


def _driver() -> str:
    return _DRIVER.read_text(encoding="utf-8").splitlines()[0].partition("version:")[2].strip()

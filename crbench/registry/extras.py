"""The versions of what a method needs beside its own distribution: they are told in results, and decide no key."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata

from packaging.requirements import Requirement


def requirement_versions(distribution: str, extra: str | None = None) -> dict[str, str]:
    """Versions of the packages that a distribution requires here, by package; of those that are there.

    A package that another distribution offers, as ``onnxruntime-gpu`` offers ``onnxruntime``, counts once it is
    imported.

    Args:
        extra: an extra of it whose packages count too.

    Example:
        >>> "torch" in requirement_versions("crbench")
        True
    """
    try:
        names = _required(distribution, extra or "")
    except metadata.PackageNotFoundError:
        return {}
    found = {name: _version(name) for name in names}
    return {name: version for name, version in found.items() if version is not None}


def _version(package: str) -> str | None:
    try:
        return _installed(package)
    except metadata.PackageNotFoundError:
        return getattr(sys.modules.get(package.replace("-", "_")), "__version__", None)


# Each result tells all versions, and what is installed does not change while a process lasts.


@cache
def _required(distribution: str, extra: str) -> Sequence[str]:
    required = map(Requirement, metadata.requires(distribution) or [])
    return tuple(one.name for one in required if one.marker is None or one.marker.evaluate({"extra": extra}))


@cache
def _installed(package: str) -> str:
    return metadata.version(package)

"""The packages of pip extras: what a method needs beside its distribution."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from crbench.registry.discovery import Registered

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""\bextra\s*==\s*["']([^"']+)["']""")


def extra_versions(registered: Registered[Any]) -> dict[str, str]:
    """Versions of the packages of the extra that an entry names, by package; of those that are there.

    A package that another distribution offers, as ``onnxruntime-gpu`` offers ``onnxruntime``, counts once it is
    imported.
    """
    names = _packages(registered.owner.distribution, getattr(registered.entry, "extra", None))
    found = {name: _version(name) for name in names}
    return {name: version for name, version in found.items() if version is not None}


def _packages(distribution: str, extra: str | None) -> Iterator[str]:
    try:
        required = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in required:
        name, marked = _NAME.match(requirement), _EXTRA.search(requirement)
        if name and marked and marked[1] == extra:
            yield name[0]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return getattr(sys.modules.get(package.replace("-", "_")), "__version__", None)

"""Where a result was made: versions, processor, device."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crbench._version import __version__
from crbench.errors import ConfigError
from crbench.registry.extras import requirement_versions
from crbench.registry.resolve import Resolved
from crbench.results import Environment


def pick_device(request: str) -> str:
    """The torch device for ``auto`` or a device name.

    Raises:
        ConfigError: torch does not know it or it is not there.
    """
    import torch

    if request == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=request)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {request!r} cannot be used ({reason}); choose auto, cpu or cuda:N") from error
    return request


def describe_environment(device: str, methods: Iterable[Resolved | None]) -> Environment:
    """The environment of this process, with what crbench and the distributions of the methods require."""
    import numpy as np
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
    return Environment(
        crbench=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        platform=platform.platform(),
        cpu=processor_name(),
        device=name,
        threads=torch.get_num_threads(),
        packages=_packages(method for method in methods if method is not None),
    )


def describe_machine(device: str) -> dict[str, Any]:
    """What decides the speed of a method beside the method (JSON values)."""
    here = describe_environment(device, ())
    return {"cpu": here.cpu, "device": here.device, "threads": here.threads, "torch": here.torch}


def _packages(methods: Iterable[Resolved]) -> dict[str, str]:
    found = requirement_versions("crbench")
    for method in methods:
        owner, extra = method.registered.owner, method.registered.entry.extra
        found |= requirement_versions(owner.distribution, extra) | _packages(method.others.values())
    return dict(sorted(found.items()))


def processor_name() -> str:
    """The model of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

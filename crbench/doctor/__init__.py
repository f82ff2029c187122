"""What of the machine and the installation works, what does not, and what to do: `crbench doctor`.

Each check gives findings and asks for nothing that another one found, so that one fault hides no other. A check of what
users made (config, data, weights, plugins) may raise any `crbench.errors.CrbenchError`, which becomes a fault.

==============  =========================================================================================
`finding`       the record
`software`      Python, crbench's requirements, torch, CuPy
`machine`       processor, threads, memory, GPUs, disk
`belongings`    the user's data sets, weights and plugins
==============  =========================================================================================
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from crbench.doctor import belongings, machine, software
from crbench.doctor.finding import Finding
from crbench.errors import CrbenchError

__all__ = ["Finding", "examine"]


def examine(data_root: Path | None = None) -> list[Finding]:
    """All findings, in the order in which people look for causes.

    Args:
        data_root: folder of data sets; None = as a run finds it.
    """
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("Python", software.python),
        ("packages", software.requirements),
        ("torch", software.torch),
        ("torch", _with_torch),
        ("memory", machine.memory),
        ("folders", machine.folders),
        ("data sets", lambda: belongings.data_sets(data_root)),
        ("weights", belongings.weights),
        ("plugins", belongings.plugins),
    ]
    return [finding for subject, check in checks for finding in _contained(subject, check)]


def _with_torch() -> Iterator[Finding]:
    """What only torch can tell; nothing where it cannot be imported, which `software.torch` says."""
    if "torch" in sys.modules:
        for check in (machine.gpus, software.cupy, machine.processor, machine.threads):
            yield from check()


def _contained(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except CrbenchError as error:
        yield Finding(subject, "fault", str(error).splitlines()[0], "mend what the message names")

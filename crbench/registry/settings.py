"""Settings of the process that decide numbers, put back after each call of a plugin.

A plugin that asks torch for TF32, float64 or another device for itself would ask for all other methods of the process
too: their features would change, and be kept under a name that says nothing of it.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import attrs

_log = logging.getLogger(__name__)


@attrs.frozen
class _Setting:
    """A setting of torch, and what it is in a process that has just imported torch."""

    first: Any
    get: Callable[[], Any]
    set: Callable[[Any], object]


@contextmanager
def settings_kept(who: str) -> Iterator[None]:
    """Put back the settings that are changed inside; a warning says so, with `who` changed them.

    Where torch is imported inside, they are those of a process that has just imported it. Only in the main thread, as
    what another thread meets may be a setting for the moment of this one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = _current()
    try:
        yield
    finally:
        after, settings = _current(), _settings()
        wanted = before or {name: setting.first for name, setting in settings.items()}
        if changed := [f"{name} to {after.get(name)}" for name in wanted if after.get(name) != wanted[name]]:
            for name, value in wanted.items():  # all of them, as one may set another
                settings[name].set(value)
            _log.warning("%s set %s for all methods, which is undone", who, ", ".join(changed))


def _current() -> Mapping[str, Any]:
    """The settings, without a precision that was set in two ways, which torch does not tell."""
    found = {}
    for name, setting in _settings().items():
        with suppress(RuntimeError):
            found[name] = setting.get()
    return found


def _settings() -> Mapping[str, _Setting]:
    """By name; none while torch is not imported."""
    torch: Any = sys.modules.get("torch")
    if not hasattr(torch, "set_float32_matmul_precision"):  # not even half imported
        return {}
    found = {
        "torch's default dtype": _Setting(torch.float32, torch.get_default_dtype, torch.set_default_dtype),
        "torch's default device": _Setting(
            "cpu",
            lambda: str(torch.get_default_device()),
            lambda name: torch.set_default_device(None if name == "cpu" else name),  # "cpu" would slow every call
        ),
        "torch's gradients": _Setting(True, torch.is_grad_enabled, torch.set_grad_enabled),
        "torch's float32 precision": _Setting(
            "highest", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        ),
    }
    backends = torch.backends
    owners: dict[str, tuple[Any, dict[str, Any]]] = {
        "cudnn.": (backends.cudnn, {"benchmark": False, "deterministic": False, "allow_tf32": True})
    }
    if hasattr(backends.mkldnn, "matmul"):  # torch >= 2.9, where these decide and the one above sets them
        owners[""] = (backends, {"fp32_precision": "none"})
        parts = {"cuda.matmul": "none", "mkldnn.matmul": "none", "mkldnn.conv": "none", "cudnn.conv": "tf32"}
        for part, first in parts.items():
            module, _, kind = part.partition(".")
            owners[f"{part}."] = (getattr(getattr(backends, module), kind), {"fp32_precision": first})
    for part, (owner, fields) in owners.items():
        for field, first in fields.items():
            found[f"torch.backends.{part}{field}"] = _Setting(
                first, partial(getattr, owner, field), partial(setattr, owner, field)
            )
    return found

"""Settings of the process that decide numbers and files, put back after each call of a plugin.

A plugin that asks torch for TF32, float64 or another device for itself would ask for all other methods of the process
too: their features would change, and be kept under a name that says nothing of it. One that seeds a generator, hides
warnings or changes the folder does so for all, too.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any

from crbench.registry.caller import is_caller
from crbench.registry.process import PYTHON_RANDOM, UNKNOWN, Setting, imported, process_settings

_log = logging.getLogger(__name__)


def settings_kept(who: str) -> AbstractContextManager[None]:
    """Put back the settings that are changed inside; a warning says so once, with `who` changed them.

    See `undoing_changes`.
    """
    return undoing_changes(partial(_say, who))


@contextmanager
def undoing_changes(tell: Callable[[str], object]) -> Iterator[None]:
    """Put back the settings that are changed inside, and tell which.

    Where torch is imported inside, its settings are those of a process that has just imported it. Only in the thread
    that calls plugins, as what another thread meets may be a setting for the moment of this one.
    """
    if not is_caller():
        yield
        return
    known = _settings()
    before, drawn = _values(known), _torch_generator()
    try:
        yield
    finally:
        settings = _settings()
        new = {name: setting.first for name, setting in settings.items() if name not in known}
        wanted = {**before, **{name: value for name, value in new.items() if value is not UNKNOWN}}
        after = _values(settings)
        changed = [name for name in wanted if after.get(name) != wanted[name]]
        if changed:
            for name, value in wanted.items():  # also those that did not change, as setting one may change another
                with suppress(RuntimeError, OSError):  # such as a folder that is gone
                    settings[name].set(value)
            told = [f"{name} to {after.get(name)}" if settings[name].shown else name for name in changed]
            tell(", ".join(told))
        if drawn is not None:
            sys.modules["torch"].set_rng_state(drawn)


@functools.cache  # once, not once per batch
def _say(who: str, what: str) -> None:
    _log.warning("%s set %s for all methods, which is undone", who, what)


def _values(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Without a precision that was set in two ways, which torch does not tell, and a folder that is gone."""
    found = {}
    for name, setting in settings.items():
        try:
            found[name] = setting.get()
        except (RuntimeError, OSError):
            continue
    return found


def _torch_generator() -> Any:
    """The state of torch's generator of the CPU; None while torch is not imported."""
    torch = imported("torch", "get_rng_state")
    return None if torch is None else torch.get_rng_state()


def _settings() -> Mapping[str, Setting]:
    """By name; those of torch only while it is imported.

    Beside a thread that is not the main one, others do not sleep: those of a worker draw from Python's own generator.
    """
    found = {**process_settings(), **_arithmetic(imported("torch", "set_float32_matmul_precision"))}
    if threading.current_thread() is not threading.main_thread():
        del found[PYTHON_RANDOM]
    return found


def _default_device(torch: Any) -> str:
    try:
        return str(torch.get_default_device())
    except AttributeError:  # torch before 2.8, once its default device was put back by None
        return "cpu"


@functools.cache
def _arithmetic(torch: Any) -> Mapping[str, Setting]:
    if torch is None:
        return {}
    found = {
        "torch's default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        "torch's default device": Setting(
            partial(_default_device, torch),
            # None means the CPU too; after "cpu" every call of torch takes longer.
            lambda name: torch.set_default_device(None if name == "cpu" else name),
            "cpu",
        ),
        "torch's gradients": Setting(torch.is_grad_enabled, torch.set_grad_enabled, True),
        "torch's float32 precision": Setting(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
        ),
    }
    backends = torch.backends
    owners: dict[str, tuple[Any, dict[str, Any]]] = {
        "cudnn.": (backends.cudnn, {"benchmark": False, "deterministic": False, "allow_tf32": True})
    }
    if hasattr(backends.mkldnn, "matmul"):  # torch >= 2.9: these settings count, and allow_tf32 only sets them
        owners[""] = (backends, {"fp32_precision": "none"})
        parts = {"cuda.matmul": "none", "mkldnn.matmul": "none", "mkldnn.conv": "none", "cudnn.conv": "tf32"}
        for part, first in parts.items():
            module, _, kind = part.partition(".")
            owners[f"{part}."] = (getattr(getattr(backends, module), kind), {"fp32_precision": first})
    for part, (owner, fields) in owners.items():
        for field, first in fields.items():
            found[f"torch.backends.{part}{field}"] = Setting(
                partial(getattr, owner, field), partial(setattr, owner, field), first
            )
    return found

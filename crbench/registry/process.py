"""Settings of the process beside those of torch's arithmetic: random generators, warnings, logging, folders."""

from __future__ import annotations

import ctypes
import functools
import locale
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

UNKNOWN = object()
"""In place of a setting's first value: what it was before its module was imported is not known."""

PYTHON_RANDOM = "Python's random generator"

_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "CRBENCH_CACHE",
    "CRBENCH_DATA",
    "CRBENCH_EVIDENCE",
    "CRBENCH_WEIGHTS",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "HOME",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "TMPDIR",
    "TORCH_HOME",
    "TZ",
)
"""Environment variables by which others find files and devices, or compute."""


@attrs.frozen
class Setting:
    """A setting of the process.

    Attributes:
        get: gives its value, which can be compared.
        set: takes such a value.
        first: its value in a process that has just imported its module.
        shown: whether a message can hold its value.
    """

    get: Callable[[], Any]
    set: Callable[[Any], object]
    first: Any = UNKNOWN
    shown: bool = True


def process_settings() -> Mapping[str, Setting]:
    """By name; those of numpy, Pillow and torch only where they are imported."""
    return _settings_with(
        imported("numpy.random", "get_bit_generator") and sys.modules["numpy"],
        imported("PIL.ImageFile", "LOAD_TRUNCATED_IMAGES"),
        imported("PIL.Image", "MAX_IMAGE_PIXELS"),
        imported("torch", "use_deterministic_algorithms"),
    )


def imported(module: str, member: str) -> Any:
    """A module, if it is imported as far as this member; else None."""
    found = sys.modules.get(module)
    return found if hasattr(found, member) else None


@functools.cache
def _settings_with(numpy: Any, files: Any, images: Any, torch: Any) -> Mapping[str, Setting]:
    root = logging.getLogger()
    return {
        PYTHON_RANDOM: Setting(random.getstate, random.setstate, shown=False),
        "the filters of warnings": Setting(_Filters.now, _Filters.put_back, shown=False),
        "the level of logging": Setting(lambda: root.level, root.setLevel),
        "logging.disable": Setting(lambda: root.manager.disable, logging.disable),
        "the handlers of logging": Setting(lambda: list(root.handlers), _set_handlers, shown=False),
        "the current folder": Setting(os.getcwd, os.chdir),
        "the locale": Setting(partial(locale.setlocale, locale.LC_ALL), partial(locale.setlocale, locale.LC_ALL)),
        **{f"the variable {name}": _variable(name) for name in _VARIABLES},
        **_of_numpy(numpy),
        **_of_pillow(files, images),
        **_of_torch(torch),
    }


def _of_numpy(numpy: Any) -> Mapping[str, Setting]:
    if numpy is None:
        return {}
    words, last = 624, 4  # the state of a Mersenne twister: so many uint32, then its position in so many bytes

    def state() -> bytes | None:
        generator = numpy.random.get_bit_generator()
        if type(generator).__name__ != "MT19937":
            return None
        return ctypes.string_at(generator.ctypes.state_address, 4 * words + last)  # `get_state` takes 0.1 ms

    def set_state(found: bytes | None) -> None:
        if found is not None:
            keys = numpy.frombuffer(found, dtype=numpy.uint32, count=words)
            numpy.random.set_state(("MT19937", keys, int.from_bytes(found[-last:], sys.byteorder)))

    return {
        "numpy's random generator": Setting(state, set_state, shown=False),
        "numpy's handling of errors": Setting(numpy.geterr, lambda found: numpy.seterr(**found)),
    }


def _of_pillow(files: Any, images: Any) -> Mapping[str, Setting]:
    """Whether damaged images are read, and which are too large to be read."""
    owners = {"LOAD_TRUNCATED_IMAGES": (files, False), "MAX_IMAGE_PIXELS": (images, UNKNOWN)}
    return {
        f"Pillow's {name}": Setting(partial(getattr, owner, name), partial(setattr, owner, name), first)
        for name, (owner, first) in owners.items()
        if owner is not None
    }


def _of_torch(torch: Any) -> Mapping[str, Setting]:
    """Its generator of the CPU, of which only a new seed is told: layers may draw from no other."""
    if torch is None:
        return {}
    from crbench.denormals import are_flushed, flush_denormals

    def deterministic() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    def set_deterministic(found: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(found[0], warn_only=found[1])

    return {
        "torch's number of threads": Setting(torch.get_num_threads, torch.set_num_threads),
        "torch's flushing of denormal numbers": Setting(are_flushed, flush_denormals, False),
        "torch's deterministic algorithms": Setting(deterministic, set_deterministic, (False, False)),
        "torch's seed": Setting(torch.initial_seed, torch.default_generator.manual_seed),
    }


def _variable(name: str) -> Setting:
    def set_variable(value: str | None) -> None:
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value

    return Setting(lambda: os.environ.get(name), set_variable)


def _set_handlers(handlers: list[logging.Handler]) -> None:
    logging.getLogger().handlers[:] = handlers


def _is_blanket(entry: tuple[Any, ...]) -> bool:
    """Whether a filter of warnings is about no message, module, line or kind of a package's own."""
    return entry[1] is None and entry[3] is None and entry[4] == 0 and entry[2].__module__ == "builtins"


@attrs.frozen
class _Filters:
    """The filters of warnings; equal where those agree that silence or show warnings of others.

    Packages may have filters for warnings of their own, as many set at their import.
    """

    whole: list[tuple[Any, ...]] = attrs.field(eq=lambda whole: [entry for entry in whole if _is_blanket(entry)])

    @classmethod
    def now(cls) -> _Filters:
        return cls(list(warnings.filters))

    def put_back(self) -> None:
        own = [entry for entry in warnings.filters if not _is_blanket(entry) or entry in self.whole]
        warnings.filters[:] = own + [entry for entry in self.whole if entry not in own]  # type: ignore[index]
        with warnings.catch_warnings():  # makes Python notice that the filters changed
            pass

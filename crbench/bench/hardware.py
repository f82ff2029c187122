"""The state of the device while it is measured: driver, clocks, power and whether it is held back."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

import attrs

_THROTTLED = {
    "SwPowerCap": "power limit",
    "HwSlowdown": "hardware slowdown",
    "SwThermalSlowdown": "temperature",
    "HwThermalSlowdown": "temperature (hardware)",
    "HwPowerBrakeSlowdown": "power brake",
}
"""NVML's reasons why a device runs below the clocks that it was asked for, in words."""


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class DeviceState:
    """What NVML says of a GPU; None where it says nothing, as on a CPU or without the package nvidia-ml-py.

    Attributes:
        driver: version of the driver.
        sm_mhz, memory_mhz: clocks.
        power_w, power_limit_w: watts.
        temperature_c: degrees Celsius.
        throttled: why the device is held back; empty = it is not, or nobody knows.
        busy: per cent of the last moments in which a kernel ran; asked for while this process gives it no work.
    """

    driver: str | None = None
    sm_mhz: int | None = None
    memory_mhz: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: int | None = None
    throttled: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    busy: int | None = None


def device_state(device: str) -> DeviceState:
    """The state of a device now."""
    if not device.startswith("cuda"):
        return DeviceState()
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return DeviceState()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return DeviceState()
    try:
        return _state(nvml, _handle(nvml, device))
    finally:
        nvml.nvmlShutdown()


def _handle(nvml: ModuleType, device: str) -> Any:
    """The device by its UUID: CUDA_VISIBLE_DEVICES gives it another number in torch than in NVML."""
    import torch

    uuid = torch.cuda.get_device_properties(device).uuid
    return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")


def _state(nvml: ModuleType, handle: Any) -> DeviceState:
    reasons = _asked(nvml, "nvmlDeviceGetCurrentClocksEventReasons", handle) or 0
    names = {name: getattr(nvml, f"nvmlClocksThrottleReason{name}", 0) for name in _THROTTLED}
    power, limit = (_asked(nvml, f"nvmlDeviceGet{what}", handle) for what in ("PowerUsage", "EnforcedPowerLimit"))
    return DeviceState(
        driver=str(nvml.nvmlSystemGetDriverVersion()),
        sm_mhz=_asked(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_SM),
        memory_mhz=_asked(nvml, "nvmlDeviceGetClockInfo", handle, nvml.NVML_CLOCK_MEM),
        power_w=None if power is None else power / 1e3,
        power_limit_w=None if limit is None else limit / 1e3,
        temperature_c=_asked(nvml, "nvmlDeviceGetTemperature", handle, nvml.NVML_TEMPERATURE_GPU),
        throttled=tuple(_THROTTLED[name] for name, bit in names.items() if reasons & bit),
        busy=getattr(_asked(nvml, "nvmlDeviceGetUtilizationRates", handle), "gpu", None),
    )


def _asked(nvml: ModuleType, question: str, *arguments: Any) -> Any:
    """What a function of NVML returns; None where this device or driver does not support it."""
    try:
        return getattr(nvml, question)(*arguments)
    except (nvml.NVMLError, AttributeError):
        return None

"""What NVML says, by a fake of it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from crbench.bench.hardware import DeviceState, device_state


class NVMLError(Exception):
    pass


class FakeNvml(SimpleNamespace):
    """A card at 300 of 700 W, at 1500 MHz, held back by heat and its power limit."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    nvmlClocksThrottleReasonSwPowerCap = 4  # noqa: N815
    nvmlClocksThrottleReasonSwThermalSlowdown = 32  # noqa: N815
    open = False

    def nvmlInit(self):  # noqa: N802
        self.open = True

    def nvmlShutdown(self):  # noqa: N802
        self.open = False

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return "580.1"

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        assert uuid == "GPU-abc"
        return "handle"

    def nvmlDeviceGetClockInfo(self, handle, kind):  # noqa: N802
        return {1: 1500, 2: 2600}[kind]

    def nvmlDeviceGetPowerUsage(self, handle):  # noqa: N802
        return 300_000

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):  # noqa: N802
        return 700_000

    def nvmlDeviceGetTemperature(self, handle, kind):  # noqa: N802
        raise NVMLError

    def nvmlDeviceGetUtilizationRates(self, handle):  # noqa: N802
        return SimpleNamespace(gpu=17, memory=3)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):  # noqa: N802
        return 36


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="abc"))
    return fake


def test_the_state_of_a_card(nvml):
    assert device_state("cuda:0") == DeviceState(
        driver="580.1",
        sm_mhz=1500,
        memory_mhz=2600,
        power_w=300.0,
        power_limit_w=700.0,
        temperature_c=None,
        throttled=("power limit", "temperature"),
        busy=17,
    )
    assert not nvml.open


def test_a_driver_that_does_not_answer(nvml, monkeypatch):
    def refuse():
        raise NVMLError

    monkeypatch.setattr(nvml, "nvmlInit", refuse, raising=False)
    assert device_state("cuda") == DeviceState()


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert device_state("cuda") == DeviceState()


def test_a_processor_has_no_state(nvml):
    assert device_state("cpu") == DeviceState()

"""What a plugin sets for itself is not set for the other methods of the process."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch

from crbench.errors import PluginError
from crbench.registry.guard import UNKNOWN, plugin_stage
from crbench.registry.settings import settings_kept

CHANGES = {
    "dtype": "torch.set_default_dtype(torch.float64)",
    "device": "torch.set_default_device('meta')",
    "gradients": "torch.set_grad_enabled(False)",
    "precision": "torch.set_float32_matmul_precision('medium')",
    "TF32": "torch.backends.cuda.matmul.allow_tf32 = True",
    "cuDNN": "torch.backends.cudnn.benchmark = True",
}


def state():
    found = (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.benchmark,
    )
    x = torch.linspace(0, 1, 10_000, dtype=torch.float32, device="cpu").reshape(100, 100)
    return found, (x @ x).sum().item()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "fails"])
def test_what_a_plugin_sets_is_put_back_and_said(change, fails, caplog):
    before = state()
    with pytest.raises(PluginError, match="no luck") if fails else nullcontext(), plugin_stage(UNKNOWN, "fit"):
        exec(change)
        assert state()[0] != before[0]
        if fails:
            raise ArithmeticError("no luck")
    assert state() == before
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("unknown distribution ? (plugin '?'), at fit, set torch")


def test_a_plugin_that_sets_nothing_is_not_mentioned(caplog):
    with plugin_stage(UNKNOWN, "fit"), torch.no_grad(), torch.device("meta"):
        torch.zeros(1)
    assert not caplog.messages


def test_what_the_user_set_stays():
    torch.set_float32_matmul_precision("high")
    try:
        with settings_kept("a plugin"):
            torch.set_float32_matmul_precision("medium")
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_plugin_that_imports_torch_leaves_it_as_it_is_after_an_import():
    code = f"""
import logging, sys
logging.basicConfig(format="%(message)s")
from crbench.registry.settings import settings_kept
assert "torch" not in sys.modules
with settings_kept("a plugin"):
    import torch
    {"; ".join(CHANGES.values())}
print(torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled())
print(torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark)
with settings_kept("a plugin that does nothing"):
    pass
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "torch.float32 cpu True\nhighest False\n"
    assert ran.stderr.startswith("a plugin set torch's default dtype to torch.float64, ")
    assert ran.stderr.count("a plugin") == 1

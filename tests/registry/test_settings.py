"""What a plugin sets for itself is not set for the other methods of the process."""

from __future__ import annotations

import locale
import logging
import os
import random
import subprocess
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import PIL.ImageFile
import pytest
import torch

from crbench.denormals import are_flushed
from crbench.errors import PluginError
from crbench.registry import settings
from crbench.registry.guard import UNKNOWN, plugin_stage
from crbench.registry.settings import settings_kept

PROCESS = {
    "seed": "torch.manual_seed(1)",
    "seed of numpy": "np.random.seed(1)",
    "seed of Python": "random.seed(1)",
    "draw from numpy": "np.random.rand()",
    "threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "denormals": "torch.set_flush_denormal(True)",
    "determinism": "torch.use_deterministic_algorithms(True)",
    "warnings": "warnings.simplefilter('ignore')",
    "warnings reset": "warnings.resetwarnings()",
    "logging": "logging.getLogger().setLevel(logging.CRITICAL)",
    "no logging": "logging.disable(logging.CRITICAL)",
    "handlers": "logging.getLogger().addHandler(logging.NullHandler())",
    "folder": "os.chdir('/')",
    "locale": "locale.setlocale(locale.LC_ALL, 'C')",
    "variable": "os.environ['CUDA_VISIBLE_DEVICES'] = ''",
    "no variable": "os.environ.pop('HOME', None)",
    "errors of numpy": "np.seterr(all='raise')",
    "damaged images": "PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True",
}

ARITHMETIC = {
    "dtype": "torch.set_default_dtype(torch.float64)",
    "device": "torch.set_default_device('meta')",
    "gradients": "torch.set_grad_enabled(False)",
    "precision": "torch.set_float32_matmul_precision('medium')",
    "TF32": "torch.backends.cuda.matmul.allow_tf32 = True",
    "cuDNN": "torch.backends.cudnn.benchmark = True",
}


def state():
    found = (
        torch.initial_seed(),
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(np.random.get_state()),
        torch.get_num_threads(),
        are_flushed(),
        torch.are_deterministic_algorithms_enabled(),
        sorted(str(entry) for entry in warnings.filters if entry[2].__module__ == "builtins"),
        logging.getLogger().level,
        logging.root.manager.disable,
        list(logging.getLogger().handlers),
        Path.cwd(),
        locale.setlocale(locale.LC_ALL),
        {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "HOME")},
        np.geterr(),
        PIL.ImageFile.LOAD_TRUNCATED_IMAGES,
        torch.get_default_dtype(),
        torch.empty(0).device,
        torch.is_grad_enabled(),
        torch.get_float32_matmul_precision(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.benchmark,
    )
    x = torch.linspace(0, 1, 10_000, dtype=torch.float32, device="cpu").reshape(100, 100)
    return found, (x @ x).sum().item()


@pytest.fixture(autouse=True)
def _said_anew(monkeypatch):
    settings._say.cache_clear()
    monkeypatch.setenv("HOME", "/tmp")
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C.UTF-8")
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.parametrize("change", [*ARITHMETIC.values(), *PROCESS.values()], ids=[*ARITHMETIC, *PROCESS])
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
    assert caplog.messages[0].startswith("unknown distribution ? (plugin '?'), at fit, set ")


def test_it_is_said_once(caplog):
    for _ in range(3):
        with plugin_stage(UNKNOWN, "extract"):
            np.random.seed(1)
    (line,) = caplog.messages
    assert line == (
        "unknown distribution ? (plugin '?'), at extract, set numpy's random generator for all methods, which is undone"
    )


def test_draws_from_torchs_generator_change_no_later_draw(caplog):
    """Layers draw from no other, so that it is not worth a word."""
    before = torch.get_rng_state()
    with plugin_stage(UNKNOWN, "fit"):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert not caplog.messages


def test_filters_of_warnings_for_one_message_stay(caplog):
    """A package that hides a warning of its own, as many do at import, harms nobody."""
    with warnings.catch_warnings():
        with plugin_stage(UNKNOWN, "import"):
            warnings.filterwarnings("ignore", message="our own")
        assert any(entry[1] is not None and entry[1].pattern == "our own" for entry in warnings.filters)
    assert not caplog.messages


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
    {"; ".join(ARITHMETIC.values())}
print(torch.get_default_dtype(), torch.empty(0).device, torch.is_grad_enabled())
print(torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark)
with settings_kept("a plugin that does nothing"):
    pass
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "torch.float32 cpu True\nhighest False\n"
    assert ran.stderr.startswith("a plugin set torch's default dtype to torch.float64, ")
    assert ran.stderr.count("a plugin") == 1

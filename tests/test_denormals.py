"""Denormal numbers count as zero in every thread that computes, and only while it is asked for."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from denormals import share_kept, two_threads

from crbench.denormals import are_flushed, denormals_flushed, flush_denormals

pytestmark = pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor cannot flush denormals")


def test_torch_alone_flushes_in_the_calling_thread_only() -> None:
    """Why more than `torch.set_flush_denormal` is needed; where this fails, OpenMP hands its flags over by itself."""
    if sys.platform != "linux":
        pytest.skip("GNU OpenMP is that of Linux")
    with two_threads():
        torch.set_flush_denormal(True)
        kept = share_kept()
        torch.set_flush_denormal(False)
    assert kept == 0.5


def test_every_thread_flushes_inside_and_none_afterwards() -> None:
    with two_threads():
        for _ in range(2):
            with denormals_flushed():
                assert share_kept() == 0
            assert share_kept() == 1


def test_threads_that_come_later_flush_too() -> None:
    with two_threads():
        with denormals_flushed():
            for threads in (1, 3, 2, 4):
                torch.set_num_threads(threads)
                assert share_kept() == 0
        assert share_kept() == 1


def test_an_error_inside_restores_too() -> None:
    with two_threads():
        with pytest.raises(ArithmeticError), denormals_flushed():
            raise ArithmeticError
        assert not are_flushed()


def test_what_the_caller_set_stays() -> None:
    with two_threads():
        flush_denormals(True)
        with denormals_flushed(), denormals_flushed():
            assert share_kept() == 0
        assert share_kept() == 0
        flush_denormals(False)


def test_another_thread_has_flags_and_a_pool_of_its_own() -> None:
    def computed() -> tuple[float, float]:
        torch.set_num_threads(2)
        with denormals_flushed():
            inside = share_kept()
        return inside, share_kept()

    with two_threads(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(computed).result() == (0, 1)
        assert share_kept() == 1


_SESSION = """
import sys
from contextlib import nullcontext
from pathlib import Path
import numpy as np, torch
from denormals import share_kept, two_threads
from networks import WEIGHT, save_onnx
from crbench.denormals import denormals_flushed
from crbench.records import Batch
from crbench_files.onnx import OnnxBackbone
weight = WEIGHT.copy()
weight[0] = np.array(1, dtype=np.uint32).view(np.float32)
with two_threads():
    with denormals_flushed() if sys.argv[2] == "inside" else nullcontext():
        backbone = OnnxBackbone(save_onnx(Path(sys.argv[1]), weight=weight), size=(64, 32))
        print(share_kept())
    batch = Batch(torch.ones(64, 3, 64, 32), np.ones(64), np.zeros(64))
    with denormals_flushed():
        bits = backbone.extract(batch).x.numpy().view(np.uint32)
    print(np.unique(bits[:, 0]), (bits[:, 1:] != 0).all())
"""
"""Makes the first session of a process, which sets the flags of the thread that makes it."""


@pytest.mark.parametrize(("made", "kept"), [("outside", "1.0"), ("inside", "0.0")])
def test_sessions_of_onnx_runtime_flush_in_their_threads_and_change_nothing_else(tmp_path: Path, made, kept) -> None:
    arguments = [sys.executable, "-c", _SESSION, str(tmp_path / "net.onnx"), made]
    ran = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd="tests")
    assert (ran.stdout, ran.stderr) == (f"{kept}\n[0] True\n", "")

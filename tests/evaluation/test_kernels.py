"""The CUDA text without a GPU: it compiles, and run by the host it counts as every other engine does."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import pytest
import torch
from evaluation.strategies import cases
from evaluation.test_engines import assert_same, run
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench import evaluation
from crbench.evaluation import PRECISIONS, kernels, tiled
from crbench.evaluation.workers import Workers

SHIM = r"""
struct Index { long long x; };
static Index blockIdx, gridDim;
static const Index threadIdx = {0}, blockDim = {1};
#define __global__
#define __device__ static
#define __shared__ static
#define __syncthreads()
static int atomicAdd(int *at, int more) { int old = *at; *at += more; return old; }
static unsigned long long atomicAdd(unsigned long long *at, unsigned long long more)
{ unsigned long long old = *at; *at += more; return old; }
"""
LOOP = """
extern "C" void run_{name}(long long blocks, long long *v)
{{
    gridDim.x = blocks;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
        {name}({values});
}}
"""
KINDS = {
    "count": "i64 i64 i64 float* float* float* float* i64* i64* i64* i64* i64* i64* i64* int* float* float* i64* i64"
    " i64 i64* u64*",
    "dots": "i64 float* i64 float* i64 i64* i64* i64 double*",
}


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Runs the kernels on the host, one block after the other, each of one thread."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to run the kernels on the host")
    folder = tmp_path_factory.mktemp("kernels")
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    loops = [LOOP.format(name=name, values=", ".join(_casts(kinds))) for name, kinds in KINDS.items()]
    source.write_text("typedef unsigned long long u64;\n" + SHIM + kernels.SOURCE + "".join(loops), encoding="utf-8")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    loaded = ctypes.CDLL(str(library))

    def launch(name, blocks, arguments):
        values = [part.data_ptr() if isinstance(part, torch.Tensor) else part for part in arguments]
        getattr(loaded, f"run_{name}")(ctypes.c_longlong(blocks), (ctypes.c_longlong * len(values))(*values))

    return launch


def _casts(kinds):
    return [f"({kind})v[{number}]" for number, kind in enumerate(kinds.split())]


@settings(max_examples=150)
@given(case=cases(), precision=st.sampled_from(PRECISIONS))
def test_kernels_on_the_host_equal_the_reference(launch, case, precision):
    class HostEngine(tiled.TiledEngine):
        def __init__(self, inputs, settings):
            super().__init__(inputs, settings, kernels.KernelCounter(launch), "fp32", Workers(1))

    expected = run(case, engine="reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_load", lambda name: HostEngine)
        assert_same(run(case, precision=precision), expected)


def test_kernels_compile_for_cuda():
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="needs cuda-bindings", exc_type=ImportError)
    try:
        status, program = nvrtc.nvrtcCreateProgram(kernels.SOURCE.encode(), b"kernels.cu", 0, [], [])
    except RuntimeError as error:
        pytest.skip(f"needs the NVRTC library: {error}")
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS
    (status,) = nvrtc.nvrtcCompileProgram(program, 1, [b"--gpu-architecture=compute_90"])
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytearray(size)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.decode()


def test_kernels_refuse_what_they_cannot_read(launch):
    counter = kernels.KernelCounter(launch)
    rows = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"expected contiguous torch\.float32"):
        counter.dots(torch.ones(2, 3).T, torch.ones(3, 2), rows, rows, 2)

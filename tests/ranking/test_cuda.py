"""The CUDA text without a GPU: it compiles, and run by the host it counts as every other engine does."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation.strategies import cases
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.test_engines import assert_same, run
from torch.utils._python_dispatch import TorchDispatchMode

from crbench import EvalProtocol, features_from_arrays
from crbench.evaluation import PRECISIONS, gallery_shards
from crbench.ranking import engine
from crbench.ranking.backends import cuda
from crbench.ranking.gemm import products
from crbench.ranking.threads import Workers
from crbench.ranking.tiling import Sizes

THREADS = 8
"""Threads of a block on the host; a power of two, and more than the processor has."""

SHIM = (
    f"enum {{ THREADS = {THREADS} }};"
    + r"""
#include <barrier>
#include <thread>
struct Index { long long x; };
static thread_local Index blockIdx, threadIdx;
static Index gridDim;
static const Index blockDim = {THREADS};
static std::barrier together(THREADS);
#define __global__
#define __device__ static
#define __shared__ static
static void __syncthreads() { together.arrive_and_wait(); }
template <typename T> static T atomicAdd(T *at, T more) { return __atomic_fetch_add(at, more, __ATOMIC_RELAXED); }
"""
)
LOOP = """
extern "C" void run_{name}(long long blocks, long long *v)
{{
    gridDim.x = blocks;
    std::thread threads[THREADS];
    for (int number = 0; number < THREADS; number++)
        threads[number] = std::thread([=] {{
            threadIdx.x = number;
            for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {{
                {name}({values});
                __syncthreads();  // what is shared is that of the next block from here on
            }}
        }});
    for (std::thread &thread : threads)
        thread.join();
}}
"""
KINDS = {
    "count": "i64 i64 i64 float* float* float* float* i64* i64* i64* i64* i64* i64* i64* int* float* float* i64* i64"
    " i64 i64* u64*",
    "dots": "i64 float* i64 float* i64 i64* i64* i64 double*",
}


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Runs the kernels on the host, one block after the other, each of `THREADS` threads that run at the same time."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to run the kernels on the host")
    folder = tmp_path_factory.mktemp("kernels")
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    loops = [LOOP.format(name=name, values=", ".join(_casts(kinds))) for name, kinds in KINDS.items()]
    source.write_text("typedef unsigned long long u64;\n" + SHIM + cuda.SOURCE + "".join(loops), encoding="utf-8")
    subprocess.run([compiler, "-std=c++20", "-O1", "-pthread", "-shared", "-fPIC", "-o", library, source], check=True)
    loaded = ctypes.CDLL(str(library))

    def launch(name, blocks, arguments):
        values = [part.data_ptr() if isinstance(part, torch.Tensor) else part for part in arguments]
        getattr(loaded, f"run_{name}")(ctypes.c_longlong(blocks), (ctypes.c_longlong * len(values))(*values))

    return launch


def _casts(kinds):
    return [f"({kind})v[{number}]" for number, kind in enumerate(kinds.split())]


def host_engine(launch):
    """The engine for CUDA with kernels on the host, which works one tile ahead as on CUDA."""

    class HostEngine(engine.TiledEngine):
        def __init__(self, inputs, settings):
            super().__init__(inputs, settings, cuda.CudaBackend(launch), "fp32", Workers(1))
            self._lead = 1

    return HostEngine


@settings(max_examples=150)
@given(
    case=cases(), precision=st.sampled_from(PRECISIONS), tile=st.integers(1, 7), share=st.sampled_from([32, 1 << 40])
)
def test_kernels_on_the_host_equal_the_reference(launch, case, precision, tile, share):
    expected = run(case, engine="reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery_shards, "load", lambda name: host_engine(launch))
        patch.setattr(cuda, "_UNCERTAIN_SHARE", share)
        patch.setattr(engine.TiledEngine, "_sizes", lambda *_: Sizes(queries=9, items=tile, counts=1000))
        assert_same(run(case, precision=precision), expected)


def test_no_count_is_lost_where_all_threads_count_for_one_positive(launch):
    """Two persons, whose positives are farther than everybody else; most counts are of one place in shared memory."""
    angles = np.linspace(0.1, 1, 20_000)
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    query = features_from_arrays([[1.0, 0.0], [1.0, 0.01]], pids=[1, 2])
    gallery = features_from_arrays(np.concatenate([x, -query.x.numpy()]), pids=[9] * len(x) + [1, 2])
    case = SimpleNamespace(query=query, gallery=gallery, protocol=EvalProtocol.of(shot="multi"))
    expected = run(case, engine="reference")
    for _ in range(5):
        assert_same(evaluated(launch, case), expected)


def test_uncertain_pairs_beyond_the_list_are_listed_in_parts_and_counted_once(launch, monkeypatch):
    x = np.ones((120, 4))  # all at one distance, so that every pair is uncertain
    query, gallery = features_from_arrays(x[:20], np.arange(20)), features_from_arrays(x, np.arange(120) % 30)
    case = SimpleNamespace(query=query, gallery=gallery, protocol=EvalProtocol.of(shot="multi"))
    expected = run(case, engine="reference")
    monkeypatch.setattr(gallery_shards, "load", lambda name: host_engine(launch))
    launched = []

    def watched(name, blocks, arguments):
        launched.append((name, arguments[:2], arguments[-4]))  # the query-task pairs, and whether they are only listed
        launch(name, blocks, arguments)

    assert_same(evaluated(watched, case), expected)
    counted = [entry for entry in launched if entry[0] == "count"]
    assert counted[0] == ("count", [0, 20], 0)
    assert counted[1:] == [("count", [start, min(start + 1, 20)], 1) for start in range(20)]


def evaluated(launch, case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery_shards, "load", lambda name: host_engine(launch))
        return run(case, precision="fp32")


class OperationNames(TorchDispatchMode):
    """Names of the torch operations in its scope."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.names.append(function.overloadpacket.__name__)
        return function(*arguments, **(keywords or {}))


WAITING = {"_local_scalar_dense", "nonzero", "_unique2", "unique_consecutive", "lift_fresh", "equal", "bincount"}
"""Operations for which a host waits for a device: their result's value or shape is needed, or they bring host data."""


@pytest.mark.parametrize("precision", ["fp32", "bf16x3"])
def test_the_next_tile_is_counted_without_waiting_for_the_device(launch, monkeypatch, precision):
    seen = []

    class Watched(host_engine(launch)):
        def _counted(self, *arguments):
            with OperationNames() as operations:
                found = super()._counted(*arguments)
            seen.append(WAITING & set(operations.names))
            return found

    monkeypatch.setattr(gallery_shards, "load", lambda name: Watched)
    monkeypatch.setattr(products, "_multiplied", products._float_product)  # a device's, in place of this processor's
    rng = np.random.default_rng(1)
    query, gallery = (features_from_arrays(rng.normal(size=(n, 16)), np.arange(n) % 50) for n in (100, 3000))
    case = SimpleNamespace(query=query, gallery=gallery, protocol=EvalProtocol.of(shot="multi"))
    run(case, precision=precision, memory_budget=1 << 20)
    assert len(seen) > 4
    assert seen[0]  # once per evaluation: whether rows must be scaled or centred
    assert not set().union(*seen[1:])


@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_for_cuda(capability):
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="needs cuda-bindings", exc_type=ImportError)
    try:
        status, program = nvrtc.nvrtcCreateProgram(cuda.SOURCE.encode(), b"kernels.cu", 0, [], [])
    except RuntimeError as error:
        pytest.skip(f"needs the NVRTC library: {error}")
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS
    (status,) = nvrtc.nvrtcCompileProgram(program, 1, [f"--gpu-architecture=sm_{capability}".encode()])
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytearray(size)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.decode()


def test_kernels_refuse_what_they_cannot_read(launch):
    backend = cuda.CudaBackend(launch)
    rows = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"expected contiguous torch\.float32"):
        backend.dots(torch.ones(2, 3).T, torch.ones(3, 2), rows, rows, 2)

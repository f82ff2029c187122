"""Processor, threads, memory, GPUs and the folders that a run writes to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from crbench.config.paths import cache_root, weights_root
from crbench.doctor.finding import Finding
from crbench.inputs import memory_limit

_GIB = 2**30
_LITTLE_DISK = _GIB
_LITTLE_MEMORY = 4 * _GIB
_INSTRUCTIONS = {
    "amx_int8": "AMX int8",
    "amx_bf16": "AMX bf16",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 bf16",
    "avx512": "AVX-512",
    "avx2": "AVX2",
}
"""Sets of instructions that decide the speed of products, by torch's names."""

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def processor() -> Iterator[Finding]:
    """Instructions for fast products."""
    import torch

    from crbench.harness.environment import processor_name
    from crbench.ranking.gemm import processor_has

    if not hasattr(torch.cpu, "get_capabilities"):
        yield Finding(
            "processor", "ok", f"{processor_name()}: torch {torch.__version__} does not tell its instructions"
        )
        return
    known = [words for name, words in _INSTRUCTIONS.items() if processor_has(name)]
    found = f"{processor_name()}: {', '.join(known) or 'torch names no instructions'}"
    fast = processor_has("amx_bf16", "avx512_bf16")
    advice = "--amp auto extracts in bf16 where that keeps ranks" if fast else "leave --amp off: bf16 is slow here"
    yield Finding("processor", "ok", found, advice)


def threads() -> Iterator[Finding]:
    """Threads of torch, and the processors that this process may use."""
    import torch

    allowed, count = _processors(), torch.get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS")
    found = f"torch computes with {count}, {allowed} processors may be used"
    if asked:
        found += f", OMP_NUM_THREADS={asked}"
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        if value := os.environ.get(name):
            found += f", {name}={value}"
    if count > allowed:
        advice = f"threads wait for each other: set OMP_NUM_THREADS={allowed}"
        yield Finding("threads", "note", found, advice)
    else:
        yield Finding("threads", "ok", found, "unset OMP_NUM_THREADS to use all" if asked and count < allowed else "")


def memory() -> Iterator[Finding]:
    """Memory that this process may take."""
    limit = memory_limit()
    little = limit < _LITTLE_MEMORY
    advice = "large evaluations: crbench evaluate --memory-budget 512MB; trainings: a smaller batch" if little else ""
    yield Finding("memory", "note" if little else "ok", f"{limit / _GIB:.1f} GiB", advice)


def gpus() -> Iterator[Finding]:
    """Each GPU that torch can use."""
    import torch

    if not torch.cuda.is_available():
        yield Finding("GPU", "ok", "none that torch can use; everything runs on the CPU")
        return
    built = set(torch.cuda.get_arch_list())
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        free, total = torch.cuda.mem_get_info(number)
        found = f"cuda:{number} {facts.name}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
        kernels = {f"sm_{facts.major}{facts.minor}", f"compute_{facts.major}{facts.minor}", f"sm_{facts.major}0"}
        if built and not kernels & built:
            advice = f"this torch has kernels for {', '.join(sorted(built))} only: install another build"
            yield Finding("GPU", "fault", found, advice)
        elif free < total / 2:
            yield Finding("GPU", "note", found, "other processes hold its memory; see nvidia-smi")
        else:
            yield Finding("GPU", "ok", found)


def folders() -> Iterator[Finding]:
    """Cache, weights and the current folder: whether they can be written, and the space that is left."""
    places = (
        ("cache", "CRBENCH_CACHE", cache_root()),
        ("weights", "CRBENCH_WEIGHTS", weights_root()),
        ("here", "", Path.cwd()),
    )
    for name, variable, folder in places:
        yield _folder(f"folder: {name}", variable, folder)


def _folder(subject: str, variable: str, folder: Path) -> Finding:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    elsewhere = f"set {variable} to another folder" if variable else "change to another folder"
    if not there.is_dir():
        return Finding(subject, "fault", f"{folder}: {there} is a file", elsewhere)
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(subject, "fault", f"{folder}: nothing can be written in {there}", elsewhere)
    free = shutil.disk_usage(there).free
    found = f"{folder}: {free / _GIB:.1f} GiB free"
    if free < _LITTLE_DISK:
        return Finding(subject, "fault", found, f"make room (crbench cache prune --older-than 30), or {elsewhere}")
    return Finding(subject, "ok", found)


def _processors() -> int:
    """Processors by affinity and by the quota of a container."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not _QUOTA.is_file():
        return allowed
    quota, _, period = _QUOTA.read_text(encoding="ascii").partition(" ")
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))

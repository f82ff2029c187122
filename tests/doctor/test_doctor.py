"""`crbench doctor`: a machine with three made faults, and each finding by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import namedtuple
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace

import builders
import pytest
import torch

import crbench
from crbench.cli import invoke
from crbench.doctor import belongings, examine, machine, software
from crbench.registry import discovery
from crbench.registry.points import installed_points


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    for name in ("DATA", "CACHE", "WEIGHTS"):
        monkeypatch.setenv(f"CRBENCH_{name}", str(tmp_path / name.lower()))
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def only(findings):
    (found,) = findings
    return found


def install(site: Path, name: str, version: str = "13.6.0", entry_points: str = "") -> None:
    """Make a distribution look installed."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "entry_points.txt").write_text(entry_points)


def test_three_made_faults_are_found_with_what_to_do(tmp_path):
    site = tmp_path / "site"
    install(site, "cupy-cuda12x")
    install(site, "cupy-cuda13x")
    install(site, "old-methods", "0.1", "[crbench]\nold-methods = old_methods\n")
    (site / "old_methods.py").write_text("import a_library_that_moved\n")
    (tmp_path / "file").write_text("")
    paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "CRBENCH_CACHE": str(tmp_path / "file" / "cache")}
    command = [sys.executable, "-m", "crbench", "doctor", "--format", "json"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    faults = {one["subject"]: one for one in json.loads(done.stdout) if one["state"] == "fault"}
    assert faults.keys() == {"CuPy", "plugin: old-methods", "folder: cache"}
    assert faults["CuPy"]["found"] == "installed 2 times: cupy-cuda12x, cupy-cuda13x"
    assert "pip uninstall cupy-cuda12x cupy-cuda13x, then install one" in faults["CuPy"]["advice"]
    assert "No module named 'a_library_that_moved'" in faults["plugin: old-methods"]["found"]
    assert "update or uninstall old-methods" in faults["plugin: old-methods"]["advice"]
    assert faults["folder: cache"]["found"].endswith(f"{tmp_path / 'file'} is a file")
    assert "set CRBENCH_CACHE to another folder" in faults["folder: cache"]["advice"]
    assert "crbench: 3 faults" in done.stderr


def test_a_sound_machine_has_exit_code_0(capsys, monkeypatch):
    monkeypatch.setattr(machine, "_LITTLE_DISK", 0)
    monkeypatch.setattr(software, "_DRIVER", Path("/no/driver"))
    assert invoke(["doctor"]) == 0
    shown = capsys.readouterr()
    assert "crbench: 0 faults" in shown.err
    for subject in ("Python", "torch", "GPU", "processor", "threads", "memory", "folder: cache", "weights", "plugins"):
        assert f"\n{subject} " in shown.out


def test_a_data_root_that_is_named_and_not_there_is_a_fault(tmp_path, monkeypatch, capsys):
    def root(option=None):
        return {one.subject: one for one in belongings.data_sets(option)}["data root"]

    (tmp_path / "data").rmdir()
    assert root().state == "fault"
    assert root().found == f"{tmp_path / 'data'}: CRBENCH_DATA names it, and there is no such folder"
    assert root(tmp_path / "no").advice == "make the folder, or mend what --data-root says"
    assert invoke(["doctor", "--data-root", str(tmp_path / "no")]) == 1
    assert "crbench: 1 fault, " in capsys.readouterr().err
    monkeypatch.delenv("CRBENCH_DATA")
    (tmp_path / "config" / "crbench").mkdir(parents=True)
    config = tmp_path / "config" / "crbench" / "config.toml"
    config.write_text("data_root = '/no/data'\n")
    assert root().found == "/no/data: config.toml names it, and there is no such folder"
    config.write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert root().state == "ok"  # nobody asked for it


def test_a_name_of_two_plugins_has_a_way_out(monkeypatch):
    entry = EntryPoint("mine", "mine", "crbench")
    module = ModuleType("mine")
    module.crbench_aligners = crbench.hookimpl(lambda: [crbench.Entry("ridge", dict)])
    monkeypatch.setitem(sys.modules, "mine", module)
    both = discovery.discover([entry, *installed_points()[0]])
    monkeypatch.setattr(belongings, "list_plugins", lambda: list(both.records()))
    advice = [one.advice for one in belongings.plugins() if one.subject == "plugin: ridge"]
    assert advice == ["or uninstall one of the two"] * 2


def test_what_is_asked_wrongly_hides_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "config" / "crbench").mkdir(parents=True)
    (tmp_path / "config" / "crbench" / "config.toml").write_text("data_rot = 1\n")
    monkeypatch.delenv("CRBENCH_DATA")
    faults = {one.subject: one.found for one in examine() if one.state == "fault"}
    assert "unknown field data_rot" in faults["data sets"]
    assert "plugins" in {one.subject for one in examine()}


def cuda(monkeypatch, *, built="12.8", available=True, free=80, architectures=("sm_90",)):
    """Make torch see one GPU of compute capability 9.0 with 80 GiB."""
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(architectures))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (free * 2**30, 80 * 2**30))
    facts = SimpleNamespace(name="H80", major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: facts)


@pytest.mark.parametrize(
    ("facts", "state", "advice"),
    [
        ({}, "ok", ""),
        ({"free": 10}, "note", "nvidia-smi"),
        ({"architectures": ["sm_70", "sm_120"]}, "fault", "kernels for sm_120, sm_70 only"),
    ],
)
def test_gpus(facts, state, advice, monkeypatch):
    cuda(monkeypatch, **facts)
    found = only(machine.gpus())
    assert (found.state, advice in found.advice) == (state, True)
    assert found.found.startswith("cuda:0 H80, ")


@pytest.mark.parametrize(
    ("built", "available", "driver", "state", "advice"),
    [
        ("12.8", True, True, "ok", ""),
        (None, False, False, "ok", ""),
        (None, False, True, "note", "install torch with CUDA"),
        ("13.2", False, True, "fault", "update NVIDIA's driver"),
    ],
)
def test_torch_and_the_driver(built, available, driver, state, advice, monkeypatch, tmp_path):
    cuda(monkeypatch, built=built, available=available)
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.1\n")
    monkeypatch.setattr(software, "_DRIVER", tmp_path / ("version" if driver else "none"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = only(software.torch())
    assert (found.state, advice in found.advice) == (state, True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert only(software.torch()).state != "fault", "somebody hides the GPUs on purpose"


@pytest.mark.parametrize(
    ("names", "built", "state", "advice"),
    [
        ([], None, "ok", ""),
        ([], "12.8", "note", "crbench[cuda12]"),
        (["cupy-cuda12x"], "12.8", "ok", ""),
        (["cupy-cuda12x"], "13.2", "fault", "pip uninstall cupy-cuda12x, then pip install 'crbench[cuda13]'"),
        (["cupy"], "13.2", "ok", ""),
        (["cupy", "cupy-cuda12x"], "12.8", "fault", "overwrite each other"),
    ],
)
def test_cupy(names, built, state, advice, monkeypatch, tmp_path):
    cuda(monkeypatch, built=built, available=built is not None)
    for name in names:
        install(tmp_path / "site", name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    found = only(software.cupy())
    assert (found.state, advice in found.advice) == (state, True)


def test_versions_below_what_is_required_are_named(monkeypatch):
    monkeypatch.setattr(software, "_version", lambda name: "0.1" if name == "numpy" else "999")
    found = next(iter(software.requirements()))
    assert (found.state, found.found) == ("fault", "numpy 0.1, expected >=1.26")


@pytest.mark.parametrize("fast", [True, False])
def test_half_precision_is_suggested_where_the_processor_has_it(fast, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)  # which an older torch has not
    monkeypatch.setattr("crbench.ranking.gemm.processor_has", lambda *names: fast and "avx512_bf16" in names)
    found = only(machine.processor())
    assert found.state == "ok"
    assert ("--amp auto" in found.advice, "leave --amp off" in found.advice) == (fast, not fast)


def test_an_older_torch_does_not_tell_the_instructions_of_the_processor(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    found = only(machine.processor())
    assert found.state == "ok"
    assert found.found.endswith("does not tell its instructions")
    assert found.advice == ""


def test_more_threads_than_processors(monkeypatch):
    monkeypatch.setattr(machine, "_processors", lambda: 0)
    found = only(machine.threads())
    assert (found.state, "OMP_NUM_THREADS=0" in found.advice) == ("note", True)


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1)])
def test_processors_of_a_container(quota, expected, monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(machine, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert machine._processors() == expected


def test_a_full_disk_and_little_memory(monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage(2**20))
    monkeypatch.setattr(machine, "memory_limit", lambda: 2**31)
    assert [one.state for one in machine.folders()] == ["fault"] * 3
    assert only(machine.memory()).state == "note"


def test_copies_of_data_sets_are_counted(tmp_path):
    builders.build_market1501(tmp_path / "data", people=4)
    found = {one.subject: one for one in belongings.data_sets(None)}
    assert found.keys() == {"data root", "data: market1501"}, "mlr-market1501 shares the folder"
    assert found["data root"].found == f"{tmp_path / 'data'}: 1 copies found"
    assert found["data: market1501"].state == "note"
    assert "12 train images" in found["data: market1501"].found
    assert "crbench data verify market1501" in found["data: market1501"].advice
    assert only(belongings.data_sets(tmp_path / "nowhere")).found.endswith("no such folder")
    (tmp_path / "file").write_text("")
    assert only(belongings.data_sets(tmp_path / "file")).state == "fault"


def test_weights_that_are_there_are_named(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "osnet_x1_0_market_256x128.pth").write_bytes(b"0" * 3_000_000)
    assert only(belongings.weights()).found.endswith("1 files, 3 MB, released: osnet/x1_0")
    (tmp_path / "weights" / "osnet_x1_0_msmt17.pth").write_bytes(b"")
    assert any("several released weights fit" in one.found for one in examine() if one.subject == "weights")

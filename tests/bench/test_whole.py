"""What benchmarks keep for predictions."""

from __future__ import annotations

import json

import pytest
from fake_plugins import fakes

from crbench.bench.plan import BenchSpec
from crbench.bench.run import bench
from crbench.bench.whole import bench_paces, whole_run
from crbench.harness.paces import FOLDER, network
from crbench.registry.resolve import resolve
from crbench.results import Extraction

__all__ = ["fakes"]


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    for name in ("CACHE", "WEIGHTS"):
        monkeypatch.setenv(f"CRBENCH_{name}", str(tmp_path / name.lower()))


def test_a_whole_run_keeps_what_its_steps_took_and_nothing_else(fakes, tmp_path):
    whole_run(BenchSpec(dataset="tiny", backbone="random", aligner="shift"), "cpu")()
    (file,) = (tmp_path / "cache" / FOLDER).iterdir()
    kept = {entry["step"]: entry["samples"] for entry in json.loads(file.read_text())["paces"].values()}
    assert kept.keys() == {"decode", "network", "fit", "time", "evaluate", "record"}
    assert {sample["by"] for samples in kept.values() for sample in samples} == {"bench"}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [FOLDER]


def test_the_network_alone_is_kept():
    record = bench(
        BenchSpec(stages=["forward"], backbone="resnet-tiny", batch_size=2, device="cpu", budget_s=0.01, apart_s=0)
    )
    (offline,) = (one for one in record.stages if one.scenario == "Offline")
    extraction = Extraction(batch_size=64)  # another batch size has the same pace
    (sample,) = bench_paces("cpu").find(
        "network alone", network(resolve("backbone", "resnet-tiny"), extraction, flip=False)
    )
    assert (sample.count, sample.seconds, sample.by) == (2, offline.seconds.median, "bench")


def test_a_home_that_is_not_known_stops_no_benchmark(monkeypatch):
    monkeypatch.setenv("CRBENCH_CACHE", "~nobody-of-that-name/cache")
    assert bench_paces("cpu").cache is None

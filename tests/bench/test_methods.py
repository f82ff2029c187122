"""``crbench run --bench``: the methods of a run, measured at its end."""

from __future__ import annotations

import json

import attrs
import pytest

from crbench.api.context import RunContext
from crbench.bench import BenchSpec, load_benches, methods
from crbench.bench.methods import bench_run
from crbench.cli import invoke
from crbench.config.run_spec import RunSpec
from crbench.harness.run import run
from crbench.results import load_results

SMALL = {"dataset.train_identities": 8, "dataset.test_identities": 6, "backbone.epochs": 1}
QUICK = BenchSpec(samples=4, batch_size=2, spread=1e9, budget_s=0.01, apart_s=0)


TINY = {"vpfa.hidden": 16, "vpfa.blocks": 1, "vpfa.draws": 64, "vpfa.epochs": 1, "ridge.scope": "shared"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "CACHE", "WEIGHTS"):
            patch.setenv(f"CRBENCH_{name}", str(folder / name.lower()))
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def spec(folder):
    return RunSpec(
        dataset="mlr-synthetic",
        aligner=("ridge", "vpfa"),
        trial="0",
        set={**SMALL, **TINY},
        device="cpu",
        output=folder / "results",
    )


@pytest.fixture(scope="module")
def results(spec):
    return run(spec)


def test_each_method_is_measured_once_and_its_network_beside_the_first(spec, results):
    """Settings belong to one of the methods each, as in the run."""
    found = bench_run(spec, results, RunContext(), options=QUICK, command="crbench run")
    assert [[one.stage for one in bench.stages if one.scenario == "Offline"] for bench in found] == [
        ["forward", "fit", "transform"],
        ["fit", "transform"],
        ["fit", "transform"],
    ]
    assert [bench.aligner.name for bench in found] == ["none", "ridge", "vpfa"]
    assert found[2].aligner.parameters == results[2].method.aligner.parameters
    assert found[0].backbone.parameters == results[0].method.backbone.parameters


def test_benchmarks_lie_beside_the_results_and_each_kind_is_read_as_what_it_is(spec, results):
    found = bench_run(spec, results, RunContext(), options=QUICK, command="crbench run")
    files = sorted(spec.output.rglob("*.bench.json"))
    assert [file.with_name(file.name.replace(".bench", "")).exists() for file in files] == [True] * 3
    assert sorted(load_benches([spec.output]), key=repr) == sorted(found, key=repr)
    assert len(load_results([spec.output])) == len(results)


def test_cells_that_failed_are_not_measured(spec, results):
    failed = [
        attrs.evolve(one, status="failed", error="E", trials=(), metrics={}, by_rate={}, intervals=None)
        for one in results
    ]
    assert bench_run(spec, failed, RunContext(), options=QUICK, command="") == []


def test_a_method_that_cannot_be_measured_stops_no_other(spec, results, monkeypatch, caplog):
    real = methods.bench_method

    def failing(asked, backbone, built, aligner, **how):
        if aligner.name == "ridge":
            raise RuntimeError("no such thing")
        return real(asked, backbone, built, aligner, **how)

    monkeypatch.setattr(methods, "bench_method", failing)
    found = bench_run(spec, results, RunContext(), options=QUICK, command="")
    assert [bench.aligner.name for bench in found] == ["none", "vpfa"]
    assert "ridge with resnet-tiny cannot be measured: " in caplog.text


def test_the_command_line_shows_the_speeds(folder, monkeypatch, capsys):
    monkeypatch.setattr("crbench.bench.BenchSpec", lambda: QUICK)
    arguments = ["run", "--dataset", "mlr-synthetic", "--aligner", "ridge", "--trial", "0", "--output", "shown"]
    settings = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    assert invoke([*arguments, *settings, "--bench", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["blocks"][0]["rows"]
    for row in rows:
        assert [speed["stage"] for speed in row["speeds"]] == ["forward", "fit", "transform"]
    assert invoke(["leaderboard", "shown", "--bench", "shown", "--format", "json"]) == 0
    assert [row["speeds"] for row in json.loads(capsys.readouterr().out)["blocks"][0]["rows"]] == [
        row["speeds"] for row in rows
    ]

"""A whole benchmark at a small size, its file, its verdict and its comparison."""

from __future__ import annotations

import json

import attrs
import jsonschema
import pytest

from crbench.bench import STAGES, BenchSpec, bench, load_bench, schema, to_json
from crbench.bench.compare import compare
from crbench.bench.hardware import DeviceState
from crbench.bench.repeat import Quantiles
from crbench.bench.run import verdict
from crbench.bench.table import render, render_comparison
from crbench.cli import invoke
from crbench.config.run_spec import RunSpec
from crbench.errors import ComparisonError, ConfigError
from crbench.harness.plan import make_plan
from crbench.harness.record import component
from crbench.registry.resolve import resolve

SMALL = {
    "device": "cpu",
    "dim": 16,
    "query": 6,
    "gallery": 60,
    "samples": 4,
    "batch_size": 2,
    "budget_s": 0.01,
    "spread": 1e9,
}


@pytest.fixture(scope="module")
def record():
    settings = {"aligner.hidden": 8, "aligner.blocks": 1}
    return bench(BenchSpec(backbone="resnet-tiny", aligner="vpfa", settings=settings, **SMALL))


def by_name(record):
    return {(one.stage, one.scenario): one for one in record.stages}


def test_every_stage_is_measured(record):
    stages = by_name(record)
    assert {stage for stage, _ in stages} == set(STAGES) - {"run"}
    assert stages["fit", "Offline"].unit == "steps"
    assert all(one.per_second > 0 and one.seconds.repeats >= 10 for one in record.stages)
    assert all(one.batch == 1 for one in record.stages if one.scenario == "SingleStream")


def test_operations_are_counted_by_torch(record):
    stages = by_name(record)
    assert stages["distance", "Offline"].flops == 2 * 6 * 60 * 16
    transform = stages["transform", "Offline"]
    assert transform.macs_per_sample == 16 * 8 + 8 * 16
    assert transform.parameters == 16 * 8 + 8 + 2 * 8 + 8 * 16 + 16
    assert transform.flop_share == pytest.approx(
        transform.flops / transform.seconds.median / record.ceilings.flop_per_s["fp32"]
    )
    assert stages["ranking", "Offline"].flops is None


def test_the_file_keeps_to_its_schema(record, tmp_path):
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads(to_json(record)), schema())
    (tmp_path / "b.json").write_text(to_json(record))
    assert load_bench(tmp_path / "b.json") == record


def test_the_schema_refuses_what_is_not_known(record):
    content = {**json.loads(to_json(record)), "surprise": 1}
    assert not jsonschema.Draft202012Validator(schema()).is_valid(content)


def test_a_closed_form_aligner_is_timed_by_whole_fits():
    record = bench(BenchSpec(aligner="mean-shift", stages=["fit"], **SMALL))
    assert record.stages[0].unit == "fits"


def test_the_images_of_a_data_set(tmp_path, monkeypatch):
    for name in ("CACHE", "WEIGHTS", "DATA"):
        monkeypatch.setenv(f"CRBENCH_{name}", str(tmp_path))
    spec = BenchSpec(stages=["decode"], dataset="mlr-synthetic", **SMALL)
    assert by_name(bench(spec))["decode", "Offline"].batch == 4


def test_a_transform_that_gives_its_features_back_moves_no_bytes():
    record = bench(BenchSpec(aligner="none", stages=["transform"], **SMALL))
    assert {(one.bytes, one.bytes_share) for one in record.stages} == {(None, None)}


def noisy(record):
    wide = Quantiles.of([1.0] * 5 + [2.0] * 5)
    return attrs.evolve(record, stages=[attrs.evolve(record.stages[0], seconds=wide)])


def test_a_wide_interval_is_not_published(record):
    status, reasons = verdict(list(noisy(record).stages), (), 0.05)
    assert status == "noisy"
    assert "wanted 5 %" in reasons[0]


def test_a_device_that_is_held_back_is_not_published(record):
    status, reasons = verdict(list(record.stages), (DeviceState(throttled=["temperature"]),), 1e9)
    assert (status, reasons) == ("throttled", ("the device is held back: temperature",))


def test_ratios_and_differences(record):
    first = record.stages[0]
    faster = attrs.evolve(first, per_second=2 * first.per_second)
    environment = attrs.evolve(record.environment, threads=7)
    other = attrs.evolve(record, stages=[faster, *record.stages[2:]], environment=environment)
    comparison = compare(record, other)
    assert comparison.rows[0].ratio == 2
    assert ("threads", str(record.environment.threads), "7") in comparison.differences
    assert comparison.unmatched == ("decode, SingleStream",)
    text = render_comparison(comparison, ("a.json", "b.json"))
    assert "2.000" in text
    assert "differs: threads" in text


def test_unfit_benchmarks_are_not_compared(record):
    bad = attrs.evolve(record, status="noisy", reasons=["decode: too wide"])
    with pytest.raises(ComparisonError, match="second benchmark is noisy"):
        compare(record, bad)


def test_benchmarks_without_a_common_stage_are_not_compared(record):
    with pytest.raises(ComparisonError, match="no stage in common: decode and distance"):
        compare(
            attrs.evolve(record, stages=record.stages[:1]),
            attrs.evolve(record, stages=[one for one in record.stages if one.stage == "distance"]),
        )


def test_the_table_says_what_is_unfit(record):
    text = render(attrs.evolve(record, status="noisy", reasons=["decode: \x1b too wide"]))
    assert "NOT FIT TO PUBLISH (noisy): decode" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"stages": ["alignment"]}, "unknown stage 'alignment'; known: decode"),
        ({"stages": ["transform"]}, "stage 'transform' needs a method or data; name it with --aligner"),
        ({"stages": ["run"]}, "name it with --dataset"),
    ],
)
def test_stages_that_cannot_be(spec, message):
    with pytest.raises(ConfigError, match=message):
        BenchSpec(**spec).wanted()


SIZES = ["--dim", "8", "--query", "4", "--gallery", "40"]
ARGUMENTS = ["--stage", "distance", "--device", "cpu", "--budget", "0.01", *SIZES]


def test_the_command_line(tmp_path, capsys):
    files = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for file in files:
        assert invoke(["bench", *ARGUMENTS, "--spread", "1e9", "-o", file]) == 0
    assert "distance  Offline" in capsys.readouterr().out
    assert invoke(["bench", "compare", *files]) == 0
    assert "ratio" in capsys.readouterr().out


def test_noise_is_exit_code_1(capsys):
    assert invoke(["bench", *ARGUMENTS, "--spread", "1e-12", "--format", "json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "noisy"
    assert "not fit to publish, noisy" in err


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The specs of the runs that the stage ``run`` asks for, which do nothing."""
    for name in ("CACHE", "WEIGHTS", "DATA"):
        monkeypatch.setenv(f"CRBENCH_{name}", str(tmp_path))
    calls = []
    monkeypatch.setattr("crbench.bench.whole.run", lambda spec: calls.append(spec) or [])
    return calls


QUICK = ["--device", "cpu", "--spread", "1e9", "--budget", "0.01", "--samples", "4"]


def test_the_whole_run(runs, capsys):
    command = ["bench", "--stage", "run", "--dataset", "mlr-synthetic", "--aligner", "ridge", *QUICK]
    options = ["--precision", "fp32", "--batch-size", "7", "--amp", "bf16"]
    assert invoke([*command, *options, "--set", "aligner.scope=shared", "--set", "protocol.kernel=bicubic"]) == 0
    assert "run" in capsys.readouterr().out
    spec = runs[0]
    assert (spec.dataset, spec.aligner, spec.cache, spec.resume) == (("mlr-synthetic",), ("ridge",), False, False)
    assert (spec.precision, spec.batch_size, spec.amp) == ("fp32", 7, "bf16")
    assert spec.set == {"aligner.scope": "shared", "protocol.kernel": "bicubic"}
    assert not spec.output.exists()


@pytest.mark.parametrize("stage", ["run", "transform", "fit"])
def test_presets_and_settings_are_those_of_a_run(runs, tmp_path, stage):
    """Default presets of the data set, settings by kind and by the method's own name, the last of which wins."""
    spec = {
        "dataset": "mlr-synthetic",
        "backbone": "resnet-tiny",
        "aligner": "vpfa",
        "settings": {"vpfa.hidden": 8, "aligner.blocks": 1, "aligner.hidden": 16, "resnet-tiny.epochs": 3},
    }
    record = bench(BenchSpec(stages=[stage], **spec, **{**SMALL, "dim": None}))
    request = {name: spec[name] for name in ("dataset", "backbone", "aligner")}
    (job,) = make_plan(RunSpec(**request, set=spec["settings"])).jobs
    backbone, aligner = component(job.backbone), component(job.aligners[-1])
    assert (record.backbone, record.aligner) == (backbone, aligner)
    assert (aligner.preset, aligner.parameters["hidden"], backbone.parameters["epochs"]) == ("light", 8, 3)


def test_a_whole_run_is_recorded_with_the_parts_that_it_takes_by_default(runs):
    record = bench(BenchSpec(stages=["run"], dataset="mlr-synthetic", **{**SMALL, "dim": None}))
    assert (record.backbone.name, record.aligner.name, record.dim) == ("resnet-tiny", "none", 256)


@pytest.mark.parametrize("stage", ["transform", "fit"])
def test_a_preset_without_a_data_set(stage):
    settings = {"vpfa.hidden": 8, "aligner.blocks": 1}
    record = bench(BenchSpec(stages=[stage], aligner="vpfa/light", settings=settings, **SMALL))
    assert record.aligner.preset == "light"
    assert record.aligner == component(resolve("aligner", "vpfa/light", {"hidden": 8, "blocks": 1}))


def test_settings_of_the_data_set_and_the_protocol_reach_decoding(runs, monkeypatch):
    seen = []
    monkeypatch.setattr("crbench.bench.stages.degrade", lambda image, rate, rules: seen.append(rules) or image)
    settings = {"protocol.kernel": "bicubic", "dataset.test_identities": 3, "dataset.images_per_camera": 1}
    spec = BenchSpec(stages=["decode"], dataset="mlr-synthetic", settings=settings, **{**SMALL, "samples": 99})
    assert by_name(bench(spec))["decode", "Offline"].batch < 99
    assert {rules.kernel for rules in seen} == {"bicubic"}

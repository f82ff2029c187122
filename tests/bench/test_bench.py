"""A whole benchmark at a small size, its file, its verdict and its comparison."""

from __future__ import annotations

import json
import logging
from importlib import resources

import attrs
import jsonschema
import pytest

from crbench.bench import STAGES, BenchSpec, bench, blocks, load_bench, schema, to_json
from crbench.bench import run as module
from crbench.bench.ceilings import Ceilings
from crbench.bench.compare import compare
from crbench.bench.load import Load
from crbench.bench.table import render, render_comparison
from crbench.cli import invoke
from crbench.config.run_spec import RunSpec
from crbench.errors import ComparisonError, ConfigError, DataError
from crbench.harness.plan import make_plan
from crbench.harness.record import component
from crbench.registry.resolve import resolve

QUIET = Load(seconds=1.0, processors=2, others=0.0, stolen=0.0, average=0.0)
SMALL = {
    "device": "cpu",
    "dim": 16,
    "query": 6,
    "gallery": 60,
    "samples": 4,
    "batch_size": 2,
    "budget_s": 0.01,
    "spread": 1e9,
    "apart_s": 0.0,
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


def test_the_published_schema_is_the_one_of_the_records():
    path = resources.files("crbench").joinpath("schema", "bench-2.json")
    assert json.loads(path.read_text(encoding="utf-8")) == schema(), "write json.dumps(schema(), indent=2) there"


def test_a_file_of_0_1_0_is_refused_with_the_command_that_measures_again(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps({"schema_version": 1, "status": "ok", "command": "crbench bench x"}))
    with pytest.raises(
        DataError, match=r"old\.json: measured by crbench 0\.1\.0, .*; measure again by crbench bench x"
    ):
        load_bench(tmp_path / "old.json")


def test_the_schema_refuses_what_is_not_known(record):
    content = {**json.loads(to_json(record)), "surprise": 1}
    assert not jsonschema.Draft202012Validator(schema()).is_valid(content)


def test_a_closed_form_aligner_is_timed_by_whole_fits():
    record = bench(BenchSpec(aligner="mean-shift", stages=["fit"], **SMALL))
    assert record.stages[0].unit == "fits"


def test_fits_that_are_repeated_do_not_repeat_their_notes(caplog):
    with caplog.at_level(logging.INFO, "crbench"):
        bench(BenchSpec(aligner="ridge", stages=["fit", "transform"], **SMALL))
    assert caplog.messages == []


def test_the_images_of_a_data_set(tmp_path, monkeypatch):
    for name in ("CACHE", "WEIGHTS", "DATA"):
        monkeypatch.setenv(f"CRBENCH_{name}", str(tmp_path))
    spec = BenchSpec(stages=["decode"], dataset="mlr-synthetic", **SMALL)
    assert by_name(bench(spec))["decode", "Offline"].batch == 4


def test_a_transform_that_gives_its_features_back_moves_no_bytes():
    record = bench(BenchSpec(aligner="none", stages=["transform"], **SMALL))
    assert {(one.bytes, one.bytes_share) for one in record.stages} == {(None, None)}


def test_every_stage_is_measured_in_two_blocks(record):
    for one in record.stages:
        assert min(one.medians) <= one.seconds.median <= max(one.medians)
        assert one.seconds.repeats >= 2 * 10


def test_no_share_is_above_one(record):
    shares = [share for one in record.stages for share in (one.flop_share, one.bytes_share) if share is not None]
    assert shares
    assert max(shares) <= 1


class BusyOnce:
    """A meter of a machine on which others work during one measurement, counted from 1."""

    def __init__(self, number):
        self.number, self.reads = number, 0

    def read(self):
        self.reads += 1
        return attrs.evolve(QUIET, others=0.9 if self.reads == self.number else 0.0)


def test_one_disturbed_stage_hides_no_other(monkeypatch):
    """Steady foreign work slows every call by as much: the numbers looked fit to be published."""
    meter = BusyOnce(4)  # the second block's second stage
    monkeypatch.setattr(blocks, "LoadMeter", lambda: meter)
    record = bench(BenchSpec(stages=["distance", "ranking"], **SMALL))
    assert [one.stage for one in record.fit_stages] == ["distance"]
    assert record.unfit == ("ranking, Offline: disturbed: other work had 0.90 of 2 processors, a hypervisor 0.00",)


def test_a_machine_that_is_busy_before_the_first_stage_spoils_all(monkeypatch):
    monkeypatch.setattr(module, "watch", lambda seconds: attrs.evolve(QUIET, stolen=0.5))
    record = bench(BenchSpec(stages=["distance"], **SMALL))
    assert record.fit_stages == ()
    assert [reason.partition(",")[0] for reason in record.unfit] == [
        "disturbed: before the first stage",
        "disturbed: after the last stage",
    ]


def test_ceilings_are_measured_before_and_after_and_the_higher_ones_count(monkeypatch):
    rates = iter((1e30, 2e30))
    monkeypatch.setattr(
        module, "measure_ceilings", lambda *_, **__: Ceilings(bytes_per_s=1.0, flop_per_s={"fp32": next(rates)})
    )
    record = bench(BenchSpec(stages=["distance"], **{**SMALL, "spread": 0.1}))
    assert (record.ceilings.flop_per_s, record.drift) == ({"fp32": 2e30}, 1.0)
    assert record.reasons == ("changing: what the device attains differs by 100 % between start and end",)


def test_the_second_block_waits(monkeypatch):
    waited = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    bench(BenchSpec(stages=["distance"], **{**SMALL, "apart_s": 1e6}))
    assert waited[0] > 1e5


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


def test_unfit_stages_are_not_compared(record):
    bad = attrs.evolve(record, stages=[attrs.evolve(record.stages[0], reasons=["too wide"]), *record.stages[1:]])
    comparison = compare(record, bad)
    assert len(comparison.rows) == len(record.stages) - 1
    assert comparison.unfit == ("second benchmark: decode, Offline: too wide",)
    assert "left out: second benchmark: decode" in render_comparison(comparison, ("a.json", "b.json"))
    with pytest.raises(ComparisonError, match="first benchmark: throttled"):
        compare(attrs.evolve(record, reasons=["throttled"]), record)


def test_benchmarks_without_a_common_stage_are_not_compared(record):
    with pytest.raises(ComparisonError, match="no stage in common: decode and distance"):
        compare(
            attrs.evolve(record, stages=record.stages[:1]),
            attrs.evolve(record, stages=[one for one in record.stages if one.stage == "distance"]),
        )


def test_what_a_paper_prints_of_a_stage_stands_beside_it(record):
    transform = attrs.evolve(record.stages[0], stage="transform", unit="samples", per_second=1e6, parameters=24_139_520)
    text = render(attrs.evolve(record, stages=(transform,)))
    assert "published of VPFA, transform: 4,424,371 samples/s (liu2025vpfa, section 5.4; on an A800" in text
    assert "here 1,000,000, ratio 0.226" in text
    assert "24,140,000 parameters" in text
    assert "here 24,139,520, ratio 1" in text
    other = attrs.evolve(record.aligner, name="another")
    assert "published of" not in render(attrs.evolve(record, stages=(transform,), aligner=other))


def test_the_table_says_what_is_unfit(record):
    text = render(attrs.evolve(record, reasons=["\x1b too wide"]))
    assert "NOT FIT TO PUBLISH: \ufffd too wide" in text
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
ARGUMENTS = ["--stage", "distance", "--device", "cpu", "--budget", "0.01", "--apart", "0", *SIZES]


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
    assert any(reason.startswith("noisy") for reason in json.loads(out)["stages"][0]["reasons"])
    assert "not fit to publish: changing: what the device attains" in err


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The specs of the runs that the stage ``run`` asks for, which do nothing."""
    for name in ("CACHE", "WEIGHTS", "DATA"):
        monkeypatch.setenv(f"CRBENCH_{name}", str(tmp_path))
    calls = []
    monkeypatch.setattr("crbench.bench.whole.run", lambda spec, **_: calls.append(spec) or [])
    return calls


QUICK = ["--device", "cpu", "--spread", "1e9", "--budget", "0.01", "--samples", "4", "--apart", "0"]


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
    monkeypatch.setattr("crbench.bench.stages.degrade", lambda image, rate, rules, *_: seen.append(rules) or image)
    settings = {"protocol.kernel": "bicubic", "dataset.test_identities": 3, "dataset.images_per_camera": 1}
    spec = BenchSpec(stages=["decode"], dataset="mlr-synthetic", settings=settings, **{**SMALL, "samples": 99})
    assert by_name(bench(spec))["decode", "Offline"].batch < 99
    assert {rules.kernel for rules in seen} == {"bicubic"}

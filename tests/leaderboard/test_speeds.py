"""What ``crbench bench`` measured, beside the scores of the same method."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from crbench.bench import Bench, load_benches, to_json
from crbench.bench.ceilings import Ceilings
from crbench.bench.hardware import DeviceState
from crbench.bench.records import Measured
from crbench.bench.repeat import Quantiles
from crbench.cli import invoke
from crbench.errors import DataError
from crbench.leaderboard.build import build
from crbench.report import FORMATS, render
from crbench.results import Result
from crbench.results import to_json as result_json

Make = Callable[..., Result]


def measured(stage: str, per_second: float, unit: str = "samples", scenario: str = "Offline") -> Measured:
    seconds = Quantiles.of([1 / per_second] * 3)
    return Measured(
        stage=stage,
        scenario=scenario,
        batch=1,
        unit=unit,
        seconds=seconds,
        medians=(1 / per_second, 1 / per_second),
        per_second=per_second,
        first_s=0.1,
    )


def bench_of(result: Result, *stages: Measured, **fields: object) -> Bench:
    """A benchmark of the method of `result`."""
    base = Bench(
        created="2026-11-21T04:00:00+00:00",
        backbone=attrs.evolve(result.method.backbone, weights_sha256=None, trained=False, parameter_count=None),
        aligner=attrs.evolve(result.method.aligner, parameter_count=None),
        dim=256,
        settings={"amp": "off", "compile": False, "tf32": False, "dim": None, "dataset": None},
        environment=result.environment,
        before=DeviceState(),
        after=DeviceState(),
        load_before=None,
        load_after=None,
        ceilings=Ceilings(bytes_per_s=1.0, flop_per_s={"fp32": 1.0}),
        drift=0.0,
        stages=stages or (measured("transform", 1234.0),),
        command="crbench bench",
    )
    return attrs.evolve(base, **fields)


def titles(results: list[Result], benches: list[Bench]) -> list[tuple[float, str]]:
    """Value and title of all speeds of the first row."""
    (block,) = build(results, benches).blocks
    return [(speed.per_second, speed.title) for speed in block.rows[0].speeds]


def test_the_stages_of_a_method_become_columns(make: Make) -> None:
    result = make("vpfa/light", (0.5,))
    stages = (
        measured("decode", 9.0, "images"),
        measured("forward", 800.0, "images"),
        measured("forward", 100.0, "images", "SingleStream"),
        measured("transform", 5000.0),
        measured("fit", 20.0, "steps"),
        measured("ranking", 7.0, "queries"),
        measured("run", 0.02, "runs"),
    )
    assert titles([result], [bench_of(result, *stages)]) == [
        (800.0, "forward images/s"),
        (20.0, "fit steps/s"),
        (5000.0, "transform samples/s"),
    ]


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("aligner", {"preset": "paper"}),
        ("aligner", {"parameters": {"hidden": 512}}),
        ("aligner", {"code_sha256": "7" * 64}),
        ("aligner", {"code_sha256": None, "version": "9"}),
        ("aligner", {"distribution": "stranger"}),
        ("aligner", {"name": "ridge"}),
        ("backbone", {"name": "resnet50"}),
        ("backbone", {"parameters": {"width": 3}}),
        ("backbone", {"weights_sha256": "c" * 64}),
    ],
)
def test_another_method_has_no_cell(make: Make, part: str, change: dict[str, object]) -> None:
    result = make("vpfa/light", (0.5,))
    bench = bench_of(result)
    other = attrs.evolve(bench, **{part: attrs.evolve(getattr(bench, part), **change)})
    assert len(titles([result], [bench])) == 1
    assert titles([result], [other]) == []
    (line,) = build([result], [other]).unused
    assert line.endswith("no row has this method with the same parameters, code, arithmetic and length of features")


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ({"amp": "bf16"}, ["transform samples/s"]),
        ({"compile": True}, ["transform samples/s"]),
        ({"dim": 512}, ["forward images/s"]),
    ],
)
def test_a_stage_counts_where_its_own_options_are_those_of_the_row(
    make: Make, setting: dict[str, object], shown: list[str]
) -> None:
    result = make("vpfa/light", (0.5,))
    bench = bench_of(result, measured("forward", 800.0, "images"), measured("transform", 5000.0))
    bench = attrs.evolve(bench, settings={**bench.settings, **setting})
    assert [title for _, title in titles([result], [bench])] == shown


def test_machines_never_share_a_column(make: Make) -> None:
    slow, fast = make("ridge", (0.5,), cell=1), make("vpfa/light", (0.6,), cell=2)
    gpu = attrs.evolve(slow.environment, device="NVIDIA H200")
    limit = DeviceState(driver="580.1", power_limit_w=700.0)
    benches = [
        bench_of(slow, measured("transform", 10.0)),
        bench_of(fast, measured("transform", 2000.0), environment=gpu, after=limit),
    ]
    board = build([slow, fast], benches)
    cpu = f"{slow.environment.cpu} x{slow.environment.threads}"
    torch = f"torch {slow.environment.torch}"
    assert board.machines == tuple(sorted([f"{cpu}, {torch}", f"NVIDIA H200, {cpu}, {torch}, driver 580.1, 700 W"]))
    text = render([slow, fast], benches=benches)
    heading = next(line for line in text.splitlines() if "rank" in line)
    assert re.findall(r"transform samples/s \[M\d\] ↑", heading) == [f"transform samples/s [M{n}] ↑" for n in (1, 2)]
    assert all(f"[M{n}] median throughput by `crbench bench` on: {m}" in text for n, m in enumerate(board.machines, 1))
    gpu_first = board.machines[0].startswith("NVIDIA")
    cells = {line.split()[2]: line.split()[-2:] for line in text.splitlines() if re.match(r" +[12] +resnet-tiny", line)}
    assert cells["ridge"] == (["-", "10"] if gpu_first else ["10", "-"])
    assert cells["vpfa/light"] == (["2.0k", "-"] if gpu_first else ["-", "2.0k"])


def test_tf32_is_a_machine_of_its_own(make: Make) -> None:
    result = make("ridge", (0.5,))
    bench = bench_of(result)
    other = attrs.evolve(bench, settings={**bench.settings, "tf32": True})
    assert [name.endswith(", TF32") for name in build([result], [bench, other]).machines] == [False, True]


def test_steps_and_whole_fits_do_not_share_a_column(make: Make) -> None:
    ridge, vpfa = make("ridge", (0.5,), cell=1), make("vpfa/light", (0.6,), cell=2)
    benches = [bench_of(ridge, measured("fit", 5.0, "fits")), bench_of(vpfa, measured("fit", 20.0, "steps"))]
    (block,) = build([ridge, vpfa], benches).blocks
    assert [speed.title for speed in block.speeds()] == ["fit fits/s", "fit steps/s"]


@pytest.mark.parametrize("turned", [False, True])
def test_the_newest_benchmark_counts_whatever_the_order(make: Make, turned: bool) -> None:
    result = make("ridge", (0.5,))
    benches = [
        bench_of(result, measured("transform", 1.0), created="2026-11-21T05:00:00+01:00"),
        bench_of(result, measured("transform", 2.0), created="2026-11-21T04:30:00+00:00"),
    ]
    assert titles([result], benches[::-1] if turned else benches) == [(2.0, "transform samples/s")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reasons": ["disturbed"]}, "not fit to publish (disturbed)"),
        ({"backbone": None}, "it names no backbone, whose features the aligner takes; measure again with --backbone"),
        ({"stages": [measured("ranking", 1.0)]}, "it has none of the stages forward, fit, transform"),
    ],
)
def test_what_is_left_out_is_said_with_the_reason(make: Make, change: dict[str, object], reason: str) -> None:
    result = make("ridge", (0.5,))
    bench = bench_of(result, **change)
    assert titles([result], [bench]) == []
    text = render([result], benches=[bench])
    assert "[M1]" not in text
    assert f"benchmark left out, {'resnet-tiny + ' if bench.backbone else ''}ridge, {bench.created}: {reason}" in text


def test_one_unfit_stage_hides_no_other(make: Make) -> None:
    result = make("ridge", (0.5,))
    wide = attrs.evolve(measured("fit", 20.0, "fits"), reasons=["noisy: too wide"])
    bench = bench_of(result, wide, measured("transform", 5000.0))
    assert titles([result], [bench]) == [(5000.0, "transform samples/s")]
    (line,) = build([result], [bench]).unused
    assert line.endswith("fit is not fit to publish (noisy: too wide)")


def test_programs_get_machine_and_raw_number(make: Make) -> None:
    result = make("ridge", (0.5,))
    bench = bench_of(result, measured("transform", 1234.5))
    (line,) = csv.DictReader(io.StringIO(render([result], format="csv", benches=[bench])))
    (machine,) = build([result], [bench]).machines
    assert list(line)[-1] == f"transform samples/s @ {machine}"
    assert line[f"transform samples/s @ {machine}"] == "1234.5"
    content = json.loads(render([result], format="json", benches=[bench]))
    (speed,) = content["blocks"][0]["rows"][0]["speeds"]
    assert (speed["machine"], speed["stage"], speed["unit"], speed["per_second"]) == (
        machine,
        "transform",
        "samples",
        1234.5,
    )


@pytest.mark.parametrize("form", FORMATS)
def test_texts_of_a_benchmark_do_no_harm(make: Make, form: str) -> None:
    result = make("ridge", (0.5,))
    evil = "<script>alert(1)</script>\x1b[31m\u202e"
    bench = bench_of(result, environment=attrs.evolve(result.environment, cpu=evil), command=evil)
    unused = attrs.evolve(bench, reasons=[evil])
    text = render([result], format=form, benches=[bench, unused])
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert form != "html" or "<script>alert" not in text.partition("<main>")[2].partition("<script>")[0]


def test_benchmarks_without_their_option_change_nothing(make: Make) -> None:
    results = [make("ridge", (0.5,))]
    assert render(results) == render(results, benches=[])


def test_the_command_line(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = make("ridge", (0.5,))
    for name, text in {"results/a.json": result_json(result), "bench/deep/b.json": to_json(bench_of(result))}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    results, benches = str(tmp_path / "results"), str(tmp_path / "bench")
    assert invoke(["leaderboard", results, "--bench", benches]) == 0
    folder = capsys.readouterr().out
    assert "transform samples/s [M1] ↑" in folder
    assert "1.2k" in folder
    assert invoke(["leaderboard", results, "--bench", str(tmp_path / "bench" / "deep" / "b.json")]) == 0
    assert capsys.readouterr().out == folder
    assert invoke(["leaderboard", results]) == 0
    assert "[M1]" not in capsys.readouterr().out


def test_benchmarks_are_found_beside_other_files(
    tmp_path: Path, make: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "settings.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="no benchmark files in it"):
        load_benches([tmp_path])
    caplog.clear()
    (tmp_path / "b.json").write_text(to_json(bench_of(make())), encoding="utf-8")
    assert len(load_benches([tmp_path])) == 1
    assert f"left out: {tmp_path / 'settings.json'}" in caplog.text
    with pytest.raises(DataError, match=r"settings\.json"):
        load_benches([tmp_path], strict=True)

"""The page of benchmarks is what the stored results say."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from crbench.harness.environment import describe_environment

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scripts():
    """Imports a script of the folder ``benchmarks`` by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module


@pytest.fixture(scope="module")
def page(scripts):
    return scripts("page")


def test_the_page_is_made_from_the_stored_results(page):
    assert page.PAGE.read_text(encoding="utf-8") == page.render(page.RESULTS), "run python benchmarks/page.py"


def test_the_image_is_there_when_the_page_shows_it_and_small(page):
    image = page.PAGE.parent / page.IMAGE
    assert image.exists() == (page.RESULTS / "memory.json").exists()
    assert not image.exists() or image.stat().st_size < 200_000


FACTS = {
    "scale": 0.5,
    "created": "2026-11-21T09:00:00+00:00",
    "threads": 3,
    "environment": {"cpu": "Abacus", "torch": "2", "python": "3"},
}


FACTS_OF_A_MACHINE = describe_environment("cpu", ())


def test_numbers_of_a_result_are_on_its_page(page, tmp_path):
    peak = {"query": 1000, "gallery": 10000, "dim": 64, "features": 2_560_000, "extra": 41_000_000, "seconds": 0.125}
    other = {**peak, "gallery": 20000, "extra": 160_000_000}
    (tmp_path / "memory.json").write_text(json.dumps({**FACTS, "growing": [peak], "others": [other]}))
    text = page.render(tmp_path)
    assert "Abacus, 3 threads" in text
    assert "sizes scaled by 0.5" in text
    assert all(number in text for number in ("1,000 x 10,000 x 64", "2.6", "41.0", "0.12"))
    assert re.search(r"at most 150 MB, any size +\| 160 MB, at 1,000 x 20,000 x 64 +\| 1.07 x 150 MB +\| no ", text)


def times(**seconds):
    return {name: {"median_s": value, "q1_s": value, "q3_s": value, "repeats": 3} for name, value in seconds.items()}


def test_targets_are_held_against_what_was_measured(scripts):
    seconds = {
        "product alone": 1.0,
        "product alone, NumPy": 1.4,
        "crbench": 0.76,
        "crbench, fp32": 1.05,
        "crbench, int8": 0.75,
    }
    seconds |= {"crbench, ranking part": 0.04}
    record = {**FACTS, "query": 3368, "gallery": 15913, "dim": 2048, "seconds": times(**seconds)}
    lines = {line[0]: line for line in scripts("targets").lines({"market-2048": record})}
    size = "3,368 x 15,913 x 2,048"
    assert lines[f"{size}, CMC + mAP + mINP, float32 products"][2:5] == (
        "1.05 s; product 1 s, NumPy's 1.4 s",
        "1.05 x",
        "yes",
    )
    assert lines[f"{size}, CMC + mAP + mINP, as it comes"][3:5] == ("0.76 x", "yes")
    assert lines[f"{size}, screened in int8, exact"][3:5] == ("0.75 x", "no")
    assert lines[f"{size}, the ranking part alone"][4:] == ("yes", "Abacus, 3 threads")
    assert not any("fast-reid" in work for work in lines)
    record["seconds"] |= times(**{"fast-reid Cython": 2.2})
    lines = {line[0]: line for line in scripts("targets").lines({"market-2048": record})}
    assert lines[f"{size}, crbench, beside fast-reid"][3:5] == ("2.89 x", "no")


def test_the_page_says_by_what_rules_a_peer_is_compared(page, tmp_path):
    gap = {"cmc_difference": 0.0, "mAP_difference": 3e-8}
    record = {**FACTS, "query": 9, "gallery": 9, "dim": 9, "scores": {"mAP": 0.784}, "agreement": {"OML, map@all": gap}}
    record["seconds"] = times(**{"product alone": 1.0, "crbench": 2.0, "OML, map@all": 8.0})
    text = page._evaluation("large", record)
    assert "The features score mAP 78.4 %." in text
    assert re.search(r"OML, map@all +\| 8.0000 .* 8.00 +\| 4.00 +\| 0e\+00 / 3e-08 ", text)
    assert "divides by the positives among the first k" in text
    assert "PML" not in text


def test_what_needs_a_gpu_is_said_to_be_not_run(scripts):
    lines = scripts("targets").lines({})
    assert len(lines) == 5
    assert {line[2] for line in lines} == {"not run here"}


def test_goals_of_a_gpu_are_held_against_what_it_did(scripts, page, tmp_path):
    seconds = times(**{"cupy, fp32": 0.007, "cupy, bf16": 0.003, "torch, fp32": 0.02})
    transform = {"float32": {"samples_per_s": 9e6}, "bf16": {"samples_per_s": 13e6}}
    found = {"market": {"seconds": seconds}, "transform": {"transform": transform}, "fit": {"seconds_of_18840": 5.0}}
    about = {"seconds": 9.0, "before": ["H200, 1980 MHz"], "after": []}
    steps = {name: {**about, "ok": True, "found": one} for name, one in found.items()}
    steps["large"] = {**about, "ok": False, "error": "Traceback\nout of memory"}
    record = {**FACTS, "scale": 1, "environment": {**FACTS["environment"], "device": "Abacus GPU"}, "steps": steps}
    lines = {line[0]: line[2:] for line in scripts("targets").lines({"gpu": record})}
    assert lines["3,368 x 15,913 x 3,840 on the device, ranks exact as in float64"] == (
        "7 ms fp32; 3 ms by cupy, bf16",
        "1.5 x",
        "no",
        "Abacus GPU",
    )
    assert lines["VPFA transform, 3,840 columns"] == ("13 M samples/s", "1.08 x", "yes", "Abacus GPU")
    assert lines["VPFA fit, 18,840 steps of batch 32"][2] == "yes"
    assert lines["100,000 x 1,000,000 x 512, exact"] == ("failed", "-", "no", "Abacus GPU")
    assert lines["extraction by TransReID's ViT-B"][0] == "not run here"
    (tmp_path / "gpu.json").write_text(json.dumps(record))
    text = page.render(tmp_path)
    assert "No GPU was at hand" not in text
    assert re.search(r"large +\| 9 +\| out of memory +\| H200, 1980 MHz", text)


@pytest.mark.parametrize("step", ["engines", "market", "large", "transform", "fit", "extraction"])
def test_every_step_for_a_gpu_is_rehearsed(step, scripts):
    gpu = scripts("gpu")
    work, _ = gpu.STEPS[step]
    assert json.loads(json.dumps(work(gpu.Scene("cpu", 0.002))))


def test_a_step_that_fails_leaves_the_others_as_they_are(scripts, tmp_path, monkeypatch, capsys):
    gpu = scripts("gpu")
    (tmp_path / "gpu.json").write_text(json.dumps({"steps": {"market": {"ok": True, "seconds": 1.0}}}))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "fit", "--device", "cuda:99", "--results", str(tmp_path)])
    monkeypatch.setattr(gpu, "describe_environment", lambda *_: FACTS_OF_A_MACHINE)
    assert gpu.main() == 1
    steps = json.loads((tmp_path / "gpu.json").read_text())["steps"]
    assert steps["market"]["ok"]
    assert not steps["fit"]["ok"]
    assert steps["fit"]["error"]
    assert "fit: " in capsys.readouterr().err


def test_engines_that_rank_otherwise_fail_their_step(scripts, monkeypatch):
    gpu = scripts("gpu")
    monkeypatch.setattr(gpu.Scene, "engines", ["numba"])
    monkeypatch.setattr(gpu, "ON_CUDA", ["fp32"])
    real = gpu.evaluate

    def other(query, gallery, protocol, **options):
        reverse = options["engine"] == "numba"
        return real(
            query, gallery, protocol.changed(distance="euclidean", normalise="none") if reverse else protocol, **options
        )

    monkeypatch.setattr(gpu, "evaluate", other)
    with pytest.raises(RuntimeError, match="other ranks than the reference: "):
        gpu.engines(gpu.Scene("cpu", 0.002))


def test_a_small_run_of_everything_gives_a_page(scripts, tmp_path, monkeypatch):
    measure = scripts("measure")
    monkeypatch.setattr(measure, "GALLERIES", (10_000,))
    monkeypatch.setattr(measure, "OTHER_SIZES", ())
    monkeypatch.setattr(measure, "GALLERIES_IN_FILES", (500_000,))
    folder = ["--results", str(tmp_path / "results"), "--page", str(tmp_path / "page.md")]
    monkeypatch.setattr(sys, "argv", ["measure.py", "--scale", "0.002", *folder])
    measure.main()
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert all(
        f"## {name}" in text
        for name in (
            "market-2048",
            "market-3840",
            "large",
            "single-shot",
            "Memory",
            "Galleries",
            "VPFA",
            "A fit",
            "Folding",
        )
    )
    assert re.search(r"its last tenth beside its first +\| at most 1.1 x the first ", text)
    assert "\n| resnet-tiny (as shipped) | bf16 " in text
    assert text.count("not run here") == 5
    assert (tmp_path / "memory.png").stat().st_size > 0


def test_peers_that_are_not_there_are_left_out(scripts, tmp_path, monkeypatch):
    for module in ("oml.functional.metrics", "pytorch_metric_learning.utils.accuracy_calculator"):
        monkeypatch.setitem(sys.modules, module, None)
    assert scripts("peers").found(tmp_path) == []
    assert scripts("peers").found(None) == []


def test_the_packages_score_as_we_do(scripts):
    """Where they are installed: the settings by which their definitions are ours."""
    peers = scripts("peers")
    query, gallery = scripts("workload").people(60, 80, 64, per_person=4)  # a few queries have no match
    found = peers.found(None)
    if not found:
        pytest.skip("neither OML nor PML is installed")
    for peer in found:
        gap = peer.gap(peer.score(query, gallery), query, gallery)
        assert max(gap.values()) < peers.TOLERANCE, peer.name


def test_the_overhead_of_a_cell_is_what_it_costs_all_workers_more(scripts):
    found = scripts("cluster").figures(
        {
            "here": {"cells": 10, "seconds": 4.0, "processor_s": 3.0},
            "1 worker": {"cells": 10, "seconds": 5.0, "processor_s": 3.5},
            "2 workers": {"cells": 10, "seconds": 2.5, "processor_s": 4.0},
        }
    )
    assert found == {
        "1 worker": {"overhead_ms": 100.0, "overhead_processor_ms": 50.0, "speedup": 0.8},
        "2 workers": {"overhead_ms": 100.0, "overhead_processor_ms": 100.0, "speedup": 1.6},
    }


def test_what_a_gallery_takes_on_a_cluster_is_calculated(scripts):
    billion = scripts("billion")
    sizes = {"queries": 1000, "rows": 64_000, "columns": 4, "positives": 2, "file_rows": 1000, "nodes": 2}
    found = billion.calculated(billion.Work(**sizes, block=200_000, pairs_per_s=1e6))
    assert found["files"] == 64
    # 3,000 rows of 16 bytes and 64 more, and nine counts of 4 bytes for each of 2,000 positives
    assert found["blocks"] == 2
    assert found["compute_s"] == 32
    assert found["read_gallery"] == 3 * 64_000 * 16 / 2
    assert found["read_positives"] == 2000 * 16
    # leaves and eight, and one of them, give their 8,000 bytes to others
    assert found["get_counts"] == pytest.approx(8000 * 64 * (1 + 1 / 8 + 1 / 64 + 1 / 512) / 2, rel=1e-2)


def test_the_course_of_a_fit_is_told_by_both_clocks(scripts):
    done = CliRunner().invoke(scripts("course").main, ["--epochs", "2", "--hidden", "16", "--dim", "16"])
    assert done.exit_code == 0
    assert len(re.findall(r"^\d+/10 ", done.output, re.MULTILINE)) == 10
    assert re.search(r"last tenth over first: [\d.]+ by the wall clock, [\d.]+ by processor time\n", done.output)
    assert "\n314 steps in " in done.output


def test_ways_to_wait_are_told_apart(scripts):
    given = ["--jobs", "1", "--policy", "passive", "--within", "0", "--seconds", "0.01", "--threads", "1"]
    done = CliRunner().invoke(scripts("waiting").main, given)
    assert done.exit_code == 0
    assert re.search(r"1 threads beside 1 jobs of its own, 1 rounds\n", done.output)
    assert re.search(r"^passive +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+$", done.output, re.MULTILINE)

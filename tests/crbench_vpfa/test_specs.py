"""The tables of the paper as config files: their cells are the paper's, and each runs in tiny form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from crbench.cli import invoke
from crbench.config.toml import published_in, read_specs
from crbench.harness.plan import Job, make_plan
from crbench.published import Published, printed_in
from crbench.registry.resolve import Resolved

TABLES = ("3", "4a", "4b", "5", "8", "9", "10", "11")
TINY = {"3": 3, "4a": 4, "4b": 9, "5": 6, "8": 3, "9": 3, "10": 3, "11": 7}
"""Rows in tiny form: none, VPFA and match-rate on one data set, and the variants."""

VARIANTS = {
    "VPFA": (),
    "VPFA (w/o residual)": (("residual", False),),
    "VPFA (hidden dim 512)": (("hidden", 512),),
    "VPFA (hidden dim 1048)": (("hidden", 1024),),
    "VPFA (hidden dim 2048)": (),
    "VPFA (hidden dim 3840)": (("hidden", 3840),),
    "VPFA (VP blocks 1)": (("blocks", 1),),
    "VPFA (VP blocks 2)": (("blocks", 2),),
    "VPFA (VP blocks 3)": (),
    "VPFA (VP blocks 4)": (("blocks", 4),),
}
"""What the paper calls its variants, and what that changes here."""

SMALL = ["--limit", "6", "--set", "backbone.epochs=1", "--trial", "0", "-q"]

Cell = tuple[object, ...]


def planned(table: str) -> list[tuple[Job, Resolved]]:
    plans = [make_plan(spec) for spec in read_specs(f"crbench_vpfa:table-{table}")]
    return [(job, aligner) for plan in plans for job in plan.jobs for aligner in job.aligners]


def cell(job: Job, aligner: Resolved) -> Cell:
    changed = tuple((name, aligner.parameters[name]) for name in aligner.changed)
    fitted = "" if job.partner is None else f"fitted on {job.partner.dataset.name}"
    return job.dataset.name, job.protocol.name, fitted, changed


def rows_of(table: str, backbone: str) -> Iterator[Published]:
    """The rows that this project can run: those on TransReID."""
    return (row for row in printed_in(f"liu2025vpfa, Table {table}") if row.backbone == backbone)


def printed_cell(row: Published) -> Cell:
    fitted = "" if row.kind == "trial" else row.setting
    return row.dataset, row.protocol, fitted, VARIANTS.get(row.method, ())


@pytest.mark.parametrize("table", TABLES)
def test_the_cells_of_a_table_are_those_of_the_paper(table: str) -> None:
    cells = planned(table)
    vpfa = [cell(job, aligner) for job, aligner in cells if aligner.name == "vpfa/paper"]
    rows = list(rows_of(table, "TransReID"))
    assert len(vpfa) == len(set(vpfa)), "no cell twice"
    assert set(vpfa) == {printed_cell(row) for row in rows if row.method.startswith("VPFA")}
    none = {cell(job, aligner) for job, aligner in cells if aligner.name == "none"}
    assert none >= {printed_cell(row) for row in rows if row.method == "TransReID"}
    assert none == {(*one[:2], "", ()) for one in vpfa}, "a gain needs a baseline"


@pytest.mark.parametrize("table", TABLES)
def test_match_rate_stands_beside_vpfa(table: str) -> None:
    cells = planned(table)
    inner = {aligner.parameters["inner"] for _, aligner in cells if aligner.name == "match-rate"}
    assert inner == {"vpfa/paper"}
    places = [{cell(job, one)[:3] for job, one in cells if one.name == name} for name in ("vpfa/paper", "match-rate")]
    assert places[0] == places[1]


@pytest.mark.parametrize("table", TABLES)
def test_all_run_on_transreid_with_its_released_weights_where_there_are_some(table: str) -> None:
    for job, _ in planned(table):
        assert job.backbone.registered.entry.name == "transreid"
        assert (job.backbone.released is not None) == (job.dataset.name in ("mlr-market1501", "mlr-msmt17"))


@pytest.mark.parametrize(("table", "people"), [("8", 100), ("9", 316), ("10", 25)])
def test_the_trials_of_a_table_are_the_ten_splits_of_the_paper(table: str, people: int) -> None:
    trials = {row.setting for row in rows_of(table, "TransReID") if row.kind == "trial"}
    for job, _ in planned(table):
        assert {f"trial {trial}" for trial in job.trials} == trials
        counts = job.protocol.split.identity_counts
        assert counts is not None
        assert counts[1] == people


@pytest.mark.parametrize("table", TABLES)
def test_every_table_plans_in_tiny_form(table: str) -> None:
    plans = [make_plan(spec) for spec in read_specs(f"crbench_vpfa:table-{table}", scale="tiny")]
    assert sum(plan.cells for plan in plans) == TINY[table]
    assert {job.dataset.registered.entry.name for plan in plans for job in plan.jobs} == {"mlr-synthetic"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tables of these tests keep weights, features and results, so that what they share is made once."""
    return tmp_path_factory.mktemp("tables")


def run_tiny(table: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(folder / "weights"))
    folders = ["--output", str(folder / "results"), "--cache-dir", str(folder / "cache")]
    small = [word for name in ("vpfa", "match-rate.inner") for word in ("--set", f"{name}.draws=8")]
    config = ["--config", f"crbench_vpfa:table-{table}", "--scale", "tiny"]
    return invoke(["run", *config, *SMALL, *small, *folders, *words])


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_every_table_runs_in_tiny_form(
    table: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tiny(table, folder, monkeypatch, "--format", "json") == 0
    blocks = json.loads(capsys.readouterr().out)["partial"]
    assert sum(len(block["rows"]) for block in blocks) == TINY[table]


def test_the_printed_rows_of_the_table_stand_below(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tiny("11", folder, monkeypatch) == 0
    text = capsys.readouterr().out
    assert "vpfa/light [draws=8] on mlr-synthetic [seed=1]" in text
    assert "mlr-cuhk03, published numbers, not measured here, not ranked" in text
    assert "fitted on mlr-market1501" in text
    assert text.count("liu2025vpfa, Table 11") == len(printed_in("liu2025vpfa, Table 11"))
    assert "measured here minus printed" not in text, "on mlr-synthetic nobody prints anything"


@pytest.mark.parametrize("table", TABLES)
def test_a_config_names_its_table(table: str) -> None:
    assert printed_in(published_in(f"crbench_vpfa:table-{table}"))

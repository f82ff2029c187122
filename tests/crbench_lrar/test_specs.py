"""The tables of the paper as config files, and LRAR through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crbench.cli import invoke
from crbench.config.toml import read_specs
from crbench.harness.plan import make_plan

SMALL = [
    *("--set", "dataset.train_identities=6", "--set", "dataset.test_identities=4"),
    *("--set", "dataset.images_per_camera=1", "--set", "backbone.epochs=4", "--trial", "0", "-q"),
]
CELLS = {1: (12, 1), 2: (8, 8), 3: (12, 3), 4: (20, 5), 5: (3, 3), 6: (12, 12), 7: (2, 2)}
"""Rows of each table, times data sets: in full, and in tiny."""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path / "weights"))
    return ["--output", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [row for block in json.loads(capsys.readouterr().out)["blocks"] for row in block["rows"]]


@pytest.mark.parametrize("table", CELLS)
@pytest.mark.parametrize("scale", [None, "tiny"])
def test_every_table_plans_and_has_the_cells_of_the_paper(table: int, scale: str | None) -> None:
    specs = read_specs(f"crbench_lrar:table-{table}", scale=scale)
    plans = [make_plan(spec) for spec in specs]
    assert sum(plan.cells for plan in plans) == CELLS[table][scale is not None]
    cells = {
        (job.dataset.name, job.protocol.fingerprint(), str(job.backbone.identity()), str(aligner.identity()))
        for plan in plans
        for job in plan.jobs
        for aligner in job.aligners
    }
    assert len(cells) == CELLS[table][scale is not None], "no cell twice"
    assert {job.protocol.scoring.distance for plan in plans for job in plan.jobs} == {"sqeuclidean"}


@pytest.mark.slow
@pytest.mark.parametrize("table", CELLS)
def test_every_table_runs_in_tiny_form(table: int, folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--config", f"crbench_lrar:table-{table}", "--scale", "tiny", *SMALL, *folders, "--format", "json"]
    assert invoke(words) == 0
    assert len(rows(capsys)) == CELLS[table][1]


def test_tables_share_their_trainings(folders: list[str], tmp_path: Path) -> None:
    words = ["run", "--config", "crbench_lrar:table-6", "--scale", "tiny", *SMALL, *folders]
    assert invoke([*words, "--backbone", "lrar/e2e"]) == 0
    trained = list((tmp_path / "weights" / "trained").glob("*.safetensors"))
    assert len(trained) == 2, "on {2, 4, 8} and on {2, 3, 6}, whatever is assigned to what"


def test_the_aligner_brings_its_backbone(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--aligner", "lrar", "--dataset", "mlr-synthetic", *SMALL, *folders, "--format", "json"]) == 0
    (row,) = rows(capsys)
    assert row["backbone"].startswith("lrar/tiny")
    assert row["aligner"] == "lrar"


@pytest.mark.parametrize("preset", ["naive", "query-level"])
def test_galleries_by_rate_run(preset: str, folders: list[str]) -> None:
    tiny = ["architecture=resnet-thin", "pretrained=none", "optimizer=adam", "milestones=[]", "warmup_epochs=0"]
    settings = [word for setting in tiny for word in ("--set", f"backbone.{setting}")]
    words = ["run", "--aligner", f"lrar/{preset}", "--dataset", "mlr-synthetic"]
    assert invoke([*words, *SMALL, *settings, *folders]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--aligner", "lrar", "--backbone", "resnet-tiny"], "one method with its backbone lrar"),
        (["--aligner", "vpfa", "--backbone", "lrar"], "needs features of one length"),
        (["--aligner", "lrar/papre"], "unknown preset 'papre' of backbone 'lrar'"),
        (["--aligner", "lrar", "--set", "lrar.assign=best"], "assign"),
        (["--aligner", "lrar", "--set", "aligner.query_length=2"], "query_length"),
        (["--aligner", "lrar", "--set", "protocol.rate_source=guess"], "oracle, presumed, size"),
        (["--scale", "tiny"], "give --config too"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["run", "--dataset", "mlr-synthetic", *words, "--dry-run"]) != 0
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_dry_run_tells_cells_of_one_name_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--config", "crbench_lrar:table-6", "--scale", "tiny", "--dry-run"]) == 0
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()[2:]
    assert len(set(lines)) == len(lines) == CELLS[6][1]
    assert sum("backbone.assign=finer" in line for line in lines) == 4


def test_one_length_may_be_aligned() -> None:
    assert (
        invoke(["run", "--dataset", "mlr-synthetic", "--aligner", "vpfa", "--backbone", "lrar/no-val", "--dry-run"])
        == 0
    )

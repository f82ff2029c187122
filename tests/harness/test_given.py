"""Features of the user's own: distances of plugins, curves of any length, a result that a leaderboard shows."""

from __future__ import annotations

import csv
import json
import re
import sys

import numpy as np
import pytest
import torch

from crbench import EvalProtocol
from crbench.api.entry import Entry
from crbench.cli import invoke
from crbench.evaluation import evaluate
from crbench.files.feature_files import load_sides
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.report import render
from crbench.results import load_results
from crbench.results.folder import validate_file
from crbench.results.outcomes import read_outcomes
from crbench.statistics import check_intervals

OWNER = Owner(plugin="measures", distribution="crbench-measures", version="1")
SIDES = ["evaluate", "--query", "q.npz", "--gallery", "g.npz"]


def city_block(query, gallery):
    return torch.cdist(query.x, gallery.x, p=1)


def centred(query, gallery):
    return torch.cdist(query.x - query.x.mean(dim=0), gallery.x)


@pytest.fixture
def sides(tmp_path, monkeypatch, fakes):
    """Features of 30 queries and 120 gallery images of 20 persons; commands run beside them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRBENCH_EVIDENCE", str(tmp_path / "evidence"))
    rng = np.random.default_rng(0)
    people = rng.normal(size=(21, 16))
    for name, count, camera in (("q", 30, 1), ("g", 120, 2)):
        pids = 1 + np.arange(count) % 20
        features = (people[pids] + 8 * rng.normal(size=(count, 16))).astype(np.float32)
        cameras = {
            "camids": np.full(count, camera),
            "rates": np.where(pids % 2, 2.0, 4.0) if camera == 1 else np.ones(count),
        }
        np.savez(tmp_path / f"{name}.npz", features=features, pids=pids, **cameras)
    return tmp_path


def said(arguments, capsys, code=0):
    assert invoke(arguments) == code
    return capsys.readouterr()


def test_the_distance_of_a_plugin(sides, offer, capsys):
    offer(Registered("distance", Entry("city-block", lambda: city_block), OWNER))
    outs = [
        said([*SIDES, "--format", "json", *option], capsys).out
        for option in (["--distance", "city-block"], ["--set", "protocol.distance=city-block"])
    ]
    assert outs[0] == outs[1]
    found = json.loads(outs[0])
    query, gallery = (side.features for side in load_sides(sides / "q.npz", sides / "g.npz"))
    protocol = EvalProtocol.of(**found["protocol"])
    assert found["cmc"] == evaluate(query, gallery, protocol, distance=city_block).scores.cmc.tolist()
    assert found["cmc"] != json.loads(said([*SIDES, "--format", "json"], capsys).out)["cmc"]
    for number in (1, 2):
        said([*SIDES, "--distance", "city-block", "--shard", f"{number}/2", "-o", f"{number}.npz"], capsys)
    assert json.loads(said(["merge", "1.npz", "2.npz", "--format", "json"], capsys).out)["cmc"] == found["cmc"]
    assert (
        "--fpr takes the distances cosine" in said([*SIDES, "--distance", "city-block", "--fpr", "0.1"], capsys, 2).err
    )


def test_a_distance_that_depends_on_the_rows_beside_is_refused(sides, offer, capsys):
    offer(Registered("distance", Entry("centred", lambda: centred), OWNER))
    assert "that of two rows depends on the rows beside them" in said([*SIDES, "--distance", "centred"], capsys, 4).err
    assert "known: city-blocks" not in said([*SIDES, "--distance", "city-block"], capsys, 2).err


def _by_hand(length):
    """The multi-shot CMC from all cosine similarities."""
    q, g = (dict(np.load(f"{name}.npz")) for name in "qg")
    x, y = (f["features"] / np.linalg.norm(f["features"], axis=1, keepdims=True) for f in (q, g))
    similar, same = x @ y.T, q["pids"][:, None] == g["pids"]
    best = np.where(same, similar, -np.inf).max(axis=1)
    places = 1 + (~same & (similar >= best[:, None])).sum(axis=1)
    return [(places <= rank).mean() for rank in range(1, length + 1)]


def test_a_plugin_gets_float32(sides, offer, capsys):
    """Also where the features are float64, and in the check of its contract."""
    kinds = set()

    def noting(query, gallery):
        kinds.update((query.x.dtype, gallery.x.dtype))
        return city_block(query, gallery)

    with np.load("q.npz") as arrays:
        np.savez("q.npz", **{**arrays, "features": arrays["features"] + 1e-12})
    offer(Registered("distance", Entry("noting", lambda: noting), OWNER))
    said([*SIDES, "--distance", "noting"], capsys)
    assert kinds == {torch.float32}


@pytest.mark.parametrize("shot", ["multi", "single:exact", "single:mc:3"])
def test_a_curve_to_any_rank(shot, sides, capsys):
    rules = ["--set", f"protocol.shot={shot}"]
    usual, longer = (
        json.loads(said([*SIDES, *rules, "--format", "json", *more], capsys).out)["cmc"]
        for more in ([], ["--curve", "90"])
    )
    assert (len(usual), len(longer)) == (50, 90)
    assert longer[:50] == pytest.approx(usual, abs=1e-12)
    if shot == "multi":
        assert longer == _by_hand(90)
        assert longer[49] < longer[89]
    table = said([*SIDES, *rules, "--curve", "90"], capsys).out
    lines = {words[0]: words[1:] for line in table.splitlines() if (words := line.split()) and words[0].isdigit()}
    assert list(lines) == [str(rank) for rank in range(1, 91)]
    assert lines["90"][0] == f"{100 * longer[89]:.2f}"
    (head, row, *_) = csv.reader(said([*SIDES, *rules, "--curve", "90", "--format", "csv"], capsys).out.splitlines())
    assert [name for name in head if re.fullmatch(r"R\d+", name)] == [f"R{rank}" for rank in range(1, 91)]
    assert [float(value) for value in row[1:91]] == longer


def test_every_format_holds_the_same_scores(sides, capsys):
    found = json.loads(said([*SIDES, "--format", "json"], capsys).out)
    shown = f"{100 * found['mAP']:.2f}"
    for form, mark in (
        ("table", "---"),
        ("github", "|:---"),
        ("latex", r"\toprule"),
        ("csv", "queries,R1,R5,R10,R20,mAP"),
    ):
        text = said([*SIDES, "--format", form], capsys).out
        assert mark in text
        assert (repr(found["mAP"]) if form == "csv" else shown) in text
    assert "% per cent; protocol fingerprint" in said([*SIDES, "--format", "latex"], capsys).out


def test_the_rules_of_a_tool_are_said(sides, capsys):
    err = said([*SIDES, "--as", "layumi", "--set", "protocol.junk=keep"], capsys).err
    (rules,) = (line for line in err.splitlines() if "rules of layumi" in line)
    for rule in (
        "shot=multi",
        "same_camera=ignore",
        "ap=trapezoid",
        "unmatched=zero",
        "normalise=l2",
        "distance=cosine",
    ):
        assert rule in rules
    assert "junk" not in rules
    (defaults,) = (line for line in err.splitlines() if "defaults taken" in line)
    assert "ties=pessimistic" in defaults
    assert "junk" not in defaults


def _result(path, capsys, *more):
    said([*SIDES, "--name", "mine", "-o", str(path), *more], capsys)
    (result,) = load_results([path])
    return result


def test_a_result_follows_from_its_outcomes_and_enters_a_leaderboard(sides, capsys):
    result = _result(sides / "results" / "mine.json", capsys, "--per-query", "lines.csv", "--dataset", "my-market")
    assert validate_file(sides / "results" / "mine.json", check_intervals)
    assert (result.dataset, result.method.backbone.name, result.level) == ("my-market", "mine", "re-evaluated")
    found = json.loads(said([*SIDES, "--format", "json"], capsys).out)
    assert (list(result.trials[0].cmc), result.trials[0].scores["mAP"]) == (found["cmc"], found["mAP"])
    assert result.intervals is not None
    (trial,) = read_outcomes(sides / "results", result)
    assert trial.queries.pids.tolist() == np.load("q.npz")["pids"].tolist()
    board = said(["leaderboard", "results"], capsys).out
    assert "my-market, protocol features" in board
    assert re.search(r"1 +mine \(training unknown\) +given .* re-evaluated", board)


def test_a_folder_of_evidence_that_cannot_be_written_loses_no_result(sides, capsys, monkeypatch):
    (sides / "file").touch()
    monkeypatch.setenv("CRBENCH_EVIDENCE", str(sides / "file"))
    found = said([*SIDES, "--name", "mine", "-o", "mine.json"], capsys)
    assert "will show this result as reported" in found.err
    assert "mAP" in found.out
    assert load_results(["mine.json"])[0].level == "reported"


def test_names_of_images_can_be_kept_back(sides, capsys):
    with np.load("q.npz") as arrays:
        np.savez("q.npz", **arrays, keys=np.array([f"private/{row}.jpg" for row in range(30)]))
    result = _result(sides / "mine.json", capsys, "--hash-keys")
    (trial,) = read_outcomes(sides, result)
    assert all(re.fullmatch("[0-9a-f]{16}", key) for key in trial.queries.keys.tolist())
    assert invoke(["verify", "mine.json", "--features", "q.npz", "--features", "g.npz"]) == 0


def test_the_command_of_a_result_tells_no_folder(sides, capsys, monkeypatch):
    words = [
        "evaluate",
        "--query",
        str(sides / "q.npz"),
        f"--gallery={sides / 'g.npz'}",
        "--name",
        "mine",
        "-o",
        "mine.json",
    ]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/crbench", *words])
    said(words, capsys)
    (result,) = load_results(["mine.json"])
    assert result.command == "crbench evaluate --query q.npz --gallery=g.npz --name mine -o mine.json"


def test_results_of_the_same_lists_are_ranked_together(sides, capsys):
    _result(sides / "results" / "mine.json", capsys)
    for name in "qg":
        with np.load(f"{name}.npz") as arrays:
            np.savez(f"{name}.npz", **{**arrays, "features": np.round(arrays["features"])})
    _result(sides / "results" / "rounded.json", capsys)
    (block,) = json.loads(said(["leaderboard", "results", "--format", "json"], capsys).out)["blocks"]
    assert len(block["rows"]) == 2
    with np.load("q.npz") as arrays:
        np.savez("q.npz", **{**arrays, "camids": arrays["camids"] + 5})
    _result(sides / "results" / "other.json", capsys)
    assert len(json.loads(said(["leaderboard", "results", "--format", "json"], capsys).out)["blocks"]) == 2


def test_a_long_curve_does_not_lengthen_a_result(sides, capsys):
    results = [
        _result(sides / f"{length}.json", capsys, "--set", "protocol.shot=single:exact", *more)
        for length, more in ((50, ()), (90, ("--curve", "90")))
    ]
    assert results[0].trials == results[1].trials
    assert validate_file(sides / "90.json", check_intervals)


def test_a_result_by_the_distance_of_a_plugin_names_its_code(sides, offer, capsys):
    offer(Registered("distance", Entry("city-block", lambda: city_block, transductive=True), OWNER))
    result = _result(sides / "mine.json", capsys, "--distance", "city-block")
    assert "distance" in result.code
    assert "distance city-block is transductive" in render([result])


def test_a_run_writes_a_line_for_each_query(spec, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRBENCH_CACHE", str(tmp_path / "cache"))
    cell = ["run", "--dataset", "tiny", "--aligner", "mean-shift", "--batch-size", "16"]
    lines = []
    for name in ("first.csv", "again.csv"):
        said([*cell, "--per-query", name, "--ranks", "1,3"], capsys)
        lines.append(list(csv.DictReader((tmp_path / name).read_text().splitlines())))
    assert lines[0] == lines[1], "finished cells too"
    for result in load_results(["results"]):
        for trial in result.trials:
            own = [
                line
                for line in lines[0]
                if (line["aligner"], line["trial"]) == (result.method.aligner.name, str(trial.index))
            ]
            assert len(own) == trial.n_query
            assert np.mean([float(line["R3"]) for line in own if line["R3"]]) == pytest.approx(trial.cmc[2])
    assert "leave --no-outcomes out" in said([*cell, "--no-outcomes", "--per-query", "x.csv"], capsys, 2).err


def test_a_result_makes_room_for_one_of_the_same_method_and_data_only(sides, capsys):
    said([*SIDES, "--name", "a", "-o", "mine.json"], capsys)
    said([*SIDES, "--name", "a", "-o", "mine.json", "--set", "protocol.ties=optimistic"], capsys)
    before = (sides / "mine.json").read_bytes(), (sides / "mine.npz").read_bytes()
    refused = said([*SIDES, "--name", "b", "-o", "mine.json"], capsys, 2).err
    assert "mine.json: it holds the result of a, not of b; choose another file" in refused
    refused = said([*SIDES, "--name", "a", "--dataset", "other", "-o", "mine.json"], capsys, 2).err
    assert "it holds the result of a on other data (features)" in refused
    with np.load("q.npz") as arrays:
        np.savez("fewer.npz", **{name: array[:-1] for name, array in arrays.items()})
    fewer = ["evaluate", "--query", "fewer.npz", "--gallery", "g.npz", "--name", "a", "-o", "mine.json"]
    assert "on other data" in said(fewer, capsys, 2).err
    assert ((sides / "mine.json").read_bytes(), (sides / "mine.npz").read_bytes()) == before


@pytest.mark.parametrize(
    "options",
    [
        ["--name", "a", "-o", "q.json"],
        ["--shard", "1/2", "-o", "q.npz"],
        ["--per-query", "q.npz"],
        ["--per-query", "link.csv"],
    ],
)
def test_no_feature_file_is_written_over(options, sides, capsys):
    """The outcomes of q.json are q.npz, where a user may well keep the features of the queries."""
    (sides / "link.csv").symlink_to("q.npz")
    before = (sides / "q.npz").read_bytes()
    assert "written over" in said([*SIDES, *options], capsys, 2).err
    assert (sides / "q.npz").read_bytes() == before


def test_what_is_no_result_is_not_written_over(sides, capsys):
    (sides / "mine.json").write_text("{}")
    assert "mine.json" in said([*SIDES, "--name", "a", "-o", "mine.json"], capsys, 3).err
    assert (sides / "mine.json").read_text() == "{}"

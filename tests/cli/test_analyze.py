"""`crbench analyze` as users call it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from main_job import SMALL
from PIL import Image

from crbench.cli import invoke

ON = ["--dataset", "mlr-synthetic", *SMALL, "-q"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with cache and weights, shared by these tests."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(autouse=True)
def _kept_folders(kept, _own_folders, monkeypatch):
    monkeypatch.setenv("CRBENCH_CACHE", str(kept / "cache"))
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(kept / "weights"))


def test_directions_of_a_run(capsys, tmp_path):
    asked = ["analyze", "directions", *ON, "--aligner", "ridge", "--aligner", "mean-shift", "--permutations", "2"]
    assert invoke(asked) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "mlr-synthetic [test_identities=6, train_identities=8], protocol mlr, trial 0 of 10 (--trial takes another), "
        "backbone resnet-tiny [epochs=1], seed 0, "
    )
    assert "test people, whom neither backbone nor aligner was trained on" in text
    assert "x3 ridge" in text
    assert "mean-shift explains" in text
    assert "none explains" not in text
    assert invoke([*asked, "--people", "train", "--format", "json", "-o", "new/d.json"]) == 0
    assert capsys.readouterr().out == ""
    content = json.loads((tmp_path / "new" / "d.json").read_text())
    assert content["subject"]["people"] == "train"
    assert {rate: one["people"] for rate, one in content["directions"]["rates"].items()} == {"2": 8, "3": 8, "4": 8}
    assert content["directions"]["rates"]["2"]["images"] == 8 * 12


def test_the_head_says_where_aligners_were_fitted(capsys, tmp_path):
    (tmp_path / "run.toml").write_text(
        'fit_on = ["mlr-synthetic"]\nbaseline = false\n[set]\npartner.train_identities = 8\n'
    )
    asked = ["analyze", "directions", *ON, "--config", str(tmp_path / "run.toml"), "--aligner", "ridge"]
    for people, seen in (
        ("test", "neither backbone nor aligner was trained on"),
        ("train", "no aligner was fitted on"),
    ):
        assert invoke([*asked, "--people", people, "--permutations", "1"]) == 0
        text = capsys.readouterr().out
        assert "backbone resnet-tiny [epochs=1], aligners fitted on mlr-synthetic [train_identities=8]" in text
        assert f"{people} people, whom {seen}, fingerprint" in text


def test_the_paper_s_analysis_is_a_config(capsys):
    small = ["--limit", "6", "--set", "aligner.epochs=1", "--set", "protocol.flip=true", "--permutations", "1", "-q"]
    assert invoke(["analyze", "directions", "--config", "crbench_vpfa:directions", "--scale", "tiny", *small]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "mlr-synthetic, protocol mlr [flip=true], trial 0 of 10 (--trial takes another), limited to 6 "
    )
    assert "aligner vpfa/light [epochs=1], seed 0" in text


def test_nothing_is_recorded(tmp_path):
    assert invoke(["analyze", "directions", *ON, "--permutations", "1"]) == 0
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ["--dataset", "mlr-synthetic", "--aligner", "ridge", "--aligner", "lrar"],
            2,
            "none, ridge on resnet-tiny (mlr-synthetic); lrar on lrar/tiny (mlr-synthetic): choose one",
        ),
        ([], 2, "no data set given; name one with --dataset"),
        (["--dataset", "mlr-sinthetic"], 2, "mlr-synthetic"),
        ([*ON, "--aligner", "match-rate"], 2, "match-rate asks for a gallery of its own"),
        ([*ON, "--set", "protocol.query_rates=[]"], 2, "shrinks nothing (query_rates is empty)"),
        ([*ON, "--trial", "10"], 2, "trial 10 is not one of 0-9"),
        (["--scale", "tiny"], 2, "scales are those of a config file; give --config too"),
        (["--config", "crbench_vpfa:table-4b"], 2, "holds 7 runs, and analyze directions looks at one"),
        (["--config", "crbench_vpfa:table-3"], 2, "names 4 data sets, and analyze directions looks at one"),
        ([*ON, "--limit", "3"], 3, "takes 4 of them at least; here are 3"),
        ([*ON, "--permutations", "0"], 2, "0 is not in the range x>=1"),
        (["--dataset", "mlr-viper"], 3, "mlr-viper"),
        (["--dataset", "mlr-synthetic", *SMALL[:4], "--backbone", "random"], 3, "are equal, so there is no offset"),
        (["--dataset", "mlr-synthetic", *SMALL[:4], "--backbone", "constant"], 3, "are equal, so there is no offset"),
    ],
)
def test_what_cannot_be_analysed_is_one_line(capsys, arguments, code, says):
    assert invoke(["analyze", "directions", *arguments]) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("crbench: error:") + captured.err.count("Error:") == 1
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("analysis", ["directions", "thresholds", "gallery"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(capsys, tmp_path, analysis):
    (tmp_path / "file").write_text("")
    asked = ["analyze", analysis, "--dataset", "mlr-viper", "-q"]
    assert invoke([*asked, "-o", "file/a.json"]) == 6, "not 3, as the data are not there"
    assert "cannot write into file" in capsys.readouterr().err


def test_thresholds_of_a_run(capsys, tmp_path):
    asked = ["analyze", "thresholds", *ON, "--aligner", "ridge", "--fpr", "0.1", "--far", "0.2"]
    assert invoke(asked) == 0
    text = capsys.readouterr().out
    assert "x2 0.1 none" in text
    assert "all 0.2 ridge" in text
    assert invoke([*asked, "--format", "json", "-o", "t.json"]) == 0
    content = json.loads((tmp_path / "t.json").read_text())
    assert list(content["methods"]) == ["none", "ridge"]
    assert content["methods"]["none"]["verification"]["0.1"]["all"]["own"]["true"] == 18 * 9


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--fpr", "1"], 2, "1 is not a share; expected 0 or more and less than 1"),
        (["--far", "a"], 2, "'a' is not a list of shares"),
        (["--set", "protocol.distance=nothing"], 2, "nothing"),
        (["--set", "protocol.shot=multi", "--set", "protocol.rerank=k1=4,k2=2,lambda=0.3"], 1, "without re-ranking"),
    ],
)
def test_thresholds_that_cannot_be_had_are_one_line(capsys, arguments, code, says):
    assert invoke(["analyze", "thresholds", *ON, *arguments]) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err


def test_figures_of_a_run(capsys, tmp_path):
    asked = ["analyze", "plot", *ON, "--aligner", "ridge", "--people", "4", "--queries", "2", "--usable", "1"]
    assert invoke([*asked, "-o", "new/figures"]) == 0
    captured = capsys.readouterr()
    names = ("tsne", "ranked", "rate", "height", "distances")
    written = [f"new/figures/{name}.{form}" for name in names for form in ("png", "svg")]
    assert captured.out.split() == written
    assert all((tmp_path / path).stat().st_size > 5000 for path in written)
    assert "crbench: ridge: usable (Rank-1 from 1 % on) down to a height of" in captured.err
    assert "`crbench data info NAME` tells the terms" in captured.err


def test_tops_are_blurred_on_request(tmp_path):
    asked = ["analyze", "plot", *ON, "--figure", "ranked", "--queries", "1"]
    assert invoke([*asked, "-o", "plain"]) == 0
    assert invoke([*asked, "--blur-faces", "-o", "blurred"]) == 0
    plain, blurred = (np.asarray(Image.open(tmp_path / name / "ranked.png"), float) for name in ("plain", "blurred"))
    changed = np.abs(plain - blurred).max(axis=(1, 2)) > 8
    assert changed[: len(changed) // 3].any()
    assert not changed[len(changed) // 2 :].any()


def test_figures_that_a_run_does_not_have_are_left_out_unless_they_are_asked_for(capsys, tmp_path):
    assert invoke(["analyze", "plot", *ON, "--aligner", "match-rate"]) == 0
    assert "crbench: no tsne: match-rate asks for a gallery of its own" in capsys.readouterr().err
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"ranked", "rate", "height", "distances"}
    assert invoke(["analyze", "plot", *ON, "--protocol", "standard", "-o", "hr"]) == 0
    assert "crbench: no tsne: protocol standard shrinks nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--figure", "cmc"], 2, "'cmc' is not one of 'tsne', 'ranked', 'rate', 'height', 'distances'"),
        (["--usable", "0"], 2, "expected more than 0 and up to 100 per cent"),
        (["--usable", "nan"], 2, "nan"),
        (["--people", "1"], 2, "1 is not in the range x>=2"),
        (["-o", "taken"], 2, "is a file"),
        (["-o", "taken/figures"], 6, "a file is where a folder should be"),
        (["--aligner", "match-rate", "--figure", "tsne"], 2, "match-rate asks for a gallery of its own"),
    ],
)
def test_figures_that_cannot_be_had_are_one_line(capsys, tmp_path, arguments, code, says):
    (tmp_path / "taken").write_text("mine")
    assert invoke(["analyze", "plot", *ON, *arguments]) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert "Traceback" not in captured.err
    assert (tmp_path / "taken").read_text() == "mine"

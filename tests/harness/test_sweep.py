"""Every query at every rate: the cells are those of runs, and the table and the figure show them."""

from __future__ import annotations

import json

import attrs
import click
import pytest
from PIL import Image

from crbench.analysis import sweep
from crbench.cli import invoke
from crbench.cli.numbers import rates as parsed
from crbench.errors import ConfigError
from crbench.harness.run import run


def test_each_rate_is_a_run_of_its_own(spec, tmp_path):
    asked = spec(aligner=["ridge", "failing"], trial=0)
    found = sweep(asked, [1, 2, 5])
    assert list(found.lines) == ["none", "ridge", "failing", "bound"]
    for rate in (1.0, 2.0, 5.0):
        rules = {"protocol.query_rates": [rate] if rate > 1 else []}
        none, ridge = run(attrs.evolve(asked, aligner=("ridge",), set=rules, output=tmp_path / "other"))
        for name, result in (("none", none), ("ridge", ridge)):
            assert found.lines[name][rate].value == result.metrics["R1"].mean
            assert found.lines[name][rate].low == result.intervals.metrics["R1"].low
        assert found.lines["bound"][rate] == found.lines["none"][1.0]
    assert found.lines["failing"] == {}
    (failure,) = found.failures
    assert failure.startswith("failed: failing: ")
    assert failure.endswith("ArithmeticError: no fit today")
    assert not found.fitted


def test_maps_of_one_rate_are_tested_at_all(spec, tmp_path):
    asked = spec(aligner="ridge", trial=0)
    found = sweep(asked, [1, 2, 4], "matrix")
    assert list(found.fitted) == ["ridge"]
    assert list(found.fitted["ridge"]) == [2.0, 4.0], "nothing is fitted at rate 1"
    rules = {"protocol.query_rates": [2], "protocol.train_rates": [4]}
    (result,) = run(attrs.evolve(asked, baseline=False, set=rules, output=tmp_path / "other"))
    assert found.fitted["ridge"][4.0][2.0].value == result.metrics["R1"].mean
    text = found.render()
    assert "ridge: Rank-1 by the rate at which it was fitted" in text
    assert "fitted at x4" in text
    paths = found.draw(tmp_path / "figures", "matrix")
    assert [path.name for path in paths] == ["matrix.png", "matrix.svg"]
    with Image.open(paths[0]) as image:
        assert min(image.size) > 100


def test_a_sweep_that_was_stopped_goes_on(spec):
    asked = spec(aligner="ridge", trial=0)
    first = run(attrs.evolve(asked, set={"protocol.query_rates": [2.0]}))
    found = sweep(asked, [2])
    again = run(attrs.evolve(asked, set={"protocol.query_rates": [2.0]}))
    assert [one.created for one in again] == [one.created for one in first]
    assert "bound" not in found.lines, "nobody was tested at rate 1"


def test_the_figure_names_all_lines(spec, tmp_path):
    found = sweep(spec(aligner=["ridge", "mean-shift", "coral"], trial=0), [1, 3])
    _, svg = found.draw(tmp_path, "sweep")
    text = svg.read_text()
    for name in ("none", "ridge", "mean-shift", "coral", "bound", "x3"):
        assert f">{name}<" in text
    assert "tiny, protocol mlr, trial 0, random, seed 0" in text


def test_several_backbones_are_told_apart(spec):
    one_each = sweep(spec(aligner=["ridge", "partnered"], trial=0), [1, 2])
    assert list(one_each.lines) == ["none", "ridge", "partnered", "bound"]
    both = sweep(spec(aligner="ridge", backbone=["random", "learner"], baseline=False, trial=0), [2])
    assert list(both.lines) == ["random + ridge", "learner + ridge"]


def test_protocols_without_rates_are_refused(spec):
    with pytest.raises(ConfigError, match="protocol mlr of tiny does not shrink its queries"):
        sweep(spec(aligner="ridge", set={"protocol.lr_camera": "none"}), [1, 2])


@pytest.mark.parametrize(
    ("aligner", "rates", "says"),
    [("ridge", [1], "give a rate above 1"), ("none", [1, 2], "none of the aligners learns anything")],
)
def test_a_matrix_of_nothing_that_is_fitted_is_refused(spec, aligner, rates, says):
    with pytest.raises(ConfigError, match=says):
        sweep(spec(aligner=aligner, trial=0), rates, "matrix")


def test_the_command_prints_a_table_and_draws(spec, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["sweep", "--dataset", "tiny", "--aligner", "ridge", "--rates", "1,2", "-q"]
    assert invoke([*words, "--figure", "figures/sweep.png"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[3].split() == ["x1", "x2"]
    assert [line.split()[0] for line in lines[5:8]] == ["none", "ridge", "bound"]
    assert (tmp_path / "figures" / "sweep.svg").is_file()
    assert "sweep.png" in said.err
    assert invoke([*words, "--figure", "figures/sweep.v2"]) == 0
    assert (tmp_path / "figures" / "sweep.v2.svg").is_file()
    capsys.readouterr()
    assert invoke([*words, "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["rank1"]["ridge"].keys() == {"1", "2"}
    assert invoke([*words, "--aligner", "failing"]) == 1


def test_a_figure_that_cannot_be_written_is_refused_before_the_work(spec, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    words = ["sweep", "--dataset", "tiny", "--aligner", "ridge", "--rates", "1,2", "-q"]
    assert invoke([*words, "--figure", "file/sweep.png"]) == 6
    assert "file" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("text", "rates"), [("1-3", (1, 2, 3)), ("1.5,4,2-3", (1.5, 2, 3, 4)), ("2", (2,))])
def test_lists_of_rates_are_read(text, rates):
    assert parsed(None, None, text) == rates


@pytest.mark.parametrize("text", ["", "0-2", "3-1", "a", "1-x", "nan", "1000", "1,,2", "0.5"])
def test_other_lists_of_rates_are_refused(text):
    with pytest.raises(click.BadParameter, match="rates"):
        parsed(None, None, text)

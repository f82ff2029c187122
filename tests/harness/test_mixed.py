"""Galleries of several rates: in a run, and the table of the rates of query and match, against plain loops."""

from __future__ import annotations

import json

import attrs
import numpy as np
import pytest
import torch

from crbench.analysis.mixed import ALL, MixedReport, by_gallery_rate, mixed_of
from crbench.analysis.offsets import Estimate
from crbench.api.context import RunContext
from crbench.cli import invoke
from crbench.errors import ConfigError
from crbench.harness.ranked import ranked_trial
from crbench.harness.run import run

MIXED = {"protocol.gallery_rates": [1, 2, 4], "protocol.shot": "multi"}


def plain_table(trial) -> dict[str, dict[str, float]]:
    """Rank-1 by loops over queries: the nearest match of a rate against everybody else."""
    split, found = trial.trial.split, {}
    for (query, gallery), places in zip(trial.compared, trial.places, strict=True):
        distances = -torch.nn.functional.cosine_similarity(query.x[:, None].double(), gallery.x[None].double(), dim=2)
        for row, place in enumerate(places.tolist()):
            same = split.gallery.pids == split.query.pids[place]
            other_camera = split.gallery.camids != split.query.camids[place]
            opponents = distances[row][torch.from_numpy(~same)].min()
            for rate in (ALL, *np.unique(split.gallery.rates).tolist()):
                matches = same & other_camera & ((split.gallery.rates == rate) | (rate == ALL))
                if matches.any():
                    hit = float(distances[row][torch.from_numpy(matches)].min() < opponents)
                    name = rate if rate == ALL else f"{rate:g}"
                    found.setdefault(f"{split.query.rates[place]:g}", {}).setdefault(name, []).append(hit)
    return {rate: {name: float(np.mean(hits)) for name, hits in line.items()} for rate, line in found.items()}


@pytest.mark.parametrize("aligner", ["none", "ridge", "match-rate"])
@pytest.mark.parametrize("trial", [0, 1])
def test_the_table_is_that_of_plain_loops(spec, aligner, trial):
    asked = spec(aligner=aligner, baseline=False, set=MIXED, trial=trial)
    found = ranked_trial(asked, context=RunContext())
    table = by_gallery_rate(found)
    expected = plain_table(found)
    assert {rate: {name: one.value for name, one in line.items()} for rate, line in table.items()} == {
        rate: {name: pytest.approx(value) for name, value in line.items()} for rate, line in expected.items()
    }


def test_all_matches_together_are_what_a_run_says(spec):
    (result,) = run(spec(set=MIXED, trial=0))
    table = mixed_of(spec(set=MIXED, trial=0)).methods["none"]
    for rate, scores in result.by_rate.items():
        assert table[rate][ALL].value == pytest.approx(scores["R1"].mean)


def test_gallery_rates_and_degradation_change_cells_and_nothing_by_the_way(spec):
    (plain,) = run(spec(trial=0))
    (mixed,) = run(spec(trial=0, set={"protocol.gallery_rates": [1, 2]}))
    (noisy,) = run(spec(trial=0, set={"protocol.degradation": "noise:40"}))
    assert len({plain.cell_id, mixed.cell_id, noisy.cell_id}) == 3
    assert len({plain.fingerprint, mixed.fingerprint, noisy.fingerprint}) == 3
    assert "|gr:1,2|" in mixed.protocol.describe
    assert "|deg:noise:40|" in noisy.protocol.describe
    again = run(spec(trial=0, set={"protocol.degradation": "noise:40"}, cache=False, resume=False, num_workers=1))
    assert again[0].trials == noisy.trials, "noise follows from image and rate"


def test_one_rate_has_no_table(spec):
    with pytest.raises(ConfigError, match=r"has one rate; give e\.g\. --set protocol.gallery_rates"):
        mixed_of(spec(trial=0))


def test_the_command_prints_a_table_for_each_aligner(spec, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "analyze",
        "gallery",
        "--dataset",
        "tiny",
        "--aligner",
        "ridge",
        "-q",
        "--set",
        "protocol.gallery_rates=[1,2]",
    ]
    assert invoke(words) == 0
    text = capsys.readouterr().out
    assert "ridge: Rank-1 by the rates of query and match" in text
    assert "match x2 (" in text
    assert invoke([*words, "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["rank1"]["none"]["2"].keys() == {"all", "1", "2"}


def test_a_rate_that_only_others_have_is_left_out(spec):
    """Nobody who is asked for has an image of that rate, so there is nothing to find."""
    found = ranked_trial(spec(set=MIXED, trial=0), context=RunContext())
    gallery = found.trial.split.gallery
    rates = np.where(np.arange(len(gallery)) % 2, 2.0, 1.0)
    strangers = np.isin(gallery.pids, found.trial.split.query.pids[:1])
    split = attrs.evolve(
        found.trial.split,
        query=found.trial.split.query,
        gallery=attrs.evolve(gallery, rates=np.where(strangers, 8.0, rates), native_rates=np.ones(len(gallery))),
    )
    ((query, features),) = found.compared
    asked = query.take(~np.isin(query.rows.pids, gallery.pids[strangers]))
    alone = attrs.evolve(
        found,
        trial=attrs.evolve(found.trial, split=split),
        compared=[(asked, attrs.evolve(features, rows=split.gallery))],
    )
    assert {column for line in by_gallery_rate(alone).values() for column in line} == {ALL, "1", "2"}


def test_columns_are_in_order_of_rates_whatever_the_first_line_lacks(spec):
    subject = mixed_of(spec(set=MIXED, trial=0)).subject
    value = Estimate(0.5, 0.25, 0.75)
    cells = {"2": {ALL: value, "4": value}, "3": {ALL: value, "1": value, "2": value, "4": value}}
    text = MixedReport(subject, {"1": 3, "2": 4, "4": 5}, {"none": cells}).render()
    heads = next(line for line in text.splitlines() if "any match" in line)
    places = [heads.index(head) for head in ("any match", "as it is (3)", "x2 (4)", "x4 (5)")]
    assert places == sorted(places)

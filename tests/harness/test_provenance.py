"""What weights were trained or fitted on: looked at on both sides of a test, and said where it is not known."""

from __future__ import annotations

import json
import shutil

import attrs
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from crbench.errors import ComparisonError, DataError
from crbench.harness.run import run
from crbench.harness.train import train
from crbench.protocol.hashing import sha256_file

QUICK = {"vpfa.epochs": 1, "vpfa.hidden": 8, "vpfa.draws": 32}
UNKNOWN = "the training data of mine.safetensors are not known, so leakage cannot be ruled out"


@pytest.fixture
def fitted(spec, tmp_path):
    """A fit on the training persons of trial 1, with its card, as a user takes it from the cache."""
    run(spec(aligner="vpfa", baseline=False, trial=1, set=QUICK))
    (kept,) = (tmp_path / "cache" / "transforms").glob("vpfa-*.safetensors")
    mine = tmp_path / "mine.safetensors"
    shutil.copy(kept, mine)
    shutil.copy(kept.with_suffix(".json"), mine.with_suffix(".json"))
    return mine


def with_fit(spec, path, **values):
    settings = {**QUICK, "vpfa.weights": str(path)}
    return run(spec(aligner="vpfa", baseline=False, set=settings, **values))[0]


def test_a_fit_on_persons_of_the_test_is_refused(spec, fitted):
    with pytest.raises(ComparisonError, match=r"mine\.safetensors were trained on \d identities .* in trial 0 of tiny"):
        with_fit(spec, fitted, trial=0)
    with pytest.raises(ComparisonError, match="in trial 0 of tiny"):
        with_fit(spec, fitted)


def test_a_fit_of_the_same_trial_is_taken_and_named(spec, fitted):
    result = with_fit(spec, fitted, trial=1)
    (facts,) = result.weights
    assert (facts.sha256, facts.origin, facts.known) == (sha256_file(fitted), "fitted", True)
    assert (facts.seed, facts.device) == (0, "cpu")
    assert facts.threads == torch.get_num_threads()
    assert result.warnings == ()


@pytest.mark.parametrize("change", [{"pids": [], "pictures": []}, {"dataset": "other"}, {"unknown_origin": "x"}])
def test_a_card_that_was_edited_is_refused(spec, fitted, change):
    path = fitted.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"mine\.json is not that of mine\.safetensors: it was edited, or belongs to"):
        with_fit(spec, fitted, trial=0)


def test_a_card_of_other_weights_is_refused(spec, fitted, tmp_path):
    """Also where these are of a backbone; a note in a card, such as its scores, changes nothing."""
    weights = [train(spec(backbone="learner", trial=trial, output=tmp_path / "log")).weights for trial in (0, 1)]
    card = json.loads(weights[0].with_suffix(".json").read_text())
    for path in (fitted, weights[1]):
        path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(DataError, match=r"mine\.json is not that of mine\.safetensors"):
        with_fit(spec, fitted, trial=0)
    with pytest.raises(DataError, match=r"it was edited, or belongs to other weights; restore it"):
        run(spec(backbone="learner", weights=weights[1], trial=0))
    weights[0].with_suffix(".json").write_text(json.dumps(card | {"scores": [], "note": "mine"}))
    assert run(spec(backbone="learner", weights=weights[0], trial=0))[0].status == "ok"


def test_a_fit_without_a_card_is_marked(spec, fitted):
    fitted.with_suffix(".json").unlink()
    result = with_fit(spec, fitted, trial=0)
    (facts,) = result.weights
    assert (facts.origin, facts.known, facts.seed) == ("fitted", False, None)
    assert result.warnings == (UNKNOWN,)


def test_what_is_made_of_a_file_says_what_the_file_has_seen(spec, fitted, tmp_path):
    """The fit that is kept of loaded weights is of their persons, not of the trial's alone."""
    fitted.with_suffix(".json").unlink()
    with_fit(spec, fitted, trial=0)
    cards = [json.loads(path.read_text()) for path in (tmp_path / "cache" / "transforms").glob("vpfa-*.json")]
    assert [card.get("unknown_origin") for card in cards if card["trial"] == 0] == ["mine.safetensors"]


def test_a_damaged_fit_that_is_given_is_refused(spec, fitted):
    content = bytearray(fitted.read_bytes())
    content[-1] ^= 0x40
    fitted.write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.safetensors is damaged"):
        with_fit(spec, fitted, trial=1)


@pytest.mark.parametrize("side", ["query", "gallery"])
def test_persons_of_both_sides_count(spec, tmp_path, monkeypatch, side):
    """A person whom no query shows may stand in the gallery: weights that know her rank her lower than others would."""
    from fakes import Hard

    made = train(spec(backbone="learner", trial=0, output=tmp_path / "log")).weights
    split_of = Hard.split
    whole = split_of(Hard(), Hard().protocols["mlr"], 0, root=None)
    seen = int(np.unique(whole.query.pids)[0])
    save_file(load_file(made), made)  # weights of others, which name no card
    card = json.loads(made.with_suffix(".json").read_text())
    made.with_suffix(".json").write_text(json.dumps({**card, "pids": [seen], "pictures": []}))

    def one_side(self, protocol, index, *, root):
        split = split_of(self, protocol, index, root=root)
        other = "gallery" if side == "query" else "query"
        rows = getattr(split, other)
        return attrs.evolve(split, **{other: rows.take(rows.pids != seen)})

    monkeypatch.setattr(Hard, "split", one_side)
    with pytest.raises(ComparisonError, match="were trained on 1 identities and 0 images of the test in trial 0"):
        run(spec(backbone="learner", trial=0, weights=made))


def test_weights_that_are_trained_in_a_run_are_known_by_trial(spec):
    (result,) = run(spec(backbone="learner"))
    assert {facts.origin for facts in result.weights} == {"trained"}
    assert {facts.sha256 for facts in result.weights} == {trial.weights_sha256 for trial in result.trials}
    assert all(facts.known and facts.threads and facts.device == "cpu" and facts.seed == 0 for facts in result.weights)
    assert run(spec(backbone="learner", resume=False))[0].weights == result.weights


def test_given_weights_are_known_by_their_card(spec, tmp_path):
    made = train(spec(backbone="learner", trial=0, output=tmp_path / "log")).weights
    (facts,) = run(spec(backbone="learner", trial=0, weights=made))[0].weights
    assert (facts.sha256, facts.origin, facts.known, facts.seed) == (sha256_file(made), "file", True, 0)
    other = tmp_path / "mine.safetensors"
    save_file({"matrix": torch.ones(48, 8)}, other)
    result = run(spec(backbone="learner", trial=0, weights=other))[0]
    assert [(facts.origin, facts.known) for facts in result.weights] == [("file", False)]
    assert result.warnings == (UNKNOWN,)


def test_a_backbone_without_weights_names_none(spec):
    assert run(spec(trial=0))[0].weights == ()

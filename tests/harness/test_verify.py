"""What a result states is verified, not believed: fabricated ones are refused at the level that would show it."""

from __future__ import annotations

import hashlib
import json
import shutil
from itertools import pairwise

import attrs
import numpy as np
import pytest
import torch
from result_facts import resealed

from crbench.api.entry import Entry
from crbench.cli import invoke
from crbench.harness.run import run
from crbench.records import Encoded
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.results import load_results, summarise, summarise_rates
from crbench.results.evidence import find_evidence
from crbench.results.files import to_json
from crbench.results.outcomes import content_sha256


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("EVIDENCE", "CACHE"):
        monkeypatch.setenv(f"CRBENCH_{name}", str(tmp_path / name.lower()))


@pytest.fixture
def given(tmp_path, capsys):
    """The result of features that were given, on another machine as it were: nothing is known of it here."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(21, 16))
    for name, count, camera in (("q", 30, 1), ("g", 120, 2)):
        pids = 1 + np.arange(count) % 20
        features = (people[pids] + 3 * rng.normal(size=(count, 16))).astype(np.float32)
        np.savez(f"{name}.npz", features=features, pids=pids, camids=np.full(count, camera))
    assert (
        invoke(["evaluate", "--query", "q.npz", "--gallery", "g.npz", "--name", "mine", "-o", "their/mine.json"]) == 0
    )
    shutil.rmtree("evidence")
    capsys.readouterr()
    return tmp_path / "their" / "mine.json"


@pytest.fixture
def ran(spec, tmp_path):
    """The result of a run, of which nothing is known here."""
    run(spec(aligner="mean-shift", baseline=False, output=tmp_path / "runs", seed=3))
    shutil.rmtree(tmp_path / "evidence")
    (path,) = (tmp_path / "runs").rglob("*.json")
    return path


def load(path):
    (result,) = load_results([path])
    return result


def verify(path, capsys, *options, code=0):
    assert invoke(["verify", str(path), *options]) == code
    return capsys.readouterr().out


FEATURES = ["--features", "q.npz", "--features", "g.npz"]


def test_each_level_is_raised_by_what_shows_it(given, capsys):
    assert load(given).level == "reported"
    assert "recomputed: all scores of 1 trial, anew from the outcomes" in verify(given, capsys)
    assert load(given).level == "recomputed"
    assert "re-evaluated: scores of 30 queries" in verify(given, capsys, *FEATURES)
    assert load(given).level == "re-evaluated"
    verify(given, capsys)
    assert load(given).level == "re-evaluated", "never lowered"


def test_a_run_again(ran, capsys, fakes):
    said = verify(ran, capsys, "--rerun")
    assert "run here: scores of 2 trials, anew by a run; no difference" in said
    result = load(ran)
    assert (result.level, result.evidence.largest_difference) == ("run here", 0.0)
    assert len(list(ran.parents[3].joinpath("evidence").rglob("*.json"))) == 1, "the second run leaves none of its own"


def test_a_run_again_says_what_it_does(ran, capsys):
    assert invoke(["verify", str(ran), "--rerun"]) == 0
    assert "crbench: pairs=auto: image pairs" in capsys.readouterr().err, "a note of the fit"
    assert invoke(["verify", str(ran), "--rerun", "-q"]) == 0
    assert capsys.readouterr().err == "crbench: 1 result, 0 refused\n"


def test_hashed_keys_are_those_of_the_run(spec, tmp_path, capsys):
    run(spec(aligner="none", output=tmp_path / "runs", hash_keys=True))
    assert "run here" in verify("runs", capsys, "--rerun")


def test_a_run_from_kept_features(ran, tmp_path, capsys, fakes):
    assert "re-evaluated: scores of 2 trials, anew from kept features" in verify(ran, capsys, "--features", "cache")
    assert load(ran).level == "re-evaluated"


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_features_that_are_not_kept_are_not_made(ran, tmp_path, capsys, fakes, monkeypatch):
    def extract(*_args):
        raise AssertionError("an image went through the network")

    monkeypatch.setattr("crbench.harness.extract.extractor.Extractor._extract", extract)
    (tmp_path / "empty").mkdir()
    said = [verify(ran, capsys, "--features", "empty", code=5) for _ in range(2)]
    assert said[0] == said[1]
    assert "refused: empty lacks features of" in said[0]
    assert "--rerun makes them anew" in said[0]
    assert list((tmp_path / "empty").iterdir()) == []


def test_nothing_is_written_beside_kept_features(ran, tmp_path, capsys, fakes):
    """The fit that is gone is made in memory; the damaged file of features is neither taken nor deleted."""
    shutil.rmtree(tmp_path / "cache" / "transforms")
    before = content(tmp_path / "cache")
    assert "re-evaluated" in verify(ran, capsys, "--features", "cache")
    assert content(tmp_path / "cache") == before
    damaged = next(path for path in sorted(before) if path.suffix == ".safetensors")
    damaged.write_bytes(before[damaged][:-1])
    assert "lacks features of" in verify(ran, capsys, "--features", "cache", code=5)
    assert content(tmp_path / "cache") == {**before, damaged: before[damaged][:-1]}


def test_a_cache_folder_that_is_not_there_is_named(ran, capsys, fakes, tmp_path):
    assert "refused: missing: no such folder" in verify(ran, capsys, "--features", "missing", code=3)
    assert not (tmp_path / "missing").exists()
    (tmp_path / "file").touch()
    assert "--features takes the cache folder" in verify(ran, capsys, "--features", "file", code=2)


def test_levels_are_those_of_this_machine(given, capsys, monkeypatch):
    verify(given, capsys, *FEATURES)
    monkeypatch.setenv("CRBENCH_EVIDENCE", "elsewhere")
    assert load(given).level == "reported"


def _rewrite(path, result, arrays=None):
    """The file of a forger who keeps every digest right."""
    if arrays is not None:
        np.savez_compressed(path.with_suffix(".npz"), **arrays)
        result = attrs.evolve(result, outcomes=attrs.evolve(result.outcomes, sha256=content_sha256(arrays)))
    path.write_text(to_json(attrs.evolve(result, content_sha256=None)))


def _with_trial(result, trial):
    trials = (trial, *result.trials[1:])
    return attrs.evolve(
        result, trials=trials, metrics=summarise(trials), by_rate=summarise_rates(trials), intervals=None
    )


def test_edited_scores_do_not_follow_from_the_outcomes(given, capsys):
    result = load(given)
    trial = attrs.evolve(result.trials[0], cmc=(1.0,) * 50)
    whole = {rate: attrs.evolve(part, cmc=(1.0,) * 50) for rate, part in trial.by_rate.items()}
    _rewrite(given, _with_trial(result, attrs.evolve(trial, by_rate=whole)))
    assert "refused: " in (said := verify(given, capsys, code=3))
    assert "do not follow from its outcomes" in said
    assert load(given).level == "reported"


def test_edited_intervals_do_not_follow(given, capsys):
    content = json.loads(given.read_text())
    content["intervals"]["metrics"]["R1"]["low"] = content["intervals"]["metrics"]["R1"]["high"]
    given.write_text(json.dumps(resealed(content)))
    assert "its intervals do not follow from its outcomes" in verify(given, capsys, code=3)


def test_edited_outcomes_with_the_scores_that_follow_do_not_follow_from_the_features(given, capsys):
    """Ranks are made better and everything that follows from them is made anew: only the features tell."""
    result = load(given)
    arrays = dict(np.load(given.with_suffix(".npz")))
    starts = arrays["0.starts"]
    for first, end in pairwise(starts.tolist()):
        arrays["0.ranks"][first:end] = np.arange(1, 1 + end - first)
    perfect = attrs.evolve(result.trials[0], cmc=(1.0,) * 50, scores={"mAP": 1.0, "mINP": 1.0})
    whole = {
        rate: attrs.evolve(part, cmc=(1.0,) * 50, scores={"mAP": 1.0, "mINP": 1.0})
        for rate, part in perfect.by_rate.items()
    }
    _rewrite(given, _with_trial(result, attrs.evolve(perfect, by_rate=whole)), arrays)
    assert "recomputed" in verify(given, capsys), "as far as outcomes tell"
    said = verify(given, capsys, *FEATURES, code=5)
    assert "R1 of trial 0 is 1, and 0." in said
    assert load(given).level == "recomputed"


def test_outcomes_of_other_queries_with_the_same_scores_are_refused(given, capsys):
    """Two queries trade their ranks: no score moves, but a comparison by query would."""
    result = load(given)
    arrays = dict(np.load(given.with_suffix(".npz")))
    keys = arrays["0.keys"].copy()
    keys[[0, 1]] = keys[[1, 0]]
    _rewrite(given, result, {**arrays, "0.keys": keys})
    assert "recomputed" in verify(given, capsys)
    assert "the outcomes of the queries are others here" in verify(given, capsys, *FEATURES, code=5)


def test_swapped_features_are_refused(given, capsys):
    arrays = dict(np.load("q.npz"))
    np.savez("other.npz", **{**arrays, "features": arrays["features"] + np.float32(1e-6)})
    said = verify(given, capsys, "--features", "other.npz", "--features", "g.npz", code=5)
    assert "not its features; their SHA-256 is" in said
    assert "not the features of its rows" in verify(given, capsys, "--features", "g.npz", "--features", "q.npz", code=5)
    np.savez("other.npz", **{**arrays, "pids": arrays["pids"][::-1]})
    said = verify(given, capsys, "--features", "other.npz", "--features", "g.npz", code=5)
    assert "not the features of its rows" in said


def test_a_fabricated_run_is_not_confirmed_by_a_run(ran, capsys, fakes):
    """Scores of a seed that was not used, all digests right: the run of what the result states gives others."""
    result = load(ran)
    trial = attrs.evolve(result.trials[0], cmc=tuple(min(1.0, value + 0.05) for value in result.trials[0].cmc))
    _rewrite(ran, attrs.evolve(_with_trial(result, attrs.evolve(trial, by_rate={})), outcomes=None))
    content = json.loads(ran.read_text())
    assert "refused" in verify(ran, capsys, "--rerun", code=5)
    content["trials"][0]["data"] = "0" * 12
    ran.write_text(json.dumps(resealed(content)))
    assert "trial 0 has other images here, under the same names" in verify(ran, capsys, "--rerun", code=5)


def test_a_small_difference_is_taken_if_asked_for_and_kept(ran, capsys, fakes):
    result = load(ran)
    first = result.trials[0]
    moved = attrs.evolve(first, cmc=tuple(max(0.0, value - 0.004) for value in first.cmc))
    _rewrite(ran, attrs.evolve(_with_trial(result, moved), outcomes=None))
    assert "of trial 0 is " in verify(ran, capsys, "--rerun", "--within", "0.3", code=5)
    assert "largest difference: 0.4 points" in verify(ran, capsys, "--rerun", "--within", "0.5")
    assert load(ran).evidence.largest_difference == pytest.approx(0.004)


def test_several_results_and_what_cannot_be_verified(given, ran, capsys, fakes):
    content = json.loads(ran.read_text())
    ran.write_text(json.dumps(resealed({**content, "outcomes": None, "intervals": None})))
    said = verify("their", capsys, "runs", code=3)
    assert "mine.json: recomputed" in said
    assert "refused: cell " in said
    assert "kept no outcomes" in said
    assert find_evidence(load(ran).content_sha256, given.parents[1] / "evidence") is None


def test_failed_cells_are_passed_over_but_not_taken_for_verified(given, spec, tmp_path, capsys, fakes):
    """A cell that failed once stays in its folder, also where it was run again since."""
    run(spec(aligner="failing", baseline=False, output=tmp_path / "failed"))
    assert invoke(["verify", "failed", "their"]) == 0
    said = capsys.readouterr()
    assert "passed over: a failed cell, which states no scores" in said.out
    assert "2 results, 0 refused, 1 passed over" in said.err
    assert invoke(["verify", "failed"]) == 3
    assert "failed: failed cells alone; `crbench run` tries them again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--rerun"], 2, "made of given features, so there is nothing to run; give --features"),
        (["--features", "missing.npz"], 3, "no such file"),
    ],
)
def test_what_does_not_suit_a_result_is_refused(options, code, said, given, capsys):
    assert said in verify(given, capsys, *options, code=code)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--meta", "m.csv"], "give --features too"),
        (["--rerun", "--within", "-1"], "expected points from 0 upwards"),
        (["--within", "1"], "--within is for scores of a run"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, said, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    assert invoke(["verify", "results", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_results_is_named(tmp_path, capsys):
    (tmp_path / "results").mkdir()
    assert invoke(["verify", "results"]) == 3
    assert "no results in results; `crbench run" in capsys.readouterr().err


class Kept:
    """Features that somebody gives in place of a backbone."""

    dim = 4

    def lookup(self, rows):
        numbers = [int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) for key in rows.keys.tolist()]
        return Encoded(torch.tensor(np.stack([np.random.default_rng(n).normal(size=4) for n in numbers])).float())


def test_a_run_of_features_in_place_of_a_backbone_shows_no_more_than_these(spec, offer):
    owner = Owner(plugin="kept", distribution="crbench-kept", version="1")
    offer(Registered("backbone", Entry("kept", lambda weights=None, device="cpu": Kept()), owner))
    (result,) = run(spec(aligner="none", backbone="kept"))
    assert (result.status, result.level) == ("ok", "re-evaluated")

from __future__ import annotations

import json
import logging
import shlex
from pathlib import Path

import attrs
import builders
import numpy as np
import pytest
import torch
from fakes import ByRate, Hard

from crbench.api.context import RunContext
from crbench.cli import invoke
from crbench.errors import ComparisonError, ConfigError, DataError, EvaluationError, PluginError
from crbench.harness.plan import make_plan
from crbench.harness.run import run
from crbench.protocol.hashing import sha256_file
from crbench.records import Samples
from crbench.registry.load import load_dataset
from crbench.report import render
from crbench.results import Extraction, load_results
from crbench.results.folder import result_path
from crbench.results.outcomes import check_outcomes, read_outcomes
from crbench.statistics import intervals, read_joined, read_queries, recomputable
from crbench.testing import RandomBackbone


def scores(results):
    return {result.method.aligner.name: result.trials for result in results}


def test_a_run_gives_one_result_per_cell_and_writes_it(spec, tmp_path):
    results = run(spec(aligner=["mean-shift", "ridge"]))
    assert [result.method.aligner.name for result in results] == ["none", "mean-shift", "ridge"]
    assert {len(result.trials) for result in results} == {2}
    assert len({result.fingerprint for result in results}) == 1
    assert len({result.cell_id for result in results}) == 3
    stored = load_results([tmp_path / "results"])
    assert sorted(stored, key=lambda r: r.cell_id) == sorted(results, key=lambda r: r.cell_id)
    folders = {path.parent.relative_to(tmp_path / "results").as_posix() for path in tmp_path.glob("results/**/*.json")}
    assert folders == {"tiny-mlr/random__none", "tiny-mlr/random__mean-shift", "tiny-mlr/random__ridge"}


def test_finished_cells_are_taken_and_new_ones_added(spec):
    first = run(spec(aligner="mean-shift"))
    told = []
    again = run(spec(aligner=["mean-shift", "ridge"]), on_result=lambda result, earlier: told.append(earlier))
    assert told == [True, True, False]
    assert [result.method.aligner.name for result in again] == ["none", "mean-shift", "ridge"]
    assert again[:2] == first


def test_cache_and_resume_change_no_score(spec):
    fresh = run(spec(aligner="ridge"))
    assert 0 < fresh[0].metrics["R1"].mean < 1, "scores at an end would hide differences"
    cached = run(spec(aligner="ridge", resume=False))
    without = run(spec(aligner="ridge", resume=False, cache=False))
    assert scores(fresh) == scores(cached) == scores(without)
    assert [result.timings["extract"].cached for result in (fresh[0], cached[0], without[0])] == [False, True, False]
    assert cached[1].timings["fit"].cached
    assert cached[1].timings["fit"].seconds == fresh[1].timings["fit"].seconds


def test_trials_share_their_features(spec):
    run(spec(trial=0))
    one_then_both = run(spec())
    assert one_then_both[0].timings["extract"].count < run(spec(cache=False, resume=False))[0].timings["extract"].count
    assert scores(one_then_both) == scores(run(spec(cache=False, resume=False)))


def test_a_failing_cell_is_stored_and_the_others_go_on(spec, tmp_path):
    results = run(spec(aligner=["failing", "ridge"]))
    assert [result.status for result in results] == ["ok", "failed", "ok"]
    assert "ArithmeticError: no fit today" in results[1].error
    assert [result.status for result in load_results([tmp_path / "results" / "tiny-mlr" / "random__failing"])] == [
        "failed"
    ]
    told = []
    run(spec(aligner="failing"), on_result=lambda result, earlier: told.append((result.status, earlier)))
    assert told == [("ok", True), ("failed", False)], "a failure is tried again, never taken from before"


def test_a_run_notes_that_its_results_were_made_here(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("CRBENCH_EVIDENCE", str(tmp_path / "evidence"))
    results = run(spec(aligner="failing"))
    assert [result.level for result in results] == ["run here", "reported"]
    assert [result.level for result in run(spec(aligner="none"))] == ["run here"], "as is one of an earlier run"
    monkeypatch.setenv("CRBENCH_EVIDENCE", str(tmp_path / "elsewhere"))
    assert {result.level for result in load_results([tmp_path / "results"])} == {"reported"}


def test_a_folder_of_evidence_that_cannot_be_written_stops_no_run(spec, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CRBENCH_EVIDENCE", str(tmp_path / "file"))
    (result,) = run(spec(aligner="none"), context=RunContext(logger=logging.getLogger("crbench")))
    assert (result.status, result.level) == ("ok", "reported")
    assert [text for text in caplog.messages if "will show this result as reported" in text]


def test_a_failing_metric_fails_its_cell_only(spec):
    results = run(spec(aligner=["mean-shift", "ridge"], metric=["moody-score"]))
    assert sorted(result.status for result in results) == ["failed", "ok", "ok"]
    (failed,) = (result for result in results if result.status == "failed")
    assert "crbench-fakes 1 (plugin 'fakes') failed at metric 'moody-score': ArithmeticError" in failed.error
    assert failed.metric_facts == {}


def test_a_score_that_is_asked_for_later_is_added_to_the_same_cell(spec):
    before = run(spec(trial=0))[0]
    told = []
    (after,) = run(spec(trial=0, metric=["moody-score"]), on_result=lambda result, earlier: told.append(earlier))
    assert told == [False]
    assert after.cell_id == before.cell_id
    assert after.trials[0].cmc == before.trials[0].cmc
    assert after.metrics["moody-score"].mean == after.trials[0].scores["moody-score"] > 1
    facts = after.metric_facts["moody-score"]
    assert (facts.higher_is_better, facts.unit, facts.distribution) == (False, "number", "crbench-fakes")
    assert "moody-score ↓" in render([after])
    assert f" {after.metrics['moody-score'].mean:.4g} " in render([after]), "as it is, not in per cent"
    assert "--metric moody-score" in after.command
    run(spec(trial=0), on_result=lambda result, earlier: told.append(earlier))
    assert told == [False, True], "what has more scores than asked for will do"


def test_everything_that_changes_a_number_changes_the_cell(spec):
    base = run(spec(trial=0))[0]
    changes = [
        {"seed": 1},
        {"batch_size": 8},
        {"amp": "bf16"},
        {"trial": 1},
        {"set": {"backbone.seed": 3}},
        {"set": {"protocol.kernel": "bicubic"}},
        {"limit": 3},
        {"backbone": "learner"},
    ]
    cells = [run(spec(**{"trial": 0, **change}))[0].cell_id for change in changes]
    assert len({base.cell_id, *cells}) == len(changes) + 1


def test_a_limited_result_is_not_rankable(spec):
    result = run(spec(limit=3))[0]
    assert not result.rankable
    assert result.trials[0].n_query < run(spec())[0].trials[0].n_query
    assert any("not rankable" in warning for warning in result.warnings)


def test_the_command_repeats_the_cell(spec, tmp_path):
    settings = {"protocol.ties": "optimistic", "ridge.alpha": 2.0, "protocol.query_rates": [2, 3]}
    result = run(spec(aligner="ridge", trial=[0, 1], seed=3, set=settings))[1]
    folders = ["--output", str(tmp_path / "again"), "--cache-dir", str(tmp_path / "cache")]
    assert invoke([*shlex.split(result.command)[1:], *folders]) == 0
    repeated = load_results([tmp_path / "again"])
    assert [other.cell_id for other in repeated] == [result.cell_id]
    assert repeated[0].trials == result.trials


def test_a_trainable_backbone_is_trained_once_per_training_list(spec, fakes):
    first = run(spec(backbone="learner"))
    assert len(fakes.trainings) == 2, "two trials with different training identities"
    again = run(spec(backbone="learner", resume=False, cache=False))
    assert len(fakes.trainings) == 2
    assert scores(first) == scores(again)
    assert first[0].method.backbone.trained


def test_weights_trained_on_test_identities_are_refused(spec, tmp_path):
    run(spec(backbone="learner", trial=0))
    weights = next((tmp_path / "weights" / "trained").glob("*.safetensors"))
    assert run(spec(backbone="learner", trial=0, weights=weights))[0].warnings == ()
    with pytest.raises(ComparisonError, match="were trained on"):
        run(spec(backbone="learner", trial=1, weights=weights))
    weights.with_suffix(".json").unlink()
    assert "leakage cannot be ruled out" in run(spec(backbone="learner", trial=1, weights=weights))[0].warnings[0]


def test_missing_weights_are_named(spec, tmp_path):
    with pytest.raises(DataError, match=r"none\.pth does not exist"):
        run(spec(backbone="learner", weights=tmp_path / "none.pth"))


def test_features_that_are_not_finite_are_refused_and_not_cached(spec, tmp_path):
    (failed,) = run(spec(backbone="nan"))
    assert "crbench-fakes 1 (plugin 'fakes') failed at extract: it gave NaN or infinite features for" in failed.error
    assert list(tmp_path.glob("cache/**/*.safetensors")) == []


def test_an_image_in_training_and_test_is_refused(spec, monkeypatch):
    monkeypatch.setattr(Hard, "digests", lambda self, keys, *, root: np.full(len(keys), "same"))
    with pytest.raises(ComparisonError, match="test images are also training images"):
        run(spec())


@pytest.mark.parametrize("role", ["query", "gallery"])
def test_a_copy_of_a_training_image_is_refused_among(role, spec, monkeypatch):
    split = Hard().split(Hard().protocols["mlr"], 0, root=None)
    original, digests = split.train.keys[0], Hard.digests
    copy = next(key for key in getattr(split, role).keys if role == "query" or key not in split.query.keys)
    monkeypatch.setattr(
        Hard, "digests", lambda self, keys, *, root: digests(self, np.where(keys == copy, original, keys), root=root)
    )
    with pytest.raises(ComparisonError, match=rf"1 test images are also training images \(first: {copy}\)"):
        run(spec(trial=0))


def test_a_copy_of_a_training_image_may_be_a_distractor(spec, monkeypatch):
    """A gallery image of nobody who is asked for: it can only stand in the way."""
    split_of, digests = Hard.split, Hard.digests
    original = split_of(Hard(), Hard().protocols["mlr"], 0, root=None).train.keys[0]

    def split(self, protocol, index, *, root):
        plain = split_of(self, protocol, index, root=root)
        distractor = Samples(keys=["100_0"], pids=[0], camids=[1])
        return attrs.evolve(plain, gallery=Samples.concat([plain.gallery, distractor]))

    monkeypatch.setattr(Hard, "split", split)
    monkeypatch.setattr(
        Hard, "digests", lambda self, keys, *, root: digests(self, np.where(keys == "100_0", original, keys), root=root)
    )
    assert run(spec(trial=0))[0].status == "ok"


def test_a_bad_image_stops_or_is_skipped(spec, monkeypatch):
    plain = run(spec(trial=0))[0]
    query = Hard().split(Hard().protocols["mlr"], 0, root=None).query
    read = Hard.read

    def broken(self, key, *, root):
        if key == query.keys[0]:
            raise DataError(f"{key}: image file is truncated")
        return read(self, key, root=root)

    monkeypatch.setattr(Hard, "read", broken)
    with pytest.raises(DataError, match="is truncated"):
        run(spec(trial=0, cache=False, resume=False))
    skipped = run(spec(trial=0, on_bad_image="skip"))[0]
    assert skipped.trials[0].skipped == 1
    assert skipped.trials[0].n_query == plain.trials[0].n_query - 1
    assert skipped.fingerprint == plain.fingerprint
    assert skipped.trial_set != plain.trial_set, "shown in one block, but not ranked together"
    assert skipped.cell_id != plain.cell_id


def test_a_data_set_that_fails_at_an_image_is_named(spec, monkeypatch):
    """Only what it says to be unreadable is skipped."""

    def read(self, key, *, root):
        raise SystemExit("no licence")

    monkeypatch.setattr(Hard, "read", read)
    assert "failed at read: SystemExit: no licence" in run(spec(trial=0))[0].error
    with pytest.raises(PluginError, match="failed at read: SystemExit: no licence"):
        run(spec(trial=0, on_bad_image="skip"))


@pytest.mark.parametrize("workers", [1, 4])
def test_images_are_decoded_once_for_all_rates(spec, monkeypatch, workers):
    reads = []
    read = Hard.read

    def counted(self, key, *, root):
        reads.append(key)
        return read(self, key, root=root)

    monkeypatch.setattr(Hard, "read", counted)
    count = run(spec(cache=False, num_workers=workers))[0].timings["extract"].count
    assert len(reads) == len(set(reads)) < count


def test_ten_splits_of_cuhk03_cost_one_pass_over_its_images(spec, tmp_path, monkeypatch):
    builders.build_cuhk03_folders(tmp_path / "data")
    kind, reads = type(load_dataset("mlr-cuhk03")), []
    read = kind.read

    def counted(self, key, *, root):
        reads.append(key)
        return read(self, key, root=root)

    monkeypatch.setattr(kind, "read", counted)
    request = {"dataset": "mlr-cuhk03", "backbone": "random", "data_root": tmp_path / "data", "num_workers": 3}
    result = run(spec(**request, set={"protocol.identities": "random:4/3"}))[0]
    assert len(result.trials) == 10
    assert len(reads) == len(set(reads)) < result.timings["extract"].count


def test_how_features_were_computed_is_part_of_the_result(spec, tmp_path):
    results = [run(spec(trial=0, amp=amp, batch_size="auto"))[0] for amp in ("off", "bf16")]
    assert [result.extraction for result in results] == [Extraction(batch_size=64, amp=amp) for amp in ("off", "bf16")]
    assert "--batch-size 64 --no-baseline --amp bf16" in results[1].command
    assert len({result.cell_id for result in results}) == 2
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 2


def at_most(count):
    """`RandomBackbone.extract` on a device that holds so many images."""
    extract = RandomBackbone.extract

    def limited(self, batch):
        if len(batch.inputs) > count:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return extract(self, batch)

    return limited


def test_a_batch_that_does_not_fit_is_halved_and_said_so(spec, monkeypatch, caplog):
    plain = run(spec(batch_size=2))
    monkeypatch.setattr(RandomBackbone, "extract", at_most(3))
    results = run(spec(batch_size=8, resume=False, cache=False, aligner=["none", "ridge"]))
    assert [message for message in caplog.messages if "memory" in message] == [
        "out of memory on cpu with 8 images per batch; going on with 4",
        "out of memory on cpu with 4 images per batch; going on with 2",
    ]
    assert [result.extraction.batch_size for result in results] == [2, 2]
    assert (results[0].trials, results[0].cell_id) == (plain[0].trials, plain[0].cell_id)


def test_a_device_that_holds_no_image_is_an_error(spec, monkeypatch):
    monkeypatch.setattr(RandomBackbone, "extract", at_most(0))
    with pytest.raises(EvaluationError, match="with 1 images per batch; choose a smaller network or --device cpu"):
        run(spec(batch_size=2))


def test_flip_averages_with_the_mirror_image(spec):
    plain, flipped = (run(spec(set={"protocol.flip": flip}))[0] for flip in (False, True))
    assert plain.fingerprint != flipped.fingerprint


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "tinny"}, "unknown dataset 'tinny'; did you mean 'tiny'"),
        ({"aligner": "rigde"}, "unknown aligner 'rigde'; did you mean 'ridge'"),
        ({"protocol": "none"}, "has no protocol 'none'; known: mlr"),
        ({"trial": 2}, "trial 2 is not one of 0-1"),
        ({"set": {"protocol.kernal": "box"}}, "protocol has no rule 'kernal'"),
        ({"set": {"protocol.kernel": "cubic"}}, "kernel"),
        ({"set": {"protocol.trials": "many"}}, "protocol.trials = 'many' is not of type int"),
        ({"set": {"alinger.shrink": 1}}, "expected PART.NAME; did you mean 'aligner'"),
        (
            {"set": {"protocol.distance": "manhattan"}, "baseline": False},
            "unknown distance 'manhattan'.*own are cosine, euc",
        ),
        ({"device": "tpu"}, "device 'tpu' cannot be used"),
        ({"metric": ["nDGC"]}, "unknown metric 'nDGC'; did you mean 'nDCG'"),
        ({"metric": ["nDCG"]}, "metric 'nDCG' is undefined: a single-shot gallery"),
        ({"engine": "fast"}, "unknown engine 'fast'; known: auto"),
        ({"precision": "half"}, "unknown precision 'half'; known: auto"),
    ],
)
def test_a_request_that_cannot_be_met_stops_before_any_work(spec, tmp_path, values, message):
    with pytest.raises(ConfigError, match=message):
        run(spec(**values))
    assert not (tmp_path / "cache").exists()


def test_results_are_plain_json(spec, tmp_path):
    run(spec())
    text = next(tmp_path.glob("results/**/*.json")).read_text()
    content = json.loads(text)
    assert 0 <= content["metrics"]["R1"]["mean"] <= 1
    assert content["environment"]["torch"] == torch.__version__


def test_spec_and_context_seed_agree(spec):
    assert scores(run(spec(backbone="learner", seed=1))) != scores(run(spec(backbone="learner", seed=2)))


def test_the_job_records_what_it_left_out(spec):
    result = run(spec())[0]
    assert attrs.asdict(result.data)["notes"] == {}
    assert len({(trial.split, trial.data) for trial in result.trials}) == 2
    for trial in result.trials:
        assert 0 < trial.n_persons <= trial.n_query
        assert trial.n_gallery > 0
        assert (trial.training, trial.weights_sha256) == (None, None)


def test_each_trial_names_its_weights_and_its_training(spec, tmp_path):
    (result,) = run(spec(backbone="learner"))
    files = {path.stem: path for path in (tmp_path / "weights" / "trained").glob("*.safetensors")}
    assert len({trial.training for trial in result.trials}) == 2
    for trial in result.trials:
        assert trial.weights_sha256 == sha256_file(files[f"learner-{trial.training}"])


def test_trials_of_one_run_and_of_two_are_the_same(spec):
    (both,) = run(spec(aligner="none"))
    apart = [run(spec(aligner="none", trial=trial))[0] for trial in (0, 1)]
    assert tuple(trial for result in apart for trial in result.trials) == both.trials
    assert {result.fingerprint for result in apart} == {both.fingerprint}
    assert len({result.cell_id for result in (both, *apart)}) == 3


def test_a_finished_cell_is_written_before_the_next_one_ends(spec, tmp_path):
    seen = []

    def look(result, earlier):
        seen.append(len(list(tmp_path.glob("results/**/*.json"))))

    run(spec(aligner=["mean-shift", "ridge"]), on_result=look)
    assert seen == [1, 2, 3]


def test_costs_add_up_over_backbones_and_shared_fits_count_once(spec):
    result = run(spec(backbone="learner", aligner="ridge"))[1]
    assert result.timings["train"].count == 2
    assert result.timings["fit"].count == 2
    one_trial = run(spec(backbone="learner", trial=0, cache=False, resume=False))[0].timings["extract"].count
    assert result.timings["extract"].count > one_trial
    assert result.timings["evaluate"].count == sum(trial.n_query for trial in result.trials)


def test_rates_can_be_estimated_from_heights_and_are_never_ranked_with_known_ones(spec):
    known = run(spec(trial=0))[0]
    sized = run(spec(trial=0, set={"protocol.rate_source": "size:48"}))[0]
    assert sized.rate_source == "size:48"
    assert sized.fingerprint != known.fingerprint
    assert sized.trials == known.trials, "images of 48 pixels give their rates away"
    other = run(spec(trial=0, set={"protocol.rate_source": "size:96"}))[0]
    assert other.trials[0].cmc == known.trials[0].cmc, "the images are the same, only their rates are others"
    assert set(other.trials[0].by_rate) == {"4"}, "24, 16 and 12 of 96 pixels: a quarter or less"


def test_a_backbone_may_want_all_training_rows_and_another_gallery_for_each_rate(spec, fakes, monkeypatch):
    whole = run(spec(backbone="learner", trial=0))[0]
    same = run(spec(backbone="learner-by-rate", trial=0))[0]
    assert same.trials[0].cmc == whole.trials[0].cmc
    assert same.trials[0].by_rate == whole.trials[0].by_rate
    asked = len(fakes.trainings)
    galleries = []

    def wanted(gallery, rate):
        galleries.append(rate)
        return attrs.evolve(gallery, rates=np.full(len(gallery), rate))

    monkeypatch.setattr(ByRate, "wanted", staticmethod(wanted))
    shrunk = run(spec(backbone="learner-by-rate", trial=0, resume=False))[0]
    assert set(galleries) == {2, 3, 4}
    assert len(fakes.trainings) == asked, "the same weights"
    assert shrunk.trials[0].cmc != whole.trials[0].cmc
    assert shrunk.trials[0].n_query == whole.trials[0].n_query


def test_training_on_all_rows_is_part_of_the_training_key(spec, fakes):
    run(spec(backbone="learner", trial=0))
    run(spec(backbone="learner-all", trial=0))
    assert fakes.trainings[1] == 4 * fakes.trainings[0]
    run(spec(backbone="learner-all", trial=0, resume=False, set={"learner-all.scale": 3}))
    assert len(fakes.trainings) == 2, "training does not depend on this parameter"
    run(spec(backbone="learner-all", trial=0, set={"protocol.kernel": "bicubic"}))
    assert len(fakes.trainings) == 3, "LR training images follow the protocol"


def test_an_aligner_runs_on_the_backbone_that_it_names(spec):
    results = run(spec(aligner=["partnered", "ridge"]))
    cells = [(result.method.backbone.name, result.method.aligner.name) for result in results]
    assert cells == [("random", "none"), ("random", "ridge"), ("learner", "partnered")]
    assert [r.method.aligner.name for r in run(spec(aligner="partnered"))] == ["partnered"]
    beside = run(spec(aligner=["partnered", "ridge"], backbone="random"))
    assert {(r.method.backbone.name, r.method.aligner.name) for r in beside} == set(cells)
    both = run(spec(aligner="partnered", backbone=["learner", "random"]))
    assert [result.method.backbone.name for result in both] == ["learner"]
    with pytest.raises(ConfigError, match="one method with its backbone learner"):
        run(spec(aligner="partnered", backbone="random"))


def test_what_the_lists_leave_out_is_said(spec, caplog, monkeypatch):
    source = type(make_plan(spec(trial=0)).jobs[0].source)
    split = source.split

    def lacking(self, *arguments, **options):
        return attrs.evolve(split(self, *arguments, **options), notes={"junk images": 3, "strange names": 1})

    monkeypatch.setattr(source, "split", lacking)
    with caplog.at_level("INFO", logger="crbench"):
        (result,) = run(spec(trial=0, aligner="none"))
    assert f"{result.dataset} leaves out images (junk images: 3, strange names: 1)" in caplog.messages


def test_outcomes_lie_beside_each_result_and_give_its_scores(spec, tmp_path):
    for result in run(spec(aligner="ridge")):
        folder = result_path(tmp_path / "results", result).parent
        check_outcomes(folder, result)
        for trial, kept in zip(result.trials, read_outcomes(folder, result), strict=True):
            assert len(kept.queries) == trial.n_query
            assert int(kept.outcomes.valid.sum()) == trial.n_valid


def test_intervals_follow_from_the_outcomes_beside_a_result(spec, tmp_path):
    for result in run(spec(aligner="ridge")):
        assert result.intervals.metrics.keys() == result.metrics.keys()
        assert result.intervals.by_rate.keys() == result.by_rate.keys()
        (read,) = load_results([result_path(tmp_path / "results", result)])
        assert intervals(read_queries(read)) == read.intervals


def test_intervals_of_trials_that_were_run_apart_are_those_of_one_run(spec, tmp_path):
    def read(name, **options):
        (result,) = run(spec(output=tmp_path / name, **options))
        return load_results([result_path(tmp_path / name, result)])

    apart = [*read("first", trial=0), *read("second", trial=1)]
    (whole,) = read("whole", trial="0-1")
    assert intervals(read_joined(apart, recomputable(apart))) == whole.intervals
    Path(apart[1].origin).with_suffix(".npz").unlink()
    with pytest.raises(DataError, match="no such file"):
        read_joined(apart)


def test_outcomes_come_in_the_order_of_the_split_where_galleries_differ_by_rate(spec, tmp_path, monkeypatch):
    def outcomes(backbone):
        (result,) = run(spec(backbone=backbone, output=tmp_path / backbone))
        folder = result_path(tmp_path / backbone, result).parent
        check_outcomes(folder, result)
        return read_outcomes(folder, result)

    def wanted(rows, rate):
        return attrs.evolve(rows, rates=np.full(len(rows), rate, dtype=np.float32))

    monkeypatch.setattr(ByRate, "wanted", staticmethod(wanted))
    for one, other in zip(outcomes("learner"), outcomes("learner-by-rate"), strict=True):
        assert np.any(np.diff(one.queries.rates) < 0), "rates are mixed, so the order shows"
        assert one.queries.keys.tolist() == other.queries.keys.tolist()
        assert one.queries.rates.tolist() == other.queries.rates.tolist()
        assert not np.array_equal(one.outcomes.curves(), other.outcomes.curves(), equal_nan=True)


def test_cells_without_outcomes_are_run_again_unless_nobody_wants_them(spec, tmp_path):
    told = []
    (without,) = run(spec(outcomes=False))
    assert without.outcomes is None
    assert not list(tmp_path.glob("results/**/*.npz"))
    assert "--no-outcomes" in without.command
    run(spec(outcomes=False), on_result=lambda result, earlier: told.append(earlier))
    (with_outcomes,) = run(spec(), on_result=lambda result, earlier: told.append(earlier))
    run(spec(outcomes=False), on_result=lambda result, earlier: told.append(earlier))
    assert told == [True, False, True]
    assert with_outcomes.trials == without.trials
    (path,) = tmp_path.glob("results/**/*.npz")
    path.write_bytes(path.read_bytes()[:-1])
    run(spec(), on_result=lambda result, earlier: told.append(earlier))
    assert told[-1] is False


def test_names_of_images_are_hashed_on_request(spec, tmp_path):
    (result,) = run(spec(hash_keys=True))
    folder = result_path(tmp_path / "results", result).parent
    check_outcomes(folder, result)
    assert all(len(key) == 16 for key in read_outcomes(folder, result)[0].queries.keys)


def test_a_cell_that_kept_names_is_run_again_where_hashes_are_asked_for(spec, tmp_path, caplog):
    """Else names of images would leave the machine in a folder that was made with --hash-keys."""
    (named,) = run(spec())
    named_file = result_path(tmp_path / "results", named).with_suffix(".npz")
    told = []
    for _ in range(2):
        (hashed,) = run(spec(hash_keys=True), on_result=lambda result, earlier: told.append(earlier))
    assert told == [False, True]
    assert hashed.trials == named.trials
    assert read_outcomes(named_file.parent, hashed)[0].is_hashed
    assert not read_outcomes(named_file.parent, named)[0].is_hashed
    (line,) = {record.getMessage() for record in caplog.records if "names of images" in record.getMessage()}
    assert line.startswith(f"{named_file}: an earlier run kept names of images there")

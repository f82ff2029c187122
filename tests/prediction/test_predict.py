"""A prediction against what the run then did: rows, images and bytes are equal; and nothing is left behind."""

from __future__ import annotations

import itertools

import attrs
import numpy as np
import pytest
from fakes import Hard
from safetensors import safe_open

from crbench.api.context import RunContext
from crbench.api.entry import Entry
from crbench.data.decode import StoredImage
from crbench.data.info import DatasetInfo
from crbench.harness.paces import FOLDER, Paces, decoding, network
from crbench.harness.plan import make_plan
from crbench.harness.run import open_cache, run
from crbench.prediction import predict
from crbench.prediction.figures import UNKNOWN
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.results import Extraction


class Elsewhere(Hard):
    """The same lists of other people."""

    def __attrs_post_init__(self):
        object.__setattr__(self, "info", DatasetInfo(name="elsewhere", title="eight others, for tests"))

    def read(self, key, *, root):
        return StoredImage(super().read(f"1{key}", root=root).image, f"elsewhere {key}")

    def digests(self, keys, *, root):
        return np.array([f"elsewhere {key}" for key in keys])


def _predicted(made):
    return predict(made, make_plan(made), context=RunContext())


def _steps(prediction, name):
    return [step for step in prediction.steps if step.name == name]


def _files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _feature_bytes(cache):
    """Of all tensors in the cache's files of features."""
    total = 0
    for path in cache.glob("features/*/*.safetensors"):
        with safe_open(path, framework="pt") as file:
            total += sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118
    return total


class _Counting:
    """What a run notes of its steps."""

    def __init__(self):
        self.noted = []

    def run(self, made, monkeypatch):
        def add(paces, step, of, count, seconds):
            self.noted.append((step, count))

        with monkeypatch.context() as patch:
            patch.setattr(Paces, "add", add)
            results = run(made)
        assert [result.error for result in results] == [None] * len(results)
        return self

    def count(self, step):
        return sum(count for name, count in self.noted if name == step)

    def times(self, step):
        return sum(name == step for name, _ in self.noted)


CASES = {
    "nobody learns": {"aligner": "none"},
    "some learn": {"aligner": ("ridge", "shift")},
    "one trial": {"aligner": "ridge", "trial": (1,)},
    "few people": {"aligner": "ridge", "limit": 2},
    "a gallery at the query's rate": {"aligner": ("ridge", "match-rate")},
    "a training for each trial": {"aligner": "ridge", "backbone": "learner"},
    "a bound": {"aligner": "ridge", "bound": True},
    "mirrored": {"aligner": "none", "set": {"protocol.flip": True}},
}


@pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())
def test_counts_and_bytes_are_those_of_the_run(spec, values, tmp_path, monkeypatch):
    made = spec(**values)
    prediction = _predicted(made)
    assert prediction.notes  # of what is not known
    counting = _Counting().run(made, monkeypatch)
    assert sum(step.images for step in _steps(prediction, "extract")) == counting.count("network")
    assert sum(step.images for step in _steps(prediction, "decode")) == counting.count("decode")
    assert sum(step.images for step in _steps(prediction, "train")) == counting.count("train")
    assert len(_steps(prediction, "train")) == counting.times("train")
    assert sum(step.tasks for step in _steps(prediction, "fit")) == counting.times("fit") + counting.times("restore")
    assert sum(step.written_bytes for step in prediction.steps) == _feature_bytes(tmp_path / "cache")


def test_what_is_kept_need_not_be_done(spec, monkeypatch):
    made = spec(aligner="ridge")
    run(made)
    again = _predicted(made)
    assert [step.name for step in again.steps] == ["start", "open"]
    assert again.steps[1].kept == "2 of 2 results"
    more = spec(aligner=("ridge", "shift"))
    prediction = _predicted(more)
    assert {step.of for step in _steps(prediction, "evaluate")} == {"shift"}
    for extract in _steps(prediction, "extract"):  # one for each trial, as the backbone has no weights
        assert (extract.images, extract.written_bytes) == (0, 0)
        assert extract.kept.endswith(" rows")
    counting = _Counting().run(more, monkeypatch)
    assert counting.count("network") == 0


def test_a_fit_that_is_kept_is_found(spec):
    run(spec(aligner="ridge"))
    prediction = _predicted(spec(aligner="ridge", resume=False))
    fits = {step.of: step for step in _steps(prediction, "fit")}
    assert fits["ridge"].kept == "1 of 1 fits"
    assert len(_steps(prediction, "fit")) == 4  # of two aligners, for each trial


def test_features_that_are_given_are_looked_up(spec, tmp_path, monkeypatch):
    keys = [f"{pid}_{number}" for pid in range(1, 9) for number in range(4)]
    rates = np.repeat([1.0, 2.0, 3.0, 4.0], len(keys))
    (tmp_path / "mine").mkdir()
    features = np.random.default_rng(0).normal(size=(len(rates), 8)).astype(np.float32)
    np.savez(tmp_path / "mine" / "all.npz", features=features, keys=keys * 4, rates=rates)
    made = spec(aligner="ridge", backbone=f"features:{tmp_path / 'mine'}")
    prediction = _predicted(made)
    assert not _steps(prediction, "decode")
    counting = _Counting().run(made, monkeypatch)
    assert sum(step.images for step in _steps(prediction, "look up")) == counting.count("look up") > 0


def test_a_run_without_a_cache_finds_nothing_kept(spec):
    run(spec(aligner="ridge"))
    prediction = _predicted(spec(aligner="none", cache=False, resume=False))
    assert sum(step.images for step in _steps(prediction, "extract")) > 0
    assert not prediction.unknown  # paces are known all the same


def test_training_rows_of_another_data_set_are_extracted(spec, offer, monkeypatch):
    owner = Owner(plugin="fakes", distribution="crbench-fakes", version="1")
    offer(Registered("dataset", Entry("elsewhere", Elsewhere, defaults={"backbone": "random"}), owner))
    made = spec(aligner="ridge", fit_on="elsewhere", baseline=False)
    prediction = _predicted(made)
    counting = _Counting().run(made, monkeypatch)
    assert sum(step.images for step in _steps(prediction, "extract")) == counting.count("network")
    assert sum(step.images for step in _steps(prediction, "decode")) == counting.count("decode")


def test_a_prediction_leaves_nothing_behind(spec, tmp_path):
    run(spec(aligner="ridge", backbone="learner", trial=(0,)))
    before = _files(tmp_path)
    _predicted(spec(aligner=("ridge", "shift", "match-rate"), backbone="learner"))
    assert _files(tmp_path) == before


def test_seconds_are_not_invented(spec):
    made = spec(aligner="ridge")
    prediction = _predicted(made)
    assert {step.name for step in prediction.unknown} == {"decode", "extract", "fit", "evaluate"}
    assert {step.basis for step in prediction.unknown} == {UNKNOWN}
    (note,) = prediction.notes
    unknown, steps = len(prediction.unknown), len(prediction.steps)
    assert note.startswith(f"seconds of {unknown} of {steps} steps are unknown, and known once one trial has run: ")
    assert "`--trial 0 -o pilot` in place of --dry-run" in note
    run(attrs.evolve(made, trial=(0,), output=made.output / "pilot"))
    again = _predicted(attrs.evolve(made, resume=False, cache=False))
    assert not again.unknown
    assert (again.whole, prediction.whole) == (True, False)


def test_of_one_trial_nothing_shorter_is_run_first(spec):
    (note,) = _predicted(spec(aligner="ridge", trial=(1,))).notes
    assert note.endswith("steps are unknown, and known once such a run was made")


def test_a_fit_that_was_never_restored_is_told_from_its_timing(spec):
    made = spec(aligner="ridge", trial=(0,))
    run(made)
    prediction = _predicted(attrs.evolve(made, resume=False))
    kept = {step.of: step for step in _steps(prediction, "fit") if step.kept}
    assert kept["ridge"].basis.startswith("time, run: ")
    assert kept["ridge"].seconds > 0
    run(attrs.evolve(made, resume=False))
    restored = {step.of: step for step in _steps(_predicted(attrs.evolve(made, resume=False)), "fit")}
    assert restored["ridge"].basis.startswith("run: ")


def test_rows_are_listed_once_for_each_backbone_before_anything_is_read(spec):
    prediction = _predicted(spec(aligner="ridge", backbone="learner"))
    listed = _steps(prediction, "list")
    assert len(listed) == len(_steps(prediction, "load")) == 2  # one for each trial, as the backbone has no weights
    assert all(step.seconds > 0 for step in listed)
    assert {key for step in _steps(prediction, "decode") for key in step.needs} == {step.key for step in listed}


def test_seconds_are_those_of_the_kept_paces(spec, tmp_path):
    made = spec(aligner="none", trial=(0,))
    (job,) = make_plan(made).jobs
    paces = Paces.of(open_cache(made, RunContext()), "cpu")
    paces.add("decode", decoding(job, again=False), 10, 1.0)
    extraction = _predicted(made)
    images, rows = (_steps(extraction, name)[0].images for name in ("decode", "extract"))
    paces.add("network", network(job.backbone, Extraction(batch_size=16), flip=False), 10, 2.0)
    paces.keep()
    prediction = _predicted(made)
    (decode,), (extract,) = _steps(prediction, "decode"), _steps(prediction, "extract")
    assert (decode.seconds, extract.seconds) == (pytest.approx(0.1 * images), pytest.approx(0.2 * rows))
    assert prediction.chain[0] <= prediction.seconds


def test_the_chain_leads_through_steps_that_need_each_other(spec):
    made = spec(aligner=("ridge", "match-rate"), backbone="learner")
    run(made)
    prediction = _predicted(attrs.evolve(made, resume=False, cache=False))
    seconds, chain = prediction.chain
    assert [step.name for step in chain][:2] == ["start", "open"]
    assert chain[-1].name == "evaluate"
    assert seconds <= prediction.seconds + 1e-9
    assert all(one.key in other.needs for one, other in itertools.pairwise(chain))
    assert {key for step in prediction.steps for key in step.needs} <= {step.key for step in prediction.steps}


def test_a_job_whose_data_are_missing_says_so(tmp_path, spec):
    made = spec(dataset="mlr-viper", aligner="none", backbone="random", data_root=tmp_path)
    prediction = _predicted(made)
    assert [step.name for step in prediction.steps] == ["start"]
    (note,) = prediction.notes
    assert note.startswith("not predicted: mlr-viper with random: mlr-viper: ")
    assert not prediction.whole


def test_a_backbone_whose_weights_are_missing_says_so_and_the_others_are_predicted(spec):
    made = spec(aligner="none", backbone=("resnet50", "random"))
    prediction = _predicted(made)
    assert prediction.notes[0].startswith("not predicted: tiny with resnet50/bag-of-tricks: ImageNet weights")
    assert {step.key.partition(".")[0] for step in prediction.steps} == {"start", "1"}


def test_a_run_keeps_what_its_steps_took(spec, tmp_path):
    made = spec(aligner="ridge")
    run(made)
    (file,) = (tmp_path / "cache" / FOLDER).iterdir()
    assert file.suffix == ".json"
    (job,) = make_plan(made).jobs
    samples = Paces.of(open_cache(made, RunContext()), "cpu").find("decode", decoding(job, again=False))
    keys = {key for trial in (0, 1) for rows in _roles(job, trial) for key in rows.keys.tolist()}
    assert [sample.count for sample in samples] == [len(keys)]
    assert not np.isnan(samples[0].seconds)


def _roles(job, trial):
    split = job.source.split(job.protocol, trial, root=None)
    return split.train, split.query, split.gallery

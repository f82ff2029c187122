"""What decides a number, a feature, a fit and trained weights: each part of it changes its digest."""

from __future__ import annotations

import json

import attrs
import numpy as np
import pytest
from fakes import random_backbone
from safetensors.torch import load_file

from crbench.api.context import RunContext
from crbench.harness.identity import feature_origin, fit_key, training_digest, training_key
from crbench.harness.plan import make_plan
from crbench.harness.run import run
from crbench.harness.trial import load_trials, make_reader
from crbench.protocol import EvalProtocol, ImageRules, ScoringRules, SplitRules
from crbench.protocol.declare import rule
from crbench.protocol.hashing import digest
from crbench.records import Row
from crbench.results import Extraction

CPU = RunContext(device="cpu")


def only(folder, pattern):
    """The name of the one file or folder that fits."""
    (path,) = folder.glob(pattern)
    return path.name


def test_digests_are_those_of_earlier_versions(spec, tmp_path, monkeypatch):
    """A changed digest makes all users compute anew what they have, and tells comparable results apart."""
    monkeypatch.setattr("crbench.registry.resolve.code_sha256", lambda _: 64 * "0")
    (result,) = run(spec(aligner="shift", backbone="random", trial=0, device="cpu", baseline=False))
    # the data set has whole protocols as parameters, so a new rule changes this one; no data set of ours has
    assert result.cell_id == "71495dfc5623"
    assert result.fingerprint == "9cb23230176b"
    assert result.trials[0].data == "979daa92dcb0"
    assert only(tmp_path / "cache" / "features", "*") == "a24c58059ff7"
    assert only(tmp_path / "cache" / "transforms", "*.safetensors") == "shift-6376d1cb78f1.safetensors"
    for backbone in ("learner", "learner-all"):
        run(spec(backbone=backbone, trial=0, device="cpu"))
    names = {path.name for path in (tmp_path / "weights" / "trained").glob("*.safetensors")}
    assert names == {"learner-576d47eacfad.safetensors", "learner-all-925d1ba6fd2d.safetensors"}


def job_and_trial(request):
    job = make_plan(request).jobs[0]
    return job, load_trials(job, request, CPU)[0]


def with_training_rows(trial, rows):
    """The trial with other training rows, HR ones (in the split) and all."""
    return attrs.evolve(trial, train_all=rows, split=attrs.evolve(trial.split, train=rows.take(rows.rates == 1)))


@pytest.mark.parametrize(
    ("backbone", "column", "value"),
    [
        ("learner", "keys", "another name"),
        ("learner", "pids", 999),
        ("learner", "camids", 999),
        ("learner-all", "keys", "another name"),
        ("learner-all", "pids", 999),
        ("learner-all", "rates", 2.5),
        ("learner-all", "native_rates", 2.5),
    ],
)
def test_the_training_key_covers_the_training_rows(spec, backbone, column, value):
    job, trial = job_and_trial(spec(backbone=backbone, trial=0))
    rows = trial.train_all
    content = trial.digest_of[rows.keys[0]]  # the same image under either name
    trial = attrs.evolve(trial, digest_of={**trial.digest_of, "another name": content})
    values = getattr(rows, column).tolist()
    changed = attrs.evolve(rows, **{column: [value, *values[1:]]})
    assert training_key(job, with_training_rows(trial, changed), CPU) != training_key(job, trial, CPU)


def test_the_training_key_covers_the_images_and_nothing_of_the_test_rows(spec):
    job, trial = job_and_trial(spec(backbone="learner", trial=0))
    key = training_key(job, trial, CPU)
    train, query = trial.split.train.keys[0], trial.split.query.keys[0]
    assert training_key(job, attrs.evolve(trial, digest_of={**trial.digest_of, train: "another"}), CPU) != key
    assert training_key(job, attrs.evolve(trial, digest_of={**trial.digest_of, query: "another"}), CPU) == key
    assert training_key(job, with_training_rows(trial, trial.split.train.take(slice(None, None, -1))), CPU) == key


def test_the_fit_key_covers_aligner_features_rows_persons_and_seed(spec):
    job, _ = job_and_trial(spec(aligner=("ridge", "coral"), baseline=False))
    ids, pids, origin = np.array([b"2" * 16, b"1" * 16]).astype("V16"), np.array([7, 8]), {"backbone": "any"}

    def key(aligner=0, origin=origin, ids=ids, pids=pids, seed=5):
        return fit_key(job.aligners[aligner], origin, training_digest(ids, pids), RunContext(seed=seed))

    assert key(ids=ids[::-1], pids=pids[::-1]) == key(), "the order of the rows plays no role"
    others = [key(aligner=1), key(origin={"backbone": "other"}), key(ids=ids[:1].repeat(2)), key(pids=pids[::-1])]
    assert len({key(), key(seed=6), *others}) == 6


RULES = {
    "kernel": "hamming",
    "antialias": False,
    "rounding": "ceil",
    "encoder": "jpeg:20",
    "encode_hr": True,
    "flip": True,
}
"""For each rule that a feature depends on, another value than `VISIBLE` has."""

VISIBLE = {"encoder": "jpeg:50", "train_rates": [2.5], "query_rates": [2.5]}
"""Rules by which every other one shows: 24 pixels at rate 2.5 are 9 or 10, and an HR image is encoded or not."""


@pytest.mark.parametrize("rule", RULES)
def test_features_by_another_image_rule_are_never_taken_from_the_cache(spec, tmp_path, rule):
    features = []
    for rules in (VISIBLE, {**VISIBLE, rule: RULES[rule]}):
        request = spec(trial=0, device="cpu", set={f"protocol.{name}": value for name, value in rules.items()})
        (result,) = run(request)
        assert not result.timings["extract"].cached
        (folder,) = set((tmp_path / "cache" / "features").iterdir()) - {folder for folder, _ in features}
        features.append((folder, load_file(only_path(folder))))
    (folder, before), (_, after) = features
    assert before["ids"].equal(after["ids"])
    assert not before["x"].equal(after["x"])
    assert set(json.loads((folder / "encoder.json").read_text())["degrade"]) == set(RULES)


def only_path(folder):
    return folder / only(folder, "*.safetensors")


def test_a_rule_that_changes_an_image_changes_the_origin_of_its_features(spec):
    """Whatever is a choice among the rules of a protocol, also one that is yet to come."""
    job, trial = job_and_trial(spec(trial=0))
    base = EvalProtocol.of(**VISIBLE)
    rows = [Row(key=str(trial.split.query.keys[0]), pid=1, rate=rate) for rate in (1, 2.5)]

    def images_and_origin(protocol):
        other = attrs.evolve(job, protocol=protocol)
        read = make_reader(other, trial.digest_of, None)
        return [(read(row).size, read(row).tobytes()) for row in rows], feature_origin(
            other, random_backbone(), {}, Extraction(batch_size=1)
        )

    images, origin = images_and_origin(base)
    shown = set()
    for field in [field for group in base.groups.values() for field in attrs.fields(type(group))]:
        value = base.flat()[field.name]
        options = (False, True) if isinstance(value, bool) else field.metadata["values"].split(", ")
        for option in set(options) - {value}:
            try:
                other = base.changed(**{field.name: option})
            except (ValueError, TypeError):
                continue  # values in words, of a rule that is no choice
            other_images, other_origin = images_and_origin(other)
            if other_images != images:
                shown.add(field.name)
                assert other_origin != origin, field.name
    assert shown == {"kernel", "antialias", "rounding", "encoder", "encode_hr"}


@attrs.frozen(kw_only=True)
class MoreImages(ImageRules):
    """A rule that is yet to come, and one for test images."""

    blur: str = rule("blr", "none", "blur of LR images", values=("none", "gauss"))
    crop: str = rule("crp", "none", "crop of test images", values=("none", "five"), test_only=True)


@pytest.mark.parametrize("backbone", ["learner", "learner-all"])
def test_the_keys_hold_the_group_of_image_rules_whole(spec, backbone):
    """No list of names lies between the group and the keys, which could forget one."""
    job, trial = job_and_trial(spec(trial=0, backbone=backbone))

    def origin_and_key(**groups):
        other = attrs.evolve(job, protocol=attrs.evolve(job.protocol, **groups))
        origin = feature_origin(other, random_backbone(), {}, Extraction(batch_size=1))
        return origin, training_key(other, trial, CPU)

    old, key = origin_and_key()
    new, new_key = origin_and_key(images=MoreImages())
    assert old["degrade"] == ImageRules().asked()
    assert new["degrade"] == MoreImages().asked() == old["degrade"] | {"blur": "none", "crop": "none"}
    blurred, blurred_key = origin_and_key(images=MoreImages(blur="gauss"))
    cropped, cropped_key = origin_and_key(images=MoreImages(crop="five"))
    assert len({digest(origin) for origin in (old, new, blurred, cropped)}) == 4
    assert (key != new_key, new_key != blurred_key) == ((backbone == "learner-all"),) * 2, "only LR images are blurred"
    assert cropped_key == new_key, "only test images are cropped"
    assert origin_and_key(split=SplitRules(distractors="keep"), scoring=ScoringRules(shot="multi")) == (old, key)

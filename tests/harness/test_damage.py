"""Flipped bits in what a run keeps: the entry is made anew with one line, and no score changes."""

from __future__ import annotations

import logging
import shutil

import pytest
from fakes import Learner
from safetensors import safe_open

from crbench.api.context import RunContext
from crbench.errors import DataError
from crbench.harness.run import run
from crbench.harness.train import train
from crbench.store.tensors import save_state

LOGGED = RunContext(logger=logging.getLogger("run"))
REQUEST = {"aligner": "ridge", "trial": 0, "device": "cpu", "baseline": False, "resume": False}


def flip(path):
    """Change the last byte, which is one of a tensor."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40
    path.write_bytes(content)


def only(folder, pattern):
    (path,) = folder.glob(pattern)
    return path


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("cache/features/*/*.safetensors", "features will be computed anew"),
        ("cache/transforms/*.safetensors", "ridge is fitted anew"),
        ("weights/trained/*.safetensors", "they are deleted and trained anew"),
    ],
)
def test_a_flipped_bit_changes_no_score_and_is_said_once(spec, tmp_path, caplog, pattern, said):
    request = spec(**REQUEST, backbone="learner")
    before = run(request)
    flip(only(tmp_path, pattern))
    after = run(request, context=LOGGED)
    assert [result.trials for result in after] == [result.trials for result in before]
    assert len([message for message in caplog.messages if said in message and "is damaged" in message]) == 1
    assert len(Learner.trainings) == (2 if "trained" in pattern else 1)
    caplog.clear()
    assert [result.trials for result in run(request, context=LOGGED)] == [result.trials for result in before]
    assert not any("damaged" in message for message in caplog.messages)


def test_a_fit_of_other_features_is_not_taken(spec, tmp_path, caplog):
    """As one that was fitted while a bit of the features was flipped."""
    request = spec(**REQUEST)
    (before,) = run(request)
    path = only(tmp_path, "cache/transforms/*.safetensors")
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) * -0.5 for name in file.keys()}  # noqa: SIM118  not a mapping
    save_state(path, state, {"key": path.stem.partition("-")[2], "fit_seconds": 1.0, "features": "0" * 64})
    (after,) = run(request, context=LOGGED)
    assert after.trials == before.trials
    assert not after.timings["fit"].cached
    assert [message for message in caplog.messages if "of other features" in message] == [
        f"ridge is fitted anew: {path} is of other features, or of another fit"
    ]
    assert run(request)[0].timings["fit"].cached


def swap(folder, pattern):
    """Let two files take each other's place, as by a copy into the wrong folder."""
    first, second = sorted(folder.glob(pattern))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


@pytest.mark.parametrize(
    ("pattern", "other", "said"),
    [
        (
            "cache/features/*/*.safetensors",
            {"set": {"backbone.seed": 1}},
            "its features come from another backbone, or were made by other rules): ",
        ),
        ("cache/transforms/*.safetensors", {"set": {"aligner.alpha": 100.0}}, "of other features, or of another fit"),
    ],
)
def test_what_was_copied_into_the_place_of_another_is_made_anew(spec, tmp_path, caplog, pattern, other, said):
    requests = spec(**REQUEST), spec(**REQUEST, **other)
    before = [run(request)[0].trials for request in requests]
    assert before[0] != before[1]
    swap(tmp_path, pattern)
    assert [run(request, context=LOGGED)[0].trials for request in requests] == before
    assert sum(said in message for message in caplog.messages) == 2


def test_weights_of_another_training_are_refused(spec, tmp_path):
    requests = [spec(**REQUEST, backbone="learner", seed=seed) for seed in (0, 1)]
    for request in requests:
        run(request)
    swap(tmp_path, "weights/trained/*.safetensors")
    for request in requests:
        with pytest.raises(DataError, match=r"holds the weights of training learner-\w{12}, not those of its name"):
            run(request)


def test_damaged_weights_that_are_given_are_refused(spec, tmp_path):
    request = spec(backbone="learner", trial=0, output=tmp_path / "log")
    weights = tmp_path / "mine.safetensors"
    shutil.copy(train(request).weights, weights)
    flip(weights)
    with pytest.raises(DataError, match=r"mine\.safetensors is damaged .its content is not what was written"):
        run(spec(backbone="learner", trial=0, weights=weights))


def test_train_notices_damaged_weights_too(spec, tmp_path, caplog):
    request = spec(backbone="learner", trial=0, output=tmp_path / "log")
    made = train(request)
    flip(made.weights)
    again = train(request, context=LOGGED)
    assert again.seconds is not None
    assert again.scores == made.scores
    assert any("trained weights" in message and "is damaged" in message for message in caplog.messages)

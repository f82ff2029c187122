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
    save_state(path, state, {"fit_seconds": 1.0, "features": "0" * 64})
    (after,) = run(request, context=LOGGED)
    assert after.trials == before.trials
    assert not after.timings["fit"].cached
    assert [message for message in caplog.messages if "of other features" in message] == [
        f"ridge is fitted anew: {path} is of other features"
    ]
    assert run(request)[0].timings["fit"].cached


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

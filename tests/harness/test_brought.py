"""Weights that a data set brings are taken where they stand for the training that is due, and nowhere else."""

from __future__ import annotations

import logging
import shutil

import pytest
from fakes import Hard, Learner

from crbench.api.context import RunContext
from crbench.api.entry import Entry
from crbench.errors import DataError, PluginError
from crbench.harness.run import run
from crbench.harness.train import train
from crbench.protocol.hashing import sha256_file
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner

LOGGED = RunContext(logger=logging.getLogger("run"))
OWNER = Owner(plugin="shop", distribution="crbench-shop", version="1")


@pytest.fixture
def brought(tmp_path, spec, offer):
    """Weights that ``tiny`` brings of ``learner``, trained on trial 0 with seed 0; nothing was trained here."""
    made = train(spec(backbone="learner", trial=0, output=tmp_path / "log")).weights
    (tmp_path / "shop").mkdir()
    path = tmp_path / "shop" / "learner.safetensors"
    for suffix in (".safetensors", ".json"):
        shutil.move(made.with_suffix(suffix), path.with_suffix(suffix))
    Learner.trainings.clear()

    class Shop(Hard):
        def weights_of(self, backbone):
            return path if backbone.startswith("learner") else None

    offer(Registered("dataset", Entry("tiny", Shop, defaults={"backbone": "learner"}), OWNER))
    return path


def test_they_are_taken_without_a_training_said_and_recorded(brought, spec, caplog):
    with caplog.at_level(logging.INFO, logger="run"):
        (result,) = run(spec(trial=0), context=LOGGED)
    assert "weights learner.safetensors (tiny brings them)" in caplog.messages
    assert Learner.trainings == []
    (facts,) = result.weights
    assert (facts.sha256, facts.origin, facts.known, facts.seed) == (sha256_file(brought), "file", True, 0)
    assert result.warnings == ()
    assert "--weights" not in result.command, "another machine has them elsewhere"


OTHERS = [{"seed": 1}, {"limit": 2}, {"trial": 1}, {"trial": (0, 1)}, {"backbone": "learner-all"}]


@pytest.mark.parametrize("changes", OTHERS, ids=str)
def test_any_other_training_is_still_due(changes, brought, spec):
    (result,) = run(spec(**{"trial": 0, **changes}))
    assert len(Learner.trainings) == len(result.trials)
    assert result.method.backbone.trained


def test_what_was_trained_here_goes_before_them(brought, spec, tmp_path, caplog):
    own = train(spec(backbone="learner", trial=0, output=tmp_path / "log")).weights
    with caplog.at_level(logging.INFO, logger="run"):
        (result,) = run(spec(trial=0), context=LOGGED)
    assert "weights that were trained here, not those that tiny brings" in caplog.messages
    assert result.method.backbone.weights_sha256 == sha256_file(own)
    assert result.method.backbone.trained
    assert len(Learner.trainings) == 1
    given = run(spec(trial=0, weights=brought))[0]
    assert given.method.backbone.weights_sha256 == sha256_file(brought)
    assert given.cell_id != result.cell_id


def test_a_training_does_not_take_them(brought, spec, tmp_path):
    done = train(spec(backbone="learner", trial=0, output=tmp_path / "log"))
    assert done.seconds is not None
    assert len(Learner.trainings) == 1


def test_they_are_refused_where_they_are_not_what_their_card_says(brought, spec):
    other = brought.with_suffix(".json")
    other.write_text(other.read_text().replace('"pids": [', '"pids": [999, '))
    with pytest.raises(DataError, match="it was edited, or belongs to other weights"):
        run(spec(trial=0))


def test_a_data_set_that_gives_no_path_is_named(brought, spec, offer):
    class Odd(Hard):
        def weights_of(self, backbone):
            return str(brought)

    offer(Registered("dataset", Entry("tiny", Odd, defaults={"backbone": "learner"}), OWNER))
    with pytest.raises(PluginError, match=r"crbench-shop 1 .* failed at weights_of: it gave a str; expected a path"):
        run(spec(trial=0))

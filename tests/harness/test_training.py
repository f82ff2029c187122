"""Training in the harness: what the weights' key covers, and who may be trained."""

from __future__ import annotations

import attrs
import pytest
from fakes import Learner, learner

from crbench.api.entry import Entry
from crbench.errors import ConfigError, DataError
from crbench.harness.run import run
from crbench.harness.train import train
from crbench.harness.weights import checkpoint_path
from crbench.registry import discovery
from crbench.registry.discovery import Registered, Registry
from crbench.registry.guard import Owner
from crbench.store.lease import leased


@pytest.fixture
def starts(tmp_path, monkeypatch, fakes):
    """A backbone ``starts`` that is trained from a file."""
    path = tmp_path / "imagenet.pth"

    class Starts:
        def __new__(cls, *, weights=None, device="cpu"):
            return learner(weights=weights)

        @staticmethod
        def starting_file():
            if not path.exists():
                raise DataError("imagenet.pth is missing")
            return path

    real = discovery.discover()
    owner = Owner(plugin="fakes", distribution="crbench-fakes", version="1")
    more = (Registered("backbone", Entry("starts", Starts), owner),)
    monkeypatch.setattr(discovery, "discover", lambda **_: Registry(entries=real.entries + more, broken=real.broken))
    discovery.installed.cache_clear()
    return path


def test_the_content_of_the_file_that_training_starts_from_decides_the_weights(starts, spec):
    starts.write_bytes(b"one")
    request = spec(backbone="starts", trial=0)
    run(request)
    run(attrs.evolve(request, resume=False))
    assert len(Learner.trainings) == 1
    starts.write_bytes(b"two!")
    run(attrs.evolve(request, resume=False))
    assert len(Learner.trainings) == 2
    starts.unlink()
    with pytest.raises(DataError, match=r"imagenet\.pth is missing"):
        run(attrs.evolve(request, resume=False))


def test_a_run_finds_what_train_made(spec, tmp_path):
    request = spec(backbone="learner", trial=0)
    made = train(attrs.evolve(request, output=tmp_path / "log"))
    (result,) = run(request)
    assert len(Learner.trainings) == 1
    assert result.trials[0].cmc[0] == made.scores["R1"]


@pytest.mark.parametrize("again", [run, train])
def test_the_state_of_a_training_that_was_killed_at_its_end_is_deleted(spec, tmp_path, again):
    request = spec(backbone="learner", trial=0, output=tmp_path / "log")
    weights = train(request).weights
    state = checkpoint_path(weights)
    state.parent.mkdir()
    state.touch()
    with leased(weights.with_suffix(".lease")):
        run(request)
        assert state.exists(), "another process trains anew"
    again(attrs.evolve(request, resume=again is train))
    assert not state.parent.exists()
    assert len(Learner.trainings) == 1


def test_a_backbone_without_training_is_refused(spec):
    with pytest.raises(ConfigError, match="backbone 'random' cannot be trained"):
        train(spec(backbone="random", trial=0))


def test_one_cell_only(spec):
    with pytest.raises(ConfigError, match="give one data set, one backbone and one trial"):
        train(spec(backbone=("learner", "random"), trial=0))
    with pytest.raises(ConfigError, match="one trial"):
        train(spec(backbone="learner"))

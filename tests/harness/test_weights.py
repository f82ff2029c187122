"""Which weights a run takes: given ones, those that were trained here, released ones, or new ones; and from which a
training starts."""

from __future__ import annotations

import json
import logging
import shlex

import attrs
import pytest
import torch
from fakes import Learner, learner
from safetensors.torch import load_file, save_file

import crbench
from crbench.api.context import RunContext
from crbench.api.entry import Entry, Released
from crbench.errors import ComparisonError, ConfigError, DataError, MissingWeightsError
from crbench.harness.run import run
from crbench.harness.train import train
from crbench.protocol.hashing import sha256_file
from crbench.registry import discovery
from crbench.registry.discovery import Registered, Registry
from crbench.registry.guard import Owner

LOGGED = RunContext(logger=logging.getLogger("run"))


class NeedsWeights:
    """A backbone that works with weights only."""

    def __new__(cls, *, weights=None, device="cpu"):
        if weights is None:
            raise MissingWeightsError("needs weights")
        return learner(weights=weights)


class NeedsStart(NeedsWeights):
    """One whose training starts from a file that is not there."""

    @staticmethod
    def starting_file():
        raise MissingWeightsError("imagenet.pth is missing")


@pytest.fixture
def folder(tmp_path, monkeypatch, spec):
    """The weights folder, and backbones with released weights; ``zoo`` can be trained without them."""
    owner = Owner(plugin="zoo", distribution="crbench-zoo", version="1")
    released = {"": Released(("zoo_*.safetensors",), "https://zoo.example")}
    targets = {"zoo": learner, "needs-weights": NeedsWeights, "needs-start": NeedsStart}
    more = tuple(Registered("backbone", Entry(name, it, released=released), owner) for name, it in targets.items())
    known = discovery.discover()
    monkeypatch.setattr(discovery, "discover", lambda **_: Registry(entries=known.entries + more, broken=known.broken))
    discovery.installed.cache_clear()
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def save(path, seed=0):
    save_file({"matrix": torch.randn(48, 8, generator=torch.Generator().manual_seed(seed))}, path)
    return path


@pytest.mark.parametrize("backbone", ["zoo", "needs-weights", "needs-start"])
def test_released_weights_in_the_folder_are_used_said_and_recorded(backbone, folder, spec, caplog):
    path = save(folder / "zoo_market.safetensors")
    with caplog.at_level(logging.INFO, logger="run"):
        (result,) = run(spec(backbone=backbone), context=LOGGED)
    said = [message for message in caplog.messages if message.startswith("weights")]
    assert said == [f"weights {path} (released ones for {backbone})"]
    assert Learner.trainings == []
    assert result.method.backbone.weights_sha256 == sha256_file(path)
    assert not result.method.backbone.trained
    assert result.warnings == (
        "the training data of zoo_market.safetensors are not known, so leakage cannot be ruled out",
    )
    words = shlex.split(result.command)
    assert words[words.index("--weights") + 1] == path.name, "the weights folder differs from machine to machine"
    assert run(spec(backbone=backbone, weights=path.name))[0].created == result.created
    assert run(spec(backbone=backbone, weights=path))[0].created == result.created, "the same cell, named differently"


def test_load_backbone_takes_released_weights_too(folder):
    path = save(folder / "zoo_market.safetensors")
    assert crbench.load_backbone("needs-weights").matrix.shape == (48, 8)
    assert crbench.load_backbone("needs-weights", weights_sha256=sha256_file(path)[:8])
    with pytest.raises(DataError, match="its SHA-256 is"):
        crbench.load_backbone("needs-weights", weights_sha256="0" * 64)


@pytest.mark.parametrize(
    ("backbone", "reason"), [("needs-weights", "needs"), ("needs-start", "imagenet.pth is missing")]
)
def test_missing_weights_name_file_folder_and_page(backbone, reason, folder, spec):
    for do in (lambda: run(spec(backbone=backbone, trial=0)), lambda: crbench.load_backbone("needs-weights")):
        with pytest.raises(DataError) as error:
            do()
        assert f"; or put the released zoo_*.safetensors into {folder} (from https://zoo.example)" in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=reason):
        run(spec(backbone=backbone, trial=0))


def test_several_released_weights_are_not_guessed_between(folder, spec):
    save(folder / "zoo_duke.safetensors")
    path = save(folder / "zoo_market.safetensors")
    with pytest.raises(
        DataError, match=r"several released .*: zoo_duke\.safetensors, zoo_market\.safetensors; say which"
    ):
        run(spec(backbone="zoo", trial=0))
    (result,) = run(spec(backbone="zoo", trial=0, weights="zoo_market.safetensors"))
    assert result.method.backbone.weights_sha256 == sha256_file(path)


def test_weights_that_were_trained_here_go_before_released_ones(folder, spec):
    before = run(spec(backbone="zoo", trial=0))[0]
    path = save(folder / "zoo_market.safetensors", seed=7)
    assert run(spec(backbone="zoo", trial=0))[0].created == before.created
    (released,) = run(spec(backbone="zoo", trial=0, weights_sha256=sha256_file(path)[:8]))
    assert before.method.backbone.trained
    assert released.method.backbone.weights_sha256 == sha256_file(path)
    assert released.cell_id != before.cell_id


def test_a_sha256_must_fit_and_have_a_file(folder, spec):
    path = save(folder / "w.safetensors")
    with pytest.raises(DataError, match="its SHA-256 is"):
        run(spec(backbone="learner", trial=0, weights=path, weights_sha256="0" * 8))
    with pytest.raises(ConfigError, match="backbone 'learner' uses no weights file; give --weights"):
        run(spec(backbone="learner", trial=0, weights_sha256="0" * 8))
    with pytest.raises(ConfigError, match="give the weights to start from with --weights"):
        train(spec(backbone="learner", trial=0, weights_sha256="0" * 8))
    (result,) = run(spec(backbone="learner", trial=0, weights=path, weights_sha256=sha256_file(path)))
    assert f"--weights-sha256 {sha256_file(path)}" in result.command


def card(path):
    return json.loads(path.with_suffix(".json").read_text())


def test_a_training_from_given_weights_has_its_own_name_and_a_card_of_both(folder, spec, tmp_path):
    request = spec(backbone="learner", trial=0, output=tmp_path / "log")
    plain = train(request).weights
    tuned = train(attrs.evolve(request, weights=plain)).weights
    assert tuned != plain
    assert len(Learner.trainings) == 2
    assert card(tuned)["start"] == {"file": plain.name, "sha256": sha256_file(plain)}
    assert card(tuned)["pids"] == card(plain)["pids"]
    assert train(attrs.evolve(request, weights=plain)).seconds is None, "found again"
    assert run(spec(backbone="learner", trial=0, weights=tuned))[0].warnings == ()


def test_what_given_weights_were_trained_on_is_not_forgotten(folder, spec, tmp_path):
    request = spec(backbone="learner", trial=0, output=tmp_path / "log")
    seen = train(attrs.evolve(request, trial=1)).weights
    with pytest.raises(ComparisonError, match="were trained on"):
        train(attrs.evolve(request, weights=seen))
    facts = card(seen)
    save_file(load_file(seen), seen)  # weights of others, which name no card
    elsewhere = {**facts, "dataset": "elsewhere", "pids": [10**6], "pictures": ["another image"]}
    seen.with_suffix(".json").write_text(json.dumps(elsewhere))
    tuned = train(attrs.evolve(request, weights=seen)).weights
    assert "another image" in card(tuned)["pictures"]
    assert 10**6 not in card(tuned)["pids"], "identities are those of one data set"


def test_a_start_of_unknown_origin_is_said_then_and_later(folder, spec, tmp_path, caplog):
    start = save(folder / "w.safetensors")
    request = spec(backbone="learner", trial=0, weights=start, output=tmp_path / "log")
    tuned = train(request, context=LOGGED).weights
    assert "the training data of w.safetensors are not known, so leakage cannot be ruled out" in caplog.messages
    twice = train(attrs.evolve(request, weights=tuned), context=LOGGED).weights
    for weights in (tuned, twice):
        (result,) = run(spec(backbone="learner", trial=0, weights=weights, resume=False))
        assert result.warnings == (
            f"the training data of w.safetensors, which {weights.name} started from, are not known",
        )

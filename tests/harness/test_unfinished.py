"""A fit that was stopped keeps its state in the cache, and continues in the next run."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest
import torch

from crbench.api.entry import Entry
from crbench.cli import invoke
from crbench.harness import unfinished
from crbench.harness.run import run
from crbench.harness.stale import stale_entries
from crbench.records import TestFeatures
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.store.upkeep import list_cache, stored_files

STEPS = 5
OWNER = Owner(plugin="strangers", distribution="strangers", version="1")


@attrs.frozen(eq=False)
class Shift:
    bias: torch.Tensor

    def __call__(self, feats: TestFeatures) -> TestFeatures:
        return attrs.evolve(feats, x=feats.x + self.bias)

    def state(self) -> dict[str, torch.Tensor]:
        return {"bias": self.bias}


@pytest.fixture
def patient(offer, monkeypatch):
    """Offers an aligner that takes `STEPS` steps and saves each; `stop` says after which its process is stopped."""
    monkeypatch.setattr(unfinished, "EVERY_S", 0.0)
    account: dict[str, Any] = {"stop": None, "steps": []}

    class Patient:
        def fit(self, train: Any, *, run: Any) -> Shift:
            saved = run.session.fit.load()
            bias, done = torch.zeros(train.source.x.shape[1]), 0
            if saved is not None:
                bias, done = saved[0]["bias"], saved[1]["done"]
            for step in range(done, STEPS):
                bias = bias + step
                account["steps"].append(step)
                if run.session.fit.due():
                    run.session.fit.save({"bias": bias}, {"done": step + 1})
                if step == account["stop"]:
                    raise KeyboardInterrupt
            return Shift(bias)

        def restore(self, state: Any) -> Shift:
            return Shift(state["bias"])

    offer(Registered("aligner", Entry("patient", Patient, code=("fakes",)), OWNER))
    return account


def kept(spec):
    return sorted((spec.cache_dir / "fits").glob("*"))


@pytest.fixture
def stopped(spec, patient):
    """A run that was stopped in its fit, to be run again, and the file that it left."""
    asked = spec(aligner="patient", trial=0, baseline=False)
    patient["stop"] = 2
    with pytest.raises(KeyboardInterrupt):
        run(asked)
    patient["stop"] = None
    (path,) = kept(asked)
    return asked, path


def test_it_continues_and_leaves_nothing(stopped, patient, caplog):
    asked, path = stopped
    assert path in stored_files(asked.cache_dir)
    assert [entry.what for entry in list_cache(asked.cache_dir) if entry.path == path] == ["patient"]
    assert invoke(["cache", "verify", "--cache-dir", str(asked.cache_dir)]) == 0
    assert path not in stale_entries(asked.cache_dir)
    with caplog.at_level(logging.INFO):
        (result,) = run(asked)
    assert result.status == "ok"
    assert patient["steps"] == list(range(STEPS))
    assert f"the fit continues from {path}" in caplog.text
    assert kept(asked) == []


def test_a_damaged_state_is_said_and_left(stopped, patient, caplog):
    asked, path = stopped
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    (result,) = run(asked)
    assert result.status == "ok"
    assert patient["steps"] == [0, 1, 2, *range(STEPS)]
    assert "is damaged" in caplog.text
    assert "the fit starts anew" in caplog.text


@pytest.mark.parametrize("fact", ["features", "key"])
def test_the_state_of_another_fit_is_not_taken(stopped, patient, fact):
    asked, path = stopped
    found = unfinished.load_state(path, "cpu")
    unfinished.save_state(path, found[0], {**found[1], fact: "others"})
    run(asked)
    assert patient["steps"] == [0, 1, 2, *range(STEPS)]


def test_short_fits_save_nothing(spec, patient, monkeypatch):
    monkeypatch.setattr(unfinished, "EVERY_S", 1e9)
    asked = spec(aligner="patient", trial=0, baseline=False)
    run(asked)
    assert not (asked.cache_dir / "fits").exists()


def test_without_a_cache_a_fit_keeps_nothing(patient):
    state = unfinished.UnfinishedFit(None, "", None, {}, "", unfinished.RunContext())
    state.save({"bias": torch.zeros(1)}, {})
    assert (state.load(), state.due()) == (None, False)

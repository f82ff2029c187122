"""A method whose code changes while its version stays: everything that it made is made anew."""

from __future__ import annotations

import importlib
import sys
import types

import pytest

from crbench.api.entry import Entry
from crbench.api.metric import Metric
from crbench.harness.run import run
from crbench.leaderboard.build import build
from crbench.registry import code, discovery
from crbench.registry.discovery import Registered, Registry
from crbench.registry.guard import Owner

SOURCE = """
import torch
from fakes import Hard, Learner, learner
from crbench.testing import RandomBackbone
import attrs

class Scale:
    def fit(self, train, *, run):
        return Scaled(torch.ones(1) * FACTOR)
    def restore(self, state):
        return Scaled(state["w"])

class Scaled:
    def __init__(self, w):
        self.w = w
    def __call__(self, feats):
        return attrs.evolve(feats, x=feats.x.roll(int(self.w), dims=1) * (torch.arange(feats.x.shape[1]) > self.w))
    def state(self):
        return {"w": self.w}

class Blind(RandomBackbone):
    def extract(self, batch):
        return super().extract(attrs.evolve(batch, inputs=batch.inputs.clone().mul(FACTOR % 2)))

def blind(*, weights=None, device="cpu"):
    return Blind(seed=FACTOR)

class Learns(Learner):
    def train(self, rows, read, *, run):
        return super().train(rows, read, run=attrs.evolve(run, seed=FACTOR))

def learns(*, weights=None, device="cpu"):
    made = learner(weights=weights)
    return Learns(made.matrix)

class Pictures(Hard):
    def read(self, key, *, root):
        stored = super().read(key, root=root)
        return attrs.evolve(stored, image=stored.image.point(lambda value: value * FACTOR % 256))

def distance(query, gallery):
    return torch.cdist(query.x, gallery.x) * (-1) ** FACTOR

def score(curves):
    return curves[:, 0] / FACTOR
"""

OFFERED = [
    ("aligner", Entry("scale", "changing_method:Scale")),
    ("backbone", Entry("blind", "changing_method:blind")),
    ("backbone", Entry("learns", "changing_method:learns")),
    ("dataset", Entry("pictures", "changing_method:Pictures", defaults={"backbone": "random"})),
    ("metric", Metric("own-score", "changing_method:score", "a score", needs="cmc", default=False)),
    ("distance", Entry("own", lambda: sys.modules["changing_method"].distance, code=("changing_method",))),
]


@pytest.fixture
def write(tmp_path, monkeypatch, fakes):
    """Write the plugin's module with a factor, as if a new process followed; its version stays 1."""
    owner = Owner(plugin="changing", distribution="crbench-changing", version="1")
    real = discovery.installed()
    entries = real.entries + tuple(Registered(kind, entry, owner) for kind, entry in OFFERED)
    monkeypatch.setattr(discovery, "discover", lambda **_: Registry(entries=entries, broken=real.broken))
    discovery.installed.cache_clear()
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def change(factor, *, readable=True):
        source = f"FACTOR = {factor}\n{SOURCE}"
        path = tmp_path / "site" / "changing_method.py"
        path.unlink(missing_ok=True)
        module = types.ModuleType("changing_method")
        if readable:
            path.write_text(source)
            importlib.invalidate_caches()
            module.__spec__ = (
                importlib.util.find_spec("changing_method")
                if "changing_method" not in sys.modules
                else (importlib.util.spec_from_file_location("changing_method", path))
            )
        exec(compile(source, "<changing>", "exec"), vars(module))
        monkeypatch.setitem(sys.modules, "changing_method", module)
        code._read.cache_clear()

    yield change
    code._read.cache_clear()


CASES = {
    "aligner": {"aligner": "scale", "baseline": False},
    "backbone": {"backbone": "blind"},
    "training": {"backbone": "learns"},
    "dataset": {"dataset": "pictures"},
    "distance": {"set": {"protocol.distance": "own"}},
    "metric": {"metric": ("own-score",)},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("resume", [True, False])
def test_a_changed_method_of_unchanged_version_gives_its_own_scores(spec, write, tmp_path, case, resume):
    request = {"trial": 0, "device": "cpu", **CASES[case]}
    write(1)
    (first,) = run(spec(**request))
    write(2)
    (changed,) = run(spec(**request, resume=resume))
    (fresh,) = run(spec(**request, cache=False, output=tmp_path / "fresh"))
    assert changed.trials == fresh.trials != first.trials
    write(1)
    told = []
    (back,) = run(spec(**request), on_result=lambda result, earlier: told.append(earlier))
    assert back == first, "what was made by this code is there still"
    assert told == [True]


@pytest.mark.parametrize("case", ["dataset", "distance"])
def test_trials_by_changed_code_stand_in_rows_of_their_own(spec, write, case):
    request = {"device": "cpu", **CASES[case]}
    write(1)
    (first,) = run(spec(**request, trial=0))
    write(2)
    (second,) = run(spec(**request, trial=1))
    assert first.code[case] != second.code[case]
    assert [len(block.rows) for block in build([first, second]).blocks] == [1, 1]


@pytest.mark.parametrize("case", CASES)
def test_of_code_that_cannot_be_read_nothing_is_reused(spec, write, monkeypatch, caplog, case):
    request = {"trial": 0, "device": "cpu", **CASES[case]}
    write(1, readable=False)
    (first,) = run(spec(**request))
    monkeypatch.setattr("crbench.harness.identity._PROCESS", "another process")
    write(2, readable=False)
    told = []
    (changed,) = run(spec(**request), on_result=lambda result, earlier: told.append(earlier))
    assert told == [False]
    said = [message for message in caplog.messages if "the source files of" in message]
    assert len(said) == 2, "one line for each run"
    assert said[0].startswith("crbench-changing 1 (plugin 'changing'): ")
    assert changed.trials != first.trials


def test_code_that_changes_while_it_runs_is_neither_the_old_nor_the_new(spec, write, tmp_path, caplog):
    """A notebook may reload a module, or not: nothing tells which code the process has."""
    request = {"trial": 0, "device": "cpu", **CASES["aligner"]}
    write(1)
    run(spec(**request))
    path = tmp_path / "site" / "changing_method.py"
    path.write_text(path.read_text().replace("FACTOR = 1", "FACTOR = 22"))
    told = []
    run(spec(**request), on_result=lambda result, earlier: told.append(earlier))
    assert told == [False]
    assert sum("the source files of" in message for message in caplog.messages) == 1

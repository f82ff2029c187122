"""A registry with fakes beside the installed plugins, and folders of the test's own."""

from __future__ import annotations

import pytest
from crbench_baselines.mean_shift import MeanShift
from fakes import Failing, Hard, Learner, Moody, learner, learner_all, learner_by_rate, nan_backbone, random_backbone

from crbench.api.entry import Entry
from crbench.api.metric import Metric
from crbench.config.run_spec import RunSpec
from crbench.registry import discovery
from crbench.registry.discovery import Registered, Registry
from crbench.registry.guard import Owner


@pytest.fixture
def fakes(monkeypatch):
    """The data set ``tiny`` and backbones and aligners that are quick or that fail."""
    owner = Owner(plugin="fakes", distribution="crbench-fakes", version="1")
    offered = [
        ("dataset", Entry("tiny", Hard, defaults={"backbone": "random"})),
        ("backbone", Entry("random", random_backbone)),
        ("backbone", Entry("learner", learner)),
        ("backbone", Entry("learner-all", learner_all, train_rows="all", test_parameters=("scale",))),
        ("backbone", Entry("learner-by-rate", learner_by_rate)),
        ("backbone", Entry("nan", nan_backbone)),
        ("aligner", Entry("failing", Failing)),
        ("aligner", Entry("shift", MeanShift)),
        ("metric", Metric("moody-score", Moody(), needs="cmc", unit="number", higher_is_better=False, default=False)),
        ("aligner", Entry("partnered", MeanShift, defaults={"backbone": "learner"})),
    ]
    entries = tuple(Registered(kind, entry, owner) for kind, entry in offered)
    real = discovery.discover()
    claimed = {(item.kind, item.entry.name) for item in entries}
    others = tuple(item for item in real.entries if (item.kind, item.entry.name) not in claimed)
    monkeypatch.setattr(discovery, "discover", lambda **_: Registry(entries=others + entries, broken=real.broken))
    discovery.installed.cache_clear()
    Learner.trainings.clear()
    yield Learner
    discovery.installed.cache_clear()


@pytest.fixture
def offer(monkeypatch, fakes):
    """Adds what a stranger's plugin offers; an entry of the same kind and name gives way."""

    def add(*more):
        known = discovery.discover()
        claimed = {(item.kind, item.entry.name) for item in more}
        others = tuple(item for item in known.entries if (item.kind, item.entry.name) not in claimed)
        monkeypatch.setattr(discovery, "discover", lambda **_: Registry(entries=others + more, broken=known.broken))
        discovery.installed.cache_clear()

    return add


@pytest.fixture
def spec(tmp_path, monkeypatch, fakes):
    """Make a spec on ``tiny`` whose folders are the test's own."""
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path / "weights"))

    def make(**values):
        return RunSpec(
            **{
                "dataset": "tiny",
                "output": tmp_path / "results",
                "cache_dir": tmp_path / "cache",
                "batch_size": 16,
                **values,
            }
        )

    return make

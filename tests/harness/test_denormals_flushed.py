"""A run flushes denormal numbers in all threads while networks and aligners compute, and nowhere else."""

from __future__ import annotations

from typing import Any, ClassVar

from denormals import share_kept, two_threads

from crbench.api.entry import Entry
from crbench.api.metric import Metric
from crbench.harness.run import run
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.testing import RandomBackbone

OWNER = Owner(plugin="strangers", distribution="strangers", version="1")


class Watching:
    """An aligner that changes nothing, and notes at each stage which share of denormal numbers torch keeps."""

    kept: ClassVar[dict[str, list[float]]] = {}

    def fit(self, train: Any, *, run: Any) -> Any:
        return note("fit") or (lambda feats: note("transform") or feats)


class WatchingBackbone(RandomBackbone):
    def extract(self, batch: Any) -> Any:
        return note("extract") or super().extract(batch)


def watching_backbone(*, weights: Any = None, device: str = "cpu") -> WatchingBackbone:
    return WatchingBackbone()


def note(stage: str) -> None:
    Watching.kept.setdefault(stage, []).append(share_kept())


def scored(cmc: Any) -> Any:
    note("evaluate")
    return cmc.mean(axis=1)


def test_extraction_fits_and_transforms_flush_and_the_evaluation_does_not(spec, offer, monkeypatch):

    offer(
        Registered("aligner", Entry("watching", Watching), OWNER),
        Registered("backbone", Entry("watching", watching_backbone), OWNER),
        Registered("metric", Metric("watching-score", scored, needs="cmc", unit="fraction", default=False), OWNER),
    )
    monkeypatch.setattr(Watching, "kept", {})
    with two_threads():
        results = run(spec(backbone="watching", aligner="watching", trial=0, metric=("watching-score",)))
    assert [result.status for result in results] == ["ok", "ok"]
    assert {stage: set(kept) for stage, kept in Watching.kept.items()} == {
        "extract": {0.0}, "fit": {0.0}, "transform": {0.0}, "evaluate": {1.0}
    }  # fmt: skip

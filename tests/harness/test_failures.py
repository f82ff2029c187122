"""Whatever a plugin raises names it and the stage, and fails its own cells only."""

from __future__ import annotations

import sys
from typing import Any

import attrs
import pytest
import torch
from fakes import Hard, Learner

from crbench.api.entry import Entry
from crbench.errors import ComparisonError, DataError, PluginError
from crbench.harness.run import run
from crbench.records import Encoded, TestFeatures
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.testing import RandomBackbone

OWNER = Owner(plugin="strangers", distribution="strangers", version="1")
RAISED = [ArithmeticError("no luck"), SystemExit("licence expired"), DataError("the matrix is singular")]


class Kept:
    """A transform with a state and a count; any of its members may fail."""

    def __init__(self, fails: dict[str, BaseException]) -> None:
        self.fails = fails

    def __call__(self, feats: TestFeatures) -> TestFeatures:
        fail(self.fails, "transform")
        return feats

    def state(self) -> dict[str, torch.Tensor]:
        fail(self.fails, "state")
        return {"bias": torch.zeros(1)}

    @property
    def parameter_count(self) -> int:
        fail(self.fails, "parameter_count")
        return 1


def fail(fails: dict[str, BaseException], stage: str) -> None:
    if stage in fails:
        raise fails[stage]


@pytest.fixture
def failing(offer):
    """Offers an aligner, a backbone and a distance that fail at the stages which the returned mapping names."""
    fails: dict[str, BaseException] = {}

    class Stranger:
        def fit(self, train: Any, *, run: Any) -> Kept:
            fail(fails, "fit")
            return Kept(fails)

        def restore(self, state: Any) -> Kept:
            fail(fails, "restore")
            return Kept(fails)

    class Extracting(RandomBackbone):
        def extract(self, batch: Any) -> Encoded:
            fail(fails, "extract")
            return super().extract(batch)

    class Training(Learner):
        def train(self, rows: Any, read: Any, *, run: Any) -> Learner:
            fail(fails, "training")
            return Training(super().train(rows, read, run=run).matrix)

        def state(self) -> Any:
            fail(fails, "state")
            return super().state()

    def distance(query: TestFeatures, gallery: TestFeatures) -> torch.Tensor:
        fail(fails, "distance")
        return torch.cdist(query.x, gallery.x)

    def extracting(*, weights=None, device="cpu"):
        return Extracting()

    def training(*, weights=None, device="cpu"):
        return Training()

    offer(
        Registered("aligner", Entry("stranger", Stranger), OWNER),
        Registered("backbone", Entry("extracting", extracting), OWNER),
        Registered("backbone", Entry("training", training), OWNER),
        Registered("distance", Entry("own", lambda: distance), OWNER),
    )
    return fails


def statuses(results):
    return {(result.method.backbone.name, result.method.aligner.name): result.status for result in results}


@pytest.mark.parametrize("raised", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("stage", ["fit", "transform", "state", "parameter_count"])
def test_an_aligner_that_fails_fails_its_own_cell(spec, failing, stage, raised):
    failing[stage] = raised
    results = run(spec(aligner=["stranger", "shift"], trial=0))
    assert statuses(results) == {("random", "none"): "ok", ("random", "stranger"): "failed", ("random", "shift"): "ok"}
    told = f"strangers 1 (plugin 'strangers') failed at {stage}: {type(raised).__name__}: {raised}"
    assert results[1].error.strip().splitlines()[-1].endswith(told)


def test_an_aligner_that_cannot_restore_its_state_fails_its_own_cell(spec, failing):
    assert "failed" not in statuses(run(spec(aligner="stranger", trial=0))).values()
    failing["restore"] = SystemExit(3)
    none, failed = run(spec(aligner="stranger", trial=0, resume=False))
    assert (none.status, failed.status) == ("ok", "failed")
    assert "failed at restore: SystemExit: 3" in failed.error


@pytest.mark.parametrize("raised", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("backbone", "stage"), [("extracting", "extract"), ("training", "state")])
def test_a_backbone_that_fails_fails_its_own_cells(spec, failing, backbone, stage, raised):
    failing[stage] = raised
    results = run(spec(aligner="shift", backbone=[backbone, "random"], trial=0))
    assert statuses(results) == {
        (backbone, "none"): "failed",
        (backbone, "shift"): "failed",
        ("random", "none"): "ok",
        ("random", "shift"): "ok",
    }
    assert f"strangers 1 (plugin 'strangers') failed at {stage}: {type(raised).__name__}: {raised}" in results[0].error


@pytest.mark.parametrize("raised", RAISED[:2], ids=lambda error: type(error).__name__)
def test_a_training_that_fails_fails_the_cells_of_its_backbone(spec, failing, raised):
    failing["training"] = raised
    results = run(spec(aligner="shift", backbone=["training", "random"]))
    assert [result.status for result in results] == ["failed", "failed", "ok", "ok"]
    assert f"failed at training: {type(raised).__name__}: {raised}" in results[1].error


@pytest.mark.parametrize("raised", RAISED, ids=lambda error: type(error).__name__)
def test_a_distance_that_fails_is_named(spec, failing, raised):
    failing["distance"] = raised
    results = run(spec(trial=0, set={"protocol.distance": "own"}))
    assert [result.status for result in results] == ["failed"]
    assert f"failed at distance: {type(raised).__name__}: {raised}" in results[0].error


def test_a_count_that_is_no_number_fails_the_cell(spec, failing, monkeypatch):
    monkeypatch.setattr(Kept, "parameter_count", "many")
    _, failed = run(spec(aligner="stranger", trial=0))
    assert "failed at parameter_count: expected a whole number from 0, got 'many'" in failed.error


def test_a_state_without_tensors_fails_the_cell(spec, failing, monkeypatch):
    monkeypatch.setattr(Kept, "state", lambda self: {"bias": 3})
    _, failed = run(spec(aligner="stranger", trial=0))
    assert "failed at state: expected tensors by name, but 'bias' holds a int" in failed.error


def test_an_interrupt_ends_the_run(spec, failing):
    failing["fit"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(spec(aligner="stranger", trial=0))


def test_leakage_ends_the_run(spec, failing, tmp_path):
    run(spec(backbone="learner", trial=0))
    weights = next((tmp_path / "weights" / "trained").glob("*.safetensors"))
    with pytest.raises(ComparisonError):
        run(spec(backbone="learner", trial=1, weights=weights))


def test_what_a_plugin_prints_stays_out_of_the_table(spec, failing, capsys, monkeypatch):
    monkeypatch.setattr(Kept, "__call__", lambda self, feats: print("hello") or attrs.evolve(feats))  # noqa: T201
    assert "failed" not in statuses(run(spec(aligner="stranger", trial=0))).values()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "hello" in shown.err
    assert sys.stdout is not sys.stderr


@pytest.mark.parametrize("stage", ["split", "digests"])
@pytest.mark.parametrize("raised", RAISED[:2], ids=lambda error: type(error).__name__)
def test_a_data_set_that_fails_is_named(spec, monkeypatch, stage, raised):
    monkeypatch.setattr(Hard, stage, lambda *_, **__: fail({stage: raised}, stage))
    with pytest.raises(PluginError, match=rf"\(plugin 'fakes'\) failed at {stage}: {type(raised).__name__}: {raised}"):
        run(spec())


def test_an_image_that_a_data_set_cannot_give_fails_the_cells(spec, monkeypatch):
    monkeypatch.setattr(Hard, "read", lambda *_, **__: fail({"read": ValueError("no such page")}, "read"))
    (failed,) = run(spec())
    assert "(plugin 'fakes') failed at read: ValueError: no such page" in failed.error


class Batched(RandomBackbone):
    """What it extracts is changed by `change`, a function of the batch and its features."""

    change: Any = staticmethod(lambda batch, x: x)

    def extract(self, batch: Any) -> Any:
        found = self.change(batch, super().extract(batch).x)
        return found if isinstance(found, Encoded) or not isinstance(found, torch.Tensor) else Encoded(x=found)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda batch, x: x.double(), "it gave float64 features; expected float32"),
        (lambda batch, x: x.requires_grad_(), "its features carry gradients"),
        (lambda batch, x: x.numpy(), "it gave a ndarray; expected Encoded"),
        (lambda batch, x: x.to("meta"), "its features are on meta; expected them on cpu"),
        (lambda batch, x: x + batch.inputs.mul_(2).sum() * 0, "it changed the images that it was given"),
        (lambda batch, x: x - x.mean(dim=0), "the feature of an image depends on the others of its batch"),
        (lambda batch, x: x[:1].expand(len(x), -1).contiguous(), "depends on the others of its batch"),
        (lambda batch, x: Encoded(x=x, dims=torch.zeros(len(x), dtype=torch.int64)), "not all between 1 and 16"),
    ],
)
def test_a_backbone_that_breaks_its_contract_fails_its_cells(spec, offer, monkeypatch, change, told):
    monkeypatch.setattr(Batched, "change", staticmethod(change))
    offer(Registered("backbone", Entry("batched", lambda *, weights=None, device="cpu": Batched()), OWNER))
    failed, done = run(spec(backbone=["batched", "random"], trial=0))
    assert (failed.status, done.status) == ("failed", "ok")
    assert "strangers 1 (plugin 'strangers') failed at extract: " in failed.error
    assert told in failed.error

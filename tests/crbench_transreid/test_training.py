"""Training: what is minimised, what is trained, and that the result loads by the official keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crbench_transreid.network import TransReID
from crbench_transreid.objective import TransReIDObjective
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional
from transreid_weights import TINY, images, transreid

from crbench.api.capabilities import Trainable
from crbench.api.context import RunContext, TrainingSession
from crbench.api.interfaces import Backbone
from crbench.errors import DataError
from crbench.records import Batch, Row, Samples
from crbench.training import Recipe, TrainBatch
from crbench.training.losses import batch_hard_triplet

OPTIONS: dict[str, Any] = {
    "size": (64, 32),
    "pretrained": "none",
    "epochs": 2,
    "identities": 4,
    "images": 2,
    "warmup_epochs": 0.0,
}
ROWS = Samples(
    keys=[str(i) for i in range(16)], pids=np.repeat([3, 5, 8, 9], 4), camids=np.tile([1, 2, 3, 2], 4).tolist()
)


def read(row: Row) -> Image.Image:
    pattern = np.random.default_rng(row.pid).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    return Image.fromarray(pattern).resize((32, 64))


def batch(camids: list[int]) -> Batch:
    inputs = images(len(camids), OPTIONS["size"])
    return Batch(inputs=inputs, rates=np.ones(len(camids), dtype=np.float32), camids=np.array(camids))


def train_batch(side: int) -> TrainBatch:
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    camids = torch.arange(6) % max(side, 1) + 1
    return TrainBatch(inputs=images(6, OPTIONS["size"]), labels=labels, rates=torch.ones(6), camids=camids)


@pytest.mark.parametrize("jpm", [False, True])
@pytest.mark.parametrize("side", [0, 3])
def test_the_loss_is_half_global_and_half_the_mean_of_the_local_ones(jpm: bool, side: int) -> None:
    torch.manual_seed(3)
    model = TransReID(TINY, OPTIONS["size"], jpm=jpm, side=side)
    objective = TransReIDObjective(model, 3, Recipe(label_smoothing=0.0, triplet_weight=2.0))
    rows = train_batch(side)
    loss, figures = objective(rows)
    embedding = model.base.sie_embed[rows.camids - 1, 0] if side else None
    parts = model.parts(rows.inputs, embedding)
    id_losses = [functional.cross_entropy(logits, rows.labels) for logits in model.logits(model.necks(parts))]
    triplets = [batch_hard_triplet(part, rows.labels) for part in parts]
    expected = []
    for losses in (id_losses, triplets):
        assert len(losses) == (5 if jpm else 1)
        expected.append(losses[0] / 2 + sum(losses[1:]) / 8 if jpm else losses[0])
    torch.testing.assert_close(loss, expected[0] + 2 * expected[1])
    torch.testing.assert_close((figures["id_loss"], figures["triplet_loss"]), tuple(expected))


@pytest.mark.parametrize("jpm", [False, True])
def test_every_part_that_features_need_gets_a_gradient_and_no_other(jpm: bool) -> None:
    model = TransReID(TINY, OPTIONS["size"], jpm=jpm, side=3)
    objective = TransReIDObjective(model, 3, Recipe())
    objective(train_batch(3))[0].backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    idle = ("base.fc.", f"base.blocks.{TINY.depth - 1}.", "base.norm.") if jpm else ("base.fc.",)
    necks = {name for name in model.state_dict() if name.startswith("bottleneck") and name.endswith("bias")}
    assert without == {name for name, _ in model.named_parameters() if name.startswith(idle)} | necks


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("options", [{}, {"jpm": True}, {"sie": "camera"}, {"sie": "camera", "jpm": True}])
def test_training_changes_a_copy_and_its_state_loads_by_the_official_keys(
    options: dict[str, Any], tmp_path: Path
) -> None:
    untrained = transreid(**OPTIONS, **options)
    assert isinstance(untrained, Backbone)
    assert isinstance(untrained, Trainable)
    before, generator = untrained.state(), torch.random.get_rng_state()
    trained = untrained.train(ROWS, read, run=RunContext(seed=1))
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert all(torch.equal(tensor, before[name]) for name, tensor in untrained.state().items())
    again = untrained.train(ROWS, read, run=RunContext(seed=1)).state()
    assert all(torch.equal(tensor, again[name]) for name, tensor in trained.state().items())
    assert not trained.model.training
    save_file(dict(trained.state()), tmp_path / "weights.safetensors")
    loaded = transreid(weights=tmp_path / "weights.safetensors", **OPTIONS, **options)
    rows = batch([1, 2, 3])
    assert torch.equal(loaded.extract(rows).x, trained.extract(rows).x)
    assert loaded.state().keys() == trained.state().keys()
    assert loaded.state()["classifier.weight"].shape == (4, TINY.width)


@pytest.mark.usefixtures("tiny")
def test_training_goes_on_from_given_weights_with_new_classifiers(write: Callable[..., Path]) -> None:
    given = transreid(weights=write(side=3, classes=7), sie="camera", **{**OPTIONS, "lr": 1e-30})
    trained = given.train(ROWS, read, run=RunContext(seed=1)).state()
    assert torch.equal(trained["base.pos_embed"], given.state()["base.pos_embed"])
    assert len(trained["classifier.weight"]) == 4


@pytest.mark.usefixtures("tiny")
def test_what_cannot_be_trained_is_said(write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"sie=both needs view labels to train, .* choose sie=camera or sie=none"):
        transreid(sie="both", view_count=2, **OPTIONS).train(ROWS, read, run=RunContext())
    unknown = Samples(keys=ROWS.keys, pids=ROWS.pids)
    with pytest.raises(
        DataError, match=r"some training rows have no camera number; train with --set backbone.sie=none"
    ):
        transreid(sie="camera", **OPTIONS).train(unknown, read, run=RunContext())
    given = transreid(weights=write(side=2), sie="camera", **OPTIONS)
    with pytest.raises(DataError, match="the training rows have cameras up to 3, the weights know 2"):
        given.train(ROWS, read, run=RunContext())


@pytest.mark.usefixtures("tiny")
def test_scores_on_the_way_see_the_network_as_it_is() -> None:
    seen: list[torch.Tensor] = []

    def score(_epoch: int, snapshot: Callable[[], Backbone]) -> dict[str, float]:
        seen.append(snapshot().extract(batch([1, 2])).x)
        return {}

    run = RunContext(seed=1, session=TrainingSession(score=score))
    trained = transreid(sie="camera", **OPTIONS).train(ROWS, read, run=run)
    assert len(seen) == 2
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], trained.extract(batch([1, 2])).x)


class Killed(BaseException):
    """Stands for the end of the process."""


class DiesInTheSecondEpoch:
    """Progress of a training that ends then."""

    def __init__(self) -> None:
        self._images = 0

    def __call__(self, total: int, description: str, unit: str) -> DiesInTheSecondEpoch:
        return self

    def __enter__(self) -> DiesInTheSecondEpoch:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def advance(self, count: int = 1, **figures: float) -> None:
        if "loss" in figures:
            self._images += count
            if self._images > len(ROWS):
                raise Killed


@pytest.mark.usefixtures("tiny")
def test_a_killed_training_continues_with_the_same_result(tmp_path: Path) -> None:
    backbone = transreid(sie="camera", jpm=True, drop_path=0.5, **OPTIONS)
    expected = backbone.train(ROWS, read, run=RunContext(seed=1)).state()
    session = TrainingSession(checkpoint=tmp_path / "checkpoint")
    with pytest.raises(Killed):
        backbone.train(ROWS, read, run=RunContext(seed=1, session=session, progress=DiesInTheSecondEpoch()))
    assert any(tmp_path.rglob("*"))
    seen: list[str] = []
    session = TrainingSession(checkpoint=tmp_path / "checkpoint", on_epoch=lambda epoch: seen.append(epoch.phase))
    again = backbone.train(ROWS, read, run=RunContext(seed=1, session=session)).state()
    assert len(seen) == 2
    assert all(torch.equal(tensor, again[name]) for name, tensor in expected.items())

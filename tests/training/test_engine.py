"""The training loop on a small problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from denormals import share_kept, two_threads

from crbench.api.context import RunContext, TrainingSession
from crbench.errors import CrbenchError, DataError
from crbench.records import Samples
from crbench.training import Embedder, History, train

MakeModel = Callable[..., Embedder]


def trained(problem: Any, model: Embedder, seed: int = 0, **changes: Any) -> History:
    recipe = attrs.evolve(problem.recipe, **changes)
    return train(
        model, problem.rows, problem.read, recipe=recipe, preprocess=problem.preprocess, run=RunContext(seed=seed)
    )


def rank1(model: Embedder, problem: Any) -> float:
    """Share of new images whose nearest other new image shows the same person."""
    rows = attrs.evolve(problem.rows, keys=[str(10_000 + i) for i in range(len(problem.rows))])
    images = np.stack([np.asarray(problem.read(rows.row(i))) for i in range(len(rows))])
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        features = torch.nn.functional.normalize(model.eval()(inputs)[1])
    similarity = (features @ features.T).fill_diagonal_(-2)
    return float((rows.pids[similarity.argmax(dim=1).numpy()] == rows.pids).mean())


def test_the_loss_falls_and_new_images_are_found(problem: Any, make_model: MakeModel) -> None:
    untrained, model = make_model(), make_model()
    history = trained(problem, model, epochs=10)
    assert len(history) == 10
    assert history[-1].loss < 0.9 * history[0].loss
    assert history[-1].figures["accuracy"] > history[0].figures["accuracy"] + 0.5
    assert rank1(model, problem) > rank1(untrained, problem) + 0.15
    assert not model.training


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_same_seed_gives_the_same_weights_whatever_torchs_generator_holds(
    problem: Any, make_model: MakeModel, optimizer: str
) -> None:
    states = []
    for seed, foreign in ((5, 1), (5, 2), (6, 2)):
        model = make_model()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(foreign)
            trained(problem, model, seed=seed, epochs=2, optimizer=optimizer)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


@pytest.mark.usefixtures("global_state_kept")
def test_global_generators_are_left_as_they_were(problem: Any, make_model: MakeModel) -> None:
    trained(problem, make_model(), epochs=1)


def test_the_necks_shift_stays_zero(problem: Any, make_model: MakeModel) -> None:
    model = make_model()
    trained(problem, model, epochs=1)
    assert not model.neck.bias.any()
    assert model.neck.weight.std() > 0


def test_a_loss_that_is_not_finite_stops_at_once_with_advice(problem: Any, make_model: MakeModel) -> None:
    model = make_model()
    with torch.no_grad():
        model.body[0].bias.fill_(float("nan"))
    with pytest.raises(CrbenchError, match=r"^train model: the loss \(nan\) is not finite in epoch 1 of 6; lower lr"):
        trained(problem, model)


def test_weights_that_the_last_step_made_infinite_are_an_error(problem: Any, make_model: MakeModel) -> None:
    one_step = {"epochs": 1, "identities": 12, "images": 8, "warmup_epochs": 0, "optimizer": "sgd", "lr": 1e38}
    with pytest.raises(CrbenchError, match=r"a weight is not finite in epoch 1 of 1"):
        trained(problem, make_model(), **one_step, weight_decay=1e3)


def test_one_person_is_an_error(problem: Any, make_model: MakeModel) -> None:
    alone = attrs.evolve(problem, rows=Samples(keys=["1", "2"], pids=[4, 4]))
    with pytest.raises(DataError, match="2 training rows of 1 persons; at least 2"):
        trained(alone, make_model())


def test_progress_counts_every_image_with_the_loss(problem: Any, make_model: MakeModel) -> None:
    seen: dict[str, Any] = {}

    class Tracker:
        def __init__(self, description: str) -> None:
            self.description = description

        def advance(self, count: int = 1, **figures: float) -> None:
            seen[self.description]["done"] += count
            seen[self.description].update(figures)

    @contextmanager
    def progress(total: int, description: str, unit: str) -> Iterator[Tracker]:
        seen[description] = {"total": total, "unit": unit, "done": 0}
        yield Tracker(description)

    recipe = attrs.evolve(problem.recipe, epochs=2)
    history = train(
        make_model(),
        problem.rows,
        problem.read,
        recipe=recipe,
        preprocess=problem.preprocess,
        run=RunContext(progress=progress),
        name="resnet-tiny",
    )
    assert seen["read training images"]["done"] == seen["read training images"]["total"] == len(problem.rows)
    bar = seen["train resnet-tiny"]
    assert bar["done"] == bar["total"] == 2 * 96
    assert bar["unit"] == "image"
    assert bar["loss"] == pytest.approx(history[-1].loss, rel=0.5)


def test_steps_flush_denormals_and_evaluations_on_the_way_do_not(problem: Any, make_model: MakeModel) -> None:
    """A step forward and backward, in both threads; scores must be exact."""
    kept: dict[str, set[float]] = {"forward": set(), "backward": set(), "score": set()}
    model = make_model()
    model.register_forward_hook(lambda *_: kept["forward"].add(share_kept()))
    next(model.parameters()).register_hook(lambda _: kept["backward"].add(share_kept()))

    def score(*_: Any) -> dict[str, float]:
        kept["score"].add(share_kept())
        return {}

    run = RunContext(session=TrainingSession(score=score))
    given = {"recipe": attrs.evolve(problem.recipe, epochs=1), "preprocess": problem.preprocess, "run": run}
    with two_threads():
        train(model, problem.rows, problem.read, snapshot=lambda: None, **given)
    assert kept == {"forward": {0.0}, "backward": {0.0}, "score": {1.0}}

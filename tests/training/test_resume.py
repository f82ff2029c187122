"""A training that was stopped continues with the same result, bit for bit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

from crbench.api.context import RunContext, TrainingSession
from crbench.errors import CrbenchError, DataError
from crbench.training import Embedder, Epoch, IdTriplet, Objective, Phase, engine, train_objective
from crbench.training.processes import Processes, SeveralProcesses

MakeModel = Callable[..., Embedder]


class Killed(BaseException):
    """Stands for the end of the process."""


class Dies:
    """A progress bar that ends the process when so many images are done."""

    def __init__(self, after: int) -> None:
        self._left = after

    def __call__(self, total: int, description: str, unit: str) -> Dies:
        return self

    def __enter__(self) -> Dies:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def advance(self, count: int = 1, **figures: float) -> None:
        if "loss" in figures:
            self._left -= count
            if self._left <= 0:
                raise Killed


def freeze(objective: Any) -> None:
    objective.model.body[0].weight.requires_grad_(False)
    torch.nn.init.normal_(objective.model.body[5].weight)  # draws from the global generator


def training(problem: Any, model: Embedder, run: RunContext, phases: int = 2, **changes: Any) -> tuple[Epoch, ...]:
    recipe = attrs.evolve(problem.recipe, epochs=3, **changes)
    parts = [Phase("first", recipe), Phase("second", attrs.evolve(recipe, epochs=2), begin=freeze)][:phases]

    def build(persons: int) -> Objective:
        return IdTriplet(model, persons, recipe)

    return train_objective(build, problem.rows, problem.read, phases=parts, preprocess=problem.preprocess, run=run)


def equal(one: Embedder, other: Embedder) -> bool:
    expected = other.state_dict()
    return all(torch.equal(tensor, expected[name]) for name, tensor in one.state_dict().items())


EPOCH = 96


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("images", [EPOCH // 2, EPOCH + 1, 2 * EPOCH, 3 * EPOCH + 1, 4 * EPOCH + 30, 5 * EPOCH])
def test_it_continues_from_any_place_as_if_never_stopped(
    problem: Any, make_model: MakeModel, tmp_path: Path, images: int, optimizer: str
) -> None:
    changes = {"optimizer": optimizer, "center_weight": 5e-4}
    whole, model = make_model(), make_model()
    history = training(problem, whole, RunContext(seed=2), **changes)
    session = TrainingSession(checkpoint=tmp_path / "c")
    with pytest.raises(Killed):
        training(problem, model, RunContext(seed=2, session=session, progress=Dies(images)), **changes)
    again, seen = make_model(), list[Epoch]()
    session = attrs.evolve(session, on_epoch=seen.append)
    assert training(problem, again, RunContext(seed=2, session=session), **changes) == history == tuple(seen)
    assert equal(again, whole)
    # and a training that is done gives its weights at once
    done = make_model()
    run = RunContext(seed=2, session=session, progress=Dies(1))
    assert training(problem, done, run, **changes) == history
    assert equal(done, whole)


def test_a_finished_phase_is_not_repeated(problem: Any, make_model: MakeModel, tmp_path: Path) -> None:
    whole, model = make_model(), make_model()
    history = training(problem, whole, RunContext(seed=2))

    def stop(epoch: Epoch) -> None:
        if epoch == history[2]:
            raise Killed

    session = TrainingSession(checkpoint=tmp_path / "c", on_epoch=stop)
    with pytest.raises(Killed):
        training(problem, model, RunContext(seed=2, session=session))
    again = make_model()
    session = attrs.evolve(session, on_epoch=None)
    assert training(problem, again, RunContext(seed=2, session=session)) == history
    assert equal(again, whole)


@pytest.mark.parametrize("change", [{"seed": 3}, {"lr": 1e-3}, {"amp": "bf16"}])
def test_the_state_of_another_training_is_not_used(
    problem: Any, make_model: MakeModel, tmp_path: Path, change: dict[str, Any]
) -> None:
    session = TrainingSession(checkpoint=tmp_path / "c")
    training(problem, make_model(), RunContext(seed=2, session=session), phases=1)
    seed = change.pop("seed", 2)
    fresh, beside = make_model(), make_model()
    training(problem, fresh, RunContext(seed=seed), phases=1, **change)
    training(problem, beside, RunContext(seed=seed, session=session), phases=1, **change)
    assert equal(beside, fresh)


def test_other_initial_weights_are_another_training(problem: Any, make_model: MakeModel, tmp_path: Path) -> None:
    session = TrainingSession(checkpoint=tmp_path / "c")
    fresh, other = make_model(seed=1), make_model(seed=1)
    training(problem, make_model(seed=0), RunContext(session=session), phases=1)
    training(problem, other, RunContext(session=session), phases=1)
    training(problem, fresh, RunContext(), phases=1)
    assert equal(other, fresh)


def test_a_damaged_checkpoint_is_an_error(problem: Any, make_model: MakeModel, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"checkpoint .*c is damaged .*; move it away"):
        training(problem, make_model(), RunContext(session=TrainingSession(checkpoint=tmp_path / "c")))


def test_scores_on_the_way_are_kept_and_change_nothing(problem: Any, make_model: MakeModel, tmp_path: Path) -> None:
    plain, scored = make_model(), make_model()
    recipe = attrs.evolve(problem.recipe, epochs=2)
    asked = []

    def score(number: int, snapshot: Callable[[], Any]) -> dict[str, float]:
        assert not snapshot().training
        snapshot()(torch.zeros(2, 3, 16, 8))
        asked.append(number)
        return {"R1": number / 10}

    def go(model: Embedder, session: TrainingSession) -> tuple[Epoch, ...]:
        return train_objective(
            lambda persons: IdTriplet(model, persons, recipe),
            problem.rows,
            problem.read,
            phases=[Phase("train", recipe)],
            preprocess=problem.preprocess,
            run=RunContext(session=session),
            snapshot=lambda: model,
        )

    go(plain, TrainingSession())
    assert [epoch.scores for epoch in go(scored, TrainingSession(score=score))] == [{"R1": 0.1}, {"R1": 0.2}]
    assert asked == [1, 2]
    assert equal(plain, scored)


def test_accumulated_batches_give_the_update_of_their_mean(problem: Any, make_model: MakeModel) -> None:
    still = {"optimizer": "sgd", "lr": 1e-30, "weight_decay": 0.0}
    single = training(problem, make_model(), RunContext(), phases=1, **still)
    double = training(problem, make_model(), RunContext(), phases=1, accumulate=3, **still)
    assert [epoch.loss for epoch in double] == pytest.approx([epoch.loss for epoch in single], rel=1e-5)
    model = make_model()
    training(problem, model, RunContext(), phases=1, accumulate=3)
    assert torch.isfinite(model.neck.weight).all()


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_half_precision_stays_near_single_and_resumes(
    problem: Any, make_model: MakeModel, tmp_path: Path, amp: str
) -> None:
    single = training(problem, make_model(), RunContext(), phases=1)
    whole, again = make_model(), make_model()
    half = training(problem, whole, RunContext(), phases=1, amp=amp)
    assert half[-1].loss == pytest.approx(single[-1].loss, rel=0.1)
    assert half[-1].loss != single[-1].loss
    session = TrainingSession(checkpoint=tmp_path / "c")
    with pytest.raises(Killed):
        training(problem, make_model(), RunContext(session=session, progress=Dies(2 * EPOCH + 1)), phases=1, amp=amp)
    assert training(problem, again, RunContext(session=session), phases=1, amp=amp) == half
    assert equal(again, whole)


class Hungry(IdTriplet):
    """Runs out of memory with more than `room` images."""

    room = 12

    def forward(self, batch: Any) -> Any:
        if len(batch.labels) > self.room:
            raise torch.cuda.OutOfMemoryError
        return super().forward(batch)


@pytest.mark.parametrize(
    ("room", "advice"),
    [
        (12, r"a batch of 12 fits \(tried\): set identities=3, and accumulate=2 for as many"),
        (11, r"no smaller batch fits either"),
    ],
)
def test_lack_of_memory_says_which_batch_fits(
    problem: Any, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, room: int, advice: str
) -> None:
    monkeypatch.setattr(Hungry, "room", room if room == 12 else 7)
    with pytest.raises(CrbenchError, match=rf"^train m: a batch of 24 images does not fit .* of cpu; {advice}"):
        train_objective(
            lambda persons: Hungry(make_model(), persons, problem.recipe),
            problem.rows,
            problem.read,
            phases=[Phase("train", problem.recipe)],
            preprocess=problem.preprocess,
            run=RunContext(),
            name="m",
        )


class Shared(Processes):
    """One process that thinks it is one of several."""

    each, no_fit, alone = SeveralProcesses.each, SeveralProcesses.no_fit, SeveralProcesses.alone


def test_lack_of_memory_in_one_of_several_processes_is_said_without_trying(
    problem: Any, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "current", Shared)
    with pytest.raises(CrbenchError, match=r"a batch of 24 images in each process does not .*; halve identities and"):
        train_objective(
            lambda persons: Hungry(make_model(), persons, problem.recipe),
            problem.rows,
            problem.read,
            phases=[Phase("train", problem.recipe)],
            preprocess=problem.preprocess,
            run=RunContext(),
        )


def test_each_epoch_says_its_pace(problem: Any, make_model: MakeModel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="crbench"):
        (epoch, *_) = training(problem, make_model(), RunContext(), phases=1)
    assert epoch.images == EPOCH
    assert "epoch 1 of 3: loss" in caplog.text
    assert "images/s" in caplog.text


def test_a_method_that_cannot_be_evaluated_on_the_way_says_so(
    problem: Any, make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    session = TrainingSession(score=lambda number, snapshot: {})
    training(problem, make_model(), RunContext(session=session), phases=1)
    assert "cannot be evaluated on the way" in caplog.text

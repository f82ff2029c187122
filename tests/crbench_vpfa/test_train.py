from __future__ import annotations

import math

import pytest
import torch
from crbench_vpfa.module import VectorPanning
from crbench_vpfa.pairs import Drawn
from crbench_vpfa.resume import Resume
from crbench_vpfa.train import Recipe, _batches, _Step, train_module
from denormals import share_kept, two_threads

from crbench import linear as float32
from crbench.api.context import RunContext
from crbench.errors import DataError
from crbench.registry.load import load_aligner
from crbench.testing import train_features


class Record:
    """A tracker that remembers."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.losses: list[float] = []

    def advance(self, count: int = 1, **figures: float) -> None:
        self.counts.append(count)
        self.losses.append(figures["loss"])


def anew() -> Resume:
    return Resume.of(RunContext().session.fit)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_module() -> VectorPanning:
    module = VectorPanning(6, hidden=8, blocks=2)
    module.initialise("framework", 1e-3, seeded())
    return module


def make_pairs(count: int = 50) -> Drawn:
    source = torch.randn(count, 6, generator=seeded(1))
    return Drawn(source=source, target=source + 0.5, order=torch.arange(count))


def test_equals_plain_adam_on_the_mean_squared_error() -> None:
    """The reference is the loop of the official code: MSELoss, Adam, the last partial batch kept."""
    pairs, recipe = make_pairs(50), Recipe(31, 16, 1e-3, 1e-2, "step30")
    module, reference = make_module(), make_module()
    train_module(module, pairs, recipe, generator=seeded(2), tracker=Record(), resume=anew())
    optimizer = torch.optim.Adam(reference.parameters(), lr=1e-3, weight_decay=1e-2)
    generator = seeded(2)
    for epoch in range(31):
        optimizer.param_groups[0]["lr"] = 1e-3 if epoch < 30 else 5e-4
        for rows in torch.randperm(50, generator=generator).split(16):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(reference(pairs.source[rows]), pairs.target[rows]).backward()
            optimizer.step()
    for one, other in zip(module.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_an_epoch_holds_every_draw_once_and_batches_weigh_alike() -> None:
    pairs = Drawn(torch.zeros(5, 6), torch.zeros(5, 6), order=torch.tensor([0, 1, 2, 3, 4, 4, 2]))
    batches = _batches(pairs, 3, seeded())
    seen = torch.cat([rows[weights[:, 0] > 0] for rows, weights in batches])
    assert sorted(seen.tolist()) == [0, 1, 2, 2, 3, 4, 4]
    assert all(rows.shape == (3,) for rows, _ in batches)
    assert all(math.isclose(float(weights.sum()) * 6, 1, rel_tol=1e-6) for _, weights in batches)


def test_reports_every_step_and_a_falling_loss() -> None:
    record, recipe = Record(), Recipe(50, 16, 1e-2, 0.0, "cosine")
    train_module(make_module(), make_pairs(), recipe, generator=seeded(), tracker=record, resume=anew())
    assert sum(record.counts) == recipe.steps(50) == 200
    assert record.losses[-1] < 0.1 * record.losses[0]


def test_a_batch_larger_than_all_pairs_is_cut() -> None:
    record, recipe = Record(), Recipe(2, 4096, 1e-3, 0.0, "constant")
    train_module(make_module(), make_pairs(5), recipe, generator=seeded(), tracker=record, resume=anew())
    assert sum(record.counts) == 2


@pytest.mark.parametrize(
    ("schedule", "epoch", "progress", "expected"),
    [
        ("constant", 119, 0.99, 0.2),
        ("step30", 29, 0.2, 0.2),
        ("step30", 30, 0.25, 0.1),
        ("step30", 119, 0.99, 0.025),
        ("cosine", 0, 0.0, 0.2),
        ("cosine", 60, 0.5, 0.1),
    ],
)
def test_schedules(schedule: str, epoch: int, progress: float, expected: float) -> None:
    recipe = Recipe(120, 32, 0.2, 0.0, schedule)  # type: ignore[arg-type]
    assert math.isclose(recipe.lr_at(epoch, progress), expected)


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    pairs = Drawn(torch.full((4, 6), 3e38), torch.full((4, 6), -3e38), order=torch.arange(4))
    with pytest.raises(DataError, match=r"the loss is \S+ at step 2; a smaller aligner\.lr"):
        train_module(
            make_module(),
            pairs,
            Recipe(2, 4, 1e-3, 0.0, "constant"),
            generator=seeded(),
            tracker=Record(),
            resume=anew(),
        )


def test_the_captured_form_takes_each_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of eager steps, capture and replay, with a graph that replays on the CPU."""

    class Replay:
        def __init__(self, step: _Step) -> None:
            self.step = step

        def replay(self) -> None:
            self.step._update()

    plain, captured = make_module(), make_module()
    recipe = Recipe(3, 16, 1e-2, 0.0, "cosine")
    train_module(plain, make_pairs(), recipe, generator=seeded(), tracker=Record(), resume=anew())
    captures = []
    original = _Step.__init__

    def as_on_a_gpu(self: _Step, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        self._cuda = True

    monkeypatch.setattr(_Step, "__init__", as_on_a_gpu)
    monkeypatch.setattr(_Step, "_update_aside", _Step._update)
    monkeypatch.setattr(_Step, "_capture", lambda self: captures.append(1) or Replay(self))
    train_module(captured, make_pairs(), recipe, generator=seeded(), tracker=Record(), resume=anew())
    assert captures == [1]
    for one, other in zip(plain.parameters(), captured.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_weights_of_the_cpu() -> None:
    pairs, recipe = make_pairs(), Recipe(5, 16, 1e-3, 1e-5, "cosine")
    cpu, gpu = make_module(), make_module().cuda()
    train_module(cpu, pairs, recipe, generator=seeded(), tracker=Record(), resume=anew())
    on_gpu = Drawn(pairs.source.cuda(), pairs.target.cuda(), pairs.order)
    train_module(gpu, on_gpu, recipe, generator=seeded(), tracker=Record(), resume=anew())
    for one, other in zip(cpu.parameters(), gpu.parameters(), strict=True):
        assert torch.allclose(one, other.cpu(), atol=1e-4)


def test_gradients_in_their_own_memory_are_those_of_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float32, "is_fastest", lambda: False)  # whose values would differ by roundings
    pairs, module = make_pairs(), make_module()
    step = _Step(module, pairs, Recipe(1, 16, 1e-3, 0.0, "constant"), 16)
    weights = [parameter for parameter in module.parameters() if parameter.ndim == 2]
    places = [parameter.grad.data_ptr() for parameter in weights]
    for start in (0, 16):  # the second step overwrites, it does not add up
        rows, share = torch.arange(start, start + 16), torch.full((16, 1), 1 / (16 * 6))
        step(rows, share, 0.0)
    plain = make_module()
    (share * (plain(pairs.source[rows]) - pairs.target[rows]).square()).sum().backward()
    for one, other in zip(module.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    assert [parameter.grad.data_ptr() for parameter in weights] == places


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_linear_layers_are_by_the_library_that_is_fastest_and_change_by_roundings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    linear, seen, trained = float32.linear, [], []
    monkeypatch.setattr(float32, "linear", lambda *args: seen.append(len(args[0])) or linear(*args))
    for fastest in (True, False):
        monkeypatch.setattr(float32, "is_fastest", lambda fastest=fastest: fastest)
        module = make_module()
        train_module(
            module,
            make_pairs(),
            Recipe(1, 16, 1e-3, 0.0, "constant"),
            generator=seeded(2),
            tracker=Record(),
            resume=anew(),
        )
        trained.append(module)
    assert seen == [16] * 4 * 3, "four steps of three layers, when it is the fastest"
    for one, other in zip(*(module.parameters() for module in trained), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_trained_module_holds_no_gradients() -> None:
    module = make_module()
    train_module(
        module, make_pairs(), Recipe(1, 16, 1e-3, 0.0, "constant"), generator=seeded(), tracker=Record(), resume=anew()
    )
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_fit_without_a_run_flushes_denormals_in_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crbench_vpfa.train.ONE_THREAD", 0)
    kept, module = set(), make_module()
    module.model.register_forward_hook(lambda *_: kept.add(share_kept()))
    module.model[0].register_forward_hook(lambda *_: kept.add(share_kept()))
    module.model[2].register_full_backward_hook(lambda *_: kept.add(share_kept()))
    with two_threads():
        train_module(module, make_pairs(), Recipe(epochs=1), generator=seeded(), tracker=Record(), resume=anew())
    assert kept == {0.0}


@pytest.mark.parametrize("threads", [2, 3])
def test_a_small_fit_is_the_same_on_any_number_of_threads(threads: int) -> None:
    train = train_features(persons=20, dim=64)
    before, found = torch.get_num_threads(), []
    for count in (1, threads):
        torch.set_num_threads(count)
        try:
            aligner = load_aligner("vpfa/light", epochs=1, draws=512)
            found.append(aligner.fit(train, run=RunContext()).state())
            assert torch.get_num_threads() == count
        finally:
            torch.set_num_threads(before)
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])

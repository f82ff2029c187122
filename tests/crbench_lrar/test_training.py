"""Losses, batches and phases, and the backbone that is trained by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import safetensors.torch
import torch
from crbench_lrar.backbone import LrarBackbone
from crbench_lrar.bodies import BODIES
from crbench_lrar.losses import Verifier, differences, own_codes, sample_pairs, verification_loss
from crbench_lrar.network import LrarNetwork, Shape
from crbench_lrar.objective import Losses, LrarObjective
from crbench_lrar.phases import PhaseRule, make_phases
from crbench_lrar.presets import PRESETS
from crbench_lrar.sampler import MixedLevelSampler, with_copies
from PIL import Image

from crbench import load_backbone
from crbench.api.capabilities import GalleryByRate, Trainable
from crbench.api.context import RunContext, TrainingSession
from crbench.api.interfaces import Backbone
from crbench.data.preprocess import Preprocess
from crbench.errors import ConfigError, DataError
from crbench.records import Batch, Row, Samples, TestRows
from crbench.testing import check_backbone
from crbench.training import Recipe, TrainBatch, seeded
from crbench.training.recipe import learning_rate

RATES = (4.0, 3.0, 2.0, 1.0)
SHORT: dict[str, Any] = {"epochs": 4, "identities": 4, "images": 2, "warmup_epochs": 0.0}
HR = Samples(keys=[f"{i}" for i in range(8)], pids=np.repeat([3, 5, 8, 9], 2))
ROWS = Samples.concat([HR, *(HR.at_rate(rate) for rate in (2, 3, 4))])


@pytest.fixture(autouse=True)
def small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    # not narrower: the bf16 gradient of a strided convolution on maps of width 1 is undefined in torch 2.15 on CPUs
    small = attrs.evolve(BODIES["resnet-thin"], preprocess=Preprocess(size=(32, 32)))
    monkeypatch.setitem(BODIES, "resnet-thin", small)  # type: ignore[arg-type]


def read(row: Row) -> Image.Image:
    pattern = np.random.default_rng(row.pid).integers(0, 256, (8, 4, 3), dtype=np.uint8)
    return Image.fromarray(pattern).resize((16, 32))


def lrar(weights: Path | None = None, **parameters: Any) -> LrarBackbone:
    """The backbone with parameters as users set them."""
    return load_backbone("lrar/tiny", weights, **parameters)  # type: ignore[return-value]


def objective(losses: Losses | None = None) -> LrarObjective:
    with seeded(0):
        return LrarObjective(LrarNetwork(BODIES["resnet-thin"].build(), RATES, Shape()), 4, losses or Losses())


def batch() -> TrainBatch:
    inputs = torch.randn(8, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    return TrainBatch(inputs, torch.arange(8) // 2, torch.tensor(RATES * 2), torch.zeros(8, dtype=torch.int64))


def test_pairs_are_as_often_of_one_person_as_of_two() -> None:
    labels = torch.arange(32) // 4
    pairs, same = sample_pairs(labels)
    assert len(pairs) == 96
    assert same.sum() == 48
    assert torch.equal(labels[pairs[:, 0]] == labels[pairs[:, 1]], same)
    assert len({tuple(pair) for pair in pairs.tolist()}) == 96


def test_pairs_are_cut_to_the_shorter_code_and_seen_in_both_orders() -> None:
    features = torch.arange(8.0).reshape(2, 4)
    codes = torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 0]])
    pairs = torch.tensor([[0, 1]])
    cut = differences(features, codes, pairs, padded=False)
    assert cut.tolist() == [[-4, 0, 0, 0], [4, 0, 0, 0]]
    padded = differences(features, codes, pairs, padded=True)
    assert padded[0].tolist() == [-4, -5, -6, 0]


def test_the_verification_loss_is_the_binary_cross_entropy_of_the_text() -> None:
    with seeded(0):
        logits = Verifier(6)(torch.randn(4, 6)).detach()
    same = torch.tensor([True, False])
    p = torch.sigmoid(logits)
    expected = -(torch.log(p[[0, 2]]).sum() + torch.log(1 - p[[1, 3]]).sum())
    torch.testing.assert_close(verification_loss(logits, same, "sum"), expected)
    torch.testing.assert_close(verification_loss(logits, same, "mean"), expected / 4)


def test_own_codes_are_the_sub_vector_of_the_level() -> None:
    lengths = torch.tensor([1, 3, 4])
    codes = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    own = own_codes(codes, torch.tensor([1, 2, 3]), lengths)
    assert own.tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("change", "part"),
    [({"cls_weight": 0.0}, "classifier.weight"), ({"verif_weight": 0.0}, "verifier.layers.0.weight")],
)
def test_a_loss_that_is_left_out_trains_nothing(change: dict[str, float], part: str) -> None:
    trained = objective(Losses(**change))
    loss, _ = trained(batch())
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in trained.named_parameters()}
    assert gradients[part] is None or gradients[part].abs().sum() == 0
    assert gradients["network.embedding.weight"].abs().sum() > 0


def test_masks_are_not_decayed() -> None:
    trained = objective()
    others, masks = trained.groups(Recipe())
    assert masks.weight_decay == 0
    assert [id(p) for p in masks.parameters] == [id(p) for p in trained.network.masks.free]
    assert len(others.parameters) + 4 == len(list(trained.parameters()))


@pytest.mark.parametrize("count", [2, 4])
def test_batches_are_half_hr_with_uniform_lr_rates(count: int) -> None:
    sampler = MixedLevelSampler(ROWS, identities=3, images=count, seed=0)
    rates = np.concatenate([ROWS.rates[rows] for number in range(60) for rows in sampler.epoch(number)])
    assert (rates == 1).mean() == 0.5
    shares = [(rates == rate).mean() for rate in (2, 3, 4)]
    assert min(shares) > 0.12
    for rows in sampler.epoch(0):
        assert len(np.unique(ROWS.pids[rows])) == 3
        assert len(rows) == sampler.batch_size
    assert len(sampler.epoch(0)) == sampler.steps
    assert all(np.array_equal(a, b) for a, b in zip(sampler.epoch(3), sampler.epoch(3), strict=True))


def test_steps_begin_at_the_stage_nearest_the_classifier_and_freeze_earlier_masks_bit_for_bit() -> None:
    trained = objective()
    masks = trained.network.masks.free
    phases = make_phases(4, Recipe(epochs=4), PhaseRule())
    assert [phase.name for phase in phases] == [f"mask {n} of 4" for n in (4, 3, 2, 1)]
    for number, phase in enumerate(phases):
        assert phase.begin is not None
        phase.begin(trained)
        before = [mask.detach().clone() for mask in masks]
        optimizer = torch.optim.Adam(
            [p for group in trained.groups(phase.recipe) for p in group.parameters], lr=0.1, weight_decay=0.1
        )
        loss, _ = trained(batch())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        changed = [not torch.equal(old, mask) for old, mask in zip(before, masks, strict=True)]
        assert changed == [index == 3 - number for index in range(4)]


def test_masks_that_are_not_added_yet_change_nothing() -> None:
    trained = objective()
    make_phases(4, Recipe(epochs=4), PhaseRule())[0].begin(trained)  # type: ignore[misc]
    first, _ = trained.network(batch().inputs, torch.ones(8, dtype=torch.int64))
    with torch.no_grad():
        trained.network.masks.free[0].fill_(5)
    second, _ = trained.network(batch().inputs, torch.ones(8, dtype=torch.int64))
    assert torch.equal(first, second)


def test_a_single_schedule_goes_through_all_phases() -> None:
    whole = Recipe(epochs=120, warmup_epochs=0)
    phases = make_phases(4, whole, PhaseRule(steps="single"))
    rates = [learning_rate(phase.recipe, epoch) for phase in phases for epoch in range(phase.recipe.epochs)]
    assert rates == pytest.approx([learning_rate(whole, epoch) for epoch in range(120)])
    full = make_phases(4, whole, PhaseRule(steps="full"))
    assert [phase.recipe for phase in full] == [whole] * 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training": "backwards"}, "training"),
        ({"epochs": 2}, "too few"),
        ({"steps": "single"}, "kind 'step'"),
        ({"masks": "all"}, "masks"),
        ({"length": "half"}, "length"),
        ({"assign": "best"}, "assign"),
        ({"rates": (1.0,)}, "rates"),
        ({"cls_weight": 0.0, "verif_weight": 0.0}, "cls_weight"),
        ({"architecture": "vgg"}, "architecture"),
    ],
)
def test_parameters_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        lrar(**values)


@pytest.mark.parametrize("preset", [*PRESETS])
def test_every_variant_trains_and_its_state_gives_it_again(preset: str, tmp_path: Path) -> None:
    tiny = {**PRESETS[preset], **SHORT, "architecture": "resnet-thin", "pretrained": "none"}
    untrained = lrar(**tiny)
    before = untrained.state()
    trained = untrained.train(ROWS, read, run=RunContext(seed=1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in untrained.state().items())
    safetensors.torch.save_file(dict(trained.state()), tmp_path / "w.safetensors")
    loaded = lrar(weights=tmp_path / "w.safetensors", **tiny)
    given = Batch(torch.randn(4, 3, 32, 16), np.array([1, 2, 3, 4], dtype=np.float32), np.ones(4, dtype=np.int64))
    first, second = trained.extract(given), loaded.extract(given)
    assert torch.equal(first.x, second.x)
    assert (first.dims is None) == (not LrarBackbone.varies(tiny))
    if preset == "paper":
        assert first.dims is not None
        assert first.dims.tolist() == [128, 64, 42, 32]


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_stopped_progressive_training_continues_bit_for_bit(epoch: int, tmp_path: Path) -> None:
    whole = lrar(**SHORT).train(ROWS, read, run=RunContext(seed=1)).state()

    class StopError(Exception):
        pass

    seen = []

    def stop(done: object) -> None:
        seen.append(done)
        if len(seen) == epoch:
            raise StopError

    session = TrainingSession(checkpoint=tmp_path / "c", on_epoch=stop)
    with pytest.raises(StopError):
        lrar(**SHORT).train(ROWS, read, run=RunContext(seed=1, session=session))
    rest = RunContext(seed=1, session=TrainingSession(checkpoint=tmp_path / "c"))
    continued = lrar(**SHORT).train(ROWS, read, run=rest).state()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in continued.items())


def test_it_trains_in_half_precision_and_with_accumulated_gradients() -> None:
    whole = lrar(**SHORT).train(ROWS, read, run=RunContext(seed=1)).state()
    half = lrar(**SHORT, amp="bf16", accumulate=2).train(ROWS, read, run=RunContext(seed=1)).state()
    assert all(tensor.dtype == whole[name].dtype for name, tensor in half.items())
    assert all(torch.isfinite(tensor).all() for tensor in half.values())


def test_it_keeps_the_contracts() -> None:
    backbone = LrarBackbone()
    assert isinstance(backbone, Backbone)
    assert isinstance(backbone, Trainable)
    assert isinstance(backbone, GalleryByRate)
    check_backbone(LrarBackbone)
    check_backbone(lambda: LrarBackbone(networks="per-rate"))


def test_lengths_are_exact_under_autocast() -> None:
    backbone = LrarBackbone()
    given = Batch(torch.randn(4, 3, 32, 16), np.array([1, 2, 3, 4], dtype=np.float32), np.ones(4, dtype=np.int64))
    backbone.model.lengths.copy_(torch.tensor([31, 42, 65, 127]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encoded = backbone.extract(given)
    assert encoded.dims is not None
    assert encoded.dims.tolist() == [127, 65, 42, 31]
    assert encoded.x.dtype == torch.float32


def test_levels_are_those_of_the_training_rates(tmp_path: Path) -> None:
    rows = Samples.concat([HR, *(HR.at_rate(rate) for rate in (2, 4, 8))])
    trained = lrar(**SHORT).train(rows, read, run=RunContext())
    assert trained.model.rates.tolist() == [8, 4, 2, 1]
    safetensors.torch.save_file(dict(trained.state()), tmp_path / "w.safetensors")
    given = Batch(torch.randn(2, 3, 32, 16), np.array([3, 6], dtype=np.float32), np.ones(2, dtype=np.int64))
    dims = {
        assign: lrar(weights=tmp_path / "w.safetensors", assign=assign).extract(given).dims.tolist()
        for assign in ("nearest", "finer", "coarser")
    }
    assert dims == {"nearest": [32, 16], "finer": [64, 32], "coarser": [32, 16]}
    with pytest.raises(DataError, match="have levels for the rates"):
        lrar(weights=tmp_path / "w.safetensors", **SHORT).train(ROWS, read, run=RunContext())


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"x": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="no 'rates' of levels"):
        lrar(weights=tmp_path / "w.safetensors")


def test_copies_are_added_at_rates_that_are_lacking() -> None:
    far = Samples(keys=["far"], pids=[3], rates=2.0, native_rates=2.0)
    rows = with_copies(Samples.concat([HR, far]), (2.0, 4.0))
    assert len(rows) == 3 * len(HR) + 1
    assert sorted(np.unique(rows.rates).tolist()) == [1, 2, 4]


def test_the_gallery_follows_the_query_where_asked() -> None:
    given = TestRows.of(HR)
    own, level, rate = (lrar(gallery=kind).gallery_for(given, 3.0) for kind in ("own", "query-level", "query-rate"))
    assert own is given
    assert (level.rates == 3).all()
    assert (level.native_rates == 3).all()
    assert (rate.rates == 3).all()
    assert (rate.native_rates == 1).all()

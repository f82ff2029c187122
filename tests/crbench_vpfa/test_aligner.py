from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from crbench_vpfa import crbench_aligners
from crbench_vpfa.aligner import VPFA
from crbench_vpfa.train import Recipe

from crbench import load_aligner
from crbench.api.context import RunContext
from crbench.api.pairing import TrainFeatures
from crbench.errors import ConfigError, DataError
from crbench.records import Domain, Features, TestFeatures
from crbench.registry.resolve import resolve
from crbench.testing import check_aligner, train_features

SMALL: dict[str, Any] = {"hidden": 32, "epochs": 2, "draws": 64}


def presets() -> dict[str, Any]:
    return dict(crbench_aligners()[0].presets)


def cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(left, right).mean())


@pytest.mark.parametrize("preset", ["paper", "official-code", "light"])
def test_every_preset_keeps_the_contract(preset: str) -> None:
    check_aligner(lambda: load_aligner("vpfa/paper", **{**presets()[preset], "hidden": 32, "epochs": 2, "draws": 64}))


@pytest.mark.parametrize(
    "options",
    [
        {"pairs": "bootstrap"},
        {"scope": "per_rate"},
        {"residual": False},
        {"gate": "none"},
        {"init": "framework"},
        {"blocks": 1, "hidden": 8},
        {"precision": "bf16"},
    ],
)
def test_every_option_keeps_the_contract(options: dict[str, Any]) -> None:
    check_aligner(lambda: load_aligner("vpfa/paper", **{**SMALL, **options}))


def test_the_first_preset_is_the_paper() -> None:
    paper = load_aligner("vpfa")
    assert isinstance(paper, VPFA)
    assert paper == load_aligner("vpfa/paper") == VPFA()
    assert (paper.hidden, paper.blocks, paper.init_std) == (2048, 3, 1e-3)
    assert paper.recipe == Recipe(120, 32, 2e-4, 1e-5, "constant")
    assert (paper.pairs, paper.min_count, paper.draws, paper.scope) == ("id_mean", 2, 5000, "shared")


def test_the_light_preset_changes_the_training_and_the_width_for_which_it_was_tuned() -> None:
    light, paper = (resolve("aligner", f"vpfa/{preset}").parameters for preset in ("light", "paper"))
    assert {name: value for name, value in light.items() if value != paper[name]} == {
        "hidden": 512,
        "epochs": 6,
        "batch_size": 64,
        "lr": 1e-4,
    }


@pytest.mark.parametrize("preset", ["paper", "official-code", "light"])
def test_a_shift_is_learned_and_carries_over_to_other_people(preset: str) -> None:
    train, test = train_features(persons=60), train_features(persons=90)
    held_out = np.flatnonzero(test.source.rows.pids > 60)
    source, target = test.source.take(held_out), test.pairs("image").target.take(held_out)
    options = {**presets()[preset], "hidden": 64, "draws": 240, "epochs": 30, "batch_size": 48, "lr": 1e-3}
    mapped = load_aligner("vpfa/paper", **options).fit(train, run=RunContext())(source)
    assert cosine(source.x, target.x) < 0.85
    assert cosine(mapped.x, target.x) > 0.93


def test_hr_rows_are_returned_bit_for_bit() -> None:
    train = train_features()
    transform = load_aligner("vpfa/paper", **SMALL).fit(train, run=RunContext())
    both = Features(
        x=torch.cat([train.target.x, train.source.x]),
        rows=type(train.source.rows).concat([train.target.rows, train.source.rows]),
    )
    hr = len(train.target)
    mapped = transform(both)
    assert torch.equal(mapped.x[:hr].view(torch.int32), both.x[:hr].view(torch.int32))
    assert not torch.equal(mapped.x[hr:], both.x[hr:])


def test_one_module_per_rate_serves_its_rate_and_the_nearest_ones() -> None:
    train = train_features(shift=2.0)
    transform = load_aligner("vpfa/paper", **SMALL, scope="per_rate").fit(train, run=RunContext())
    assert list(transform.modules) == [(Domain(rate=2.0),), (Domain(rate=3.0),), (Domain(rate=4.0),)]
    feats = Features(x=train.target.x, rows=train.target.rows)

    def at(rate: float) -> torch.Tensor:
        return transform(Features(x=feats.x, rows=feats.rows.at_rate(rate))).x

    assert not torch.equal(at(2), at(4))
    assert torch.equal(at(8), at(4))
    assert torch.equal(at(1.2), at(2))


def test_a_shared_module_serves_all_rates_alike() -> None:
    train = train_features()
    transform = load_aligner("vpfa/paper", **SMALL).fit(train, run=RunContext())
    results = [transform(Features(x=train.target.x, rows=train.target.rows.at_rate(rate))).x for rate in (2, 3, 9)]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_parameter_count_adds_up_all_modules() -> None:
    train = train_features()
    shared = load_aligner("vpfa/paper", **SMALL).fit(train, run=RunContext())
    apart = load_aligner("vpfa/paper", **SMALL, scope="per_rate").fit(train, run=RunContext())
    assert apart.parameter_count == 3 * shared.parameter_count == sum(x.numel() for x in apart.state().values())


@pytest.mark.parametrize("scope", ["shared", "per_rate"])
def test_state_passes_through_safetensors(scope: str) -> None:
    train = train_features()
    aligner = load_aligner("vpfa/paper", **SMALL, scope=scope, residual=False)  # type: ignore[arg-type]
    transform = aligner.fit(train, run=RunContext())
    state = safetensors.torch.load(safetensors.torch.save(transform.state()))
    assert torch.equal(aligner.restore(state)(train.source).x, transform(train.source).x)


@pytest.mark.parametrize(
    "options",
    [
        {"pairs": "image"},
        {"pairs": "bootstrap"},
        {"min_count": 2},
        {"draws": 32},
        {"init": "framework"},
        {"init_std": 0.01},
        {"epochs": 3},
        {"batch_size": 16},
        {"lr": 1e-3},
        {"weight_decay": 0.1},
        {"schedule": "cosine"},
        {"gate": "none"},
        {"residual": False},
        {"blocks": 2},
        {"hidden": 16},
        {"precision": "bf16"},
    ],
)
def test_every_option_has_an_effect(options: dict[str, Any]) -> None:
    train = train_features()
    person_1_once = np.arange(2, len(train.target))
    train = TrainFeatures(source=train.source, target=train.target.take(person_1_once))
    base, changed = (
        load_aligner("vpfa/paper", **{**SMALL, "min_count": 1, **change}).fit(train, run=RunContext())(train.source).x
        for change in ({}, options)
    )
    assert not torch.equal(changed, base)


def test_other_seeds_give_other_weights() -> None:
    train = train_features()
    first, second = (
        load_aligner("vpfa/paper", **SMALL).fit(train, run=RunContext(seed=seed)).state() for seed in (0, 1)
    )
    assert not torch.equal(next(iter(first.values())), next(iter(second.values())))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_features_that_are_not_finite_are_refused_before_training(bad: float) -> None:
    train = train_features()
    train.source.x[5, 3] = bad
    with pytest.raises(DataError, match="source features of 1 of 72 training rows hold NaN or infinite values"):
        load_aligner("vpfa/paper").fit(train, run=RunContext())


def test_features_of_unequal_length_are_refused() -> None:
    train = train_features(dim=16)
    wider = TrainFeatures(source=train.source, target=train_features(dim=20).target)
    with pytest.raises(DataError, match="source features have 16 columns and target features 20"):
        load_aligner("vpfa/paper").fit(wider, run=RunContext())


def test_a_transform_refuses_features_of_another_length() -> None:
    transform = load_aligner("vpfa/paper", **SMALL).fit(train_features(dim=16), run=RunContext())
    with pytest.raises(DataError, match="features have 20 columns, but it was fitted on 16"):
        transform(train_features(dim=20).source)


@pytest.mark.parametrize(
    "options",
    [
        {"pairs": "mean"},
        {"scope": "all"},
        {"gate": "relu"},
        {"init": "xavier"},
        {"schedule": "step"},
        {"hidden": 0},
        {"precision": "fp16"},
        {"blocks": 0},
        {"epochs": 0},
        {"batch_size": 0},
        {"min_count": 0},
        {"draws": -1},
        {"lr": 0},
        {"lr": float("nan")},
        {"weight_decay": -1e-5},
        {"init_std": 0},
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        load_aligner("vpfa/paper", **options)


def test_pooled_means_give_one_module_for_all_rates() -> None:
    train = train_features(persons=6, images=3, rates=(2, 3, 4))
    transform = load_aligner("vpfa/paper", **SMALL, pairs="id_mean_pooled").fit(train, run=RunContext())
    ((domains, _),) = transform.modules.items()  # type: ignore[attr-defined]
    assert sorted(domain.rate for domain in domains) == [2, 3, 4]
    separate = load_aligner("vpfa/paper", **SMALL).fit(train, run=RunContext())
    rows = TestFeatures.of(train.source)
    assert not torch.equal(transform(rows).x, separate(rows).x)
    with pytest.raises(ConfigError, match="id_mean_pooled joins the rates"):
        load_aligner("vpfa/paper", pairs="id_mean_pooled", scope="per_rate")

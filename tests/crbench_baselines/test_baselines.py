from __future__ import annotations

import logging
from typing import Any

import attrs
import numpy as np
import pytest
import safetensors.torch
import scipy.linalg
import torch
from crbench_baselines import crbench_aligners
from crbench_baselines.affine import Affine, AffineTransform
from crbench_baselines.coral import Coral
from crbench_baselines.diagonal import Diagonal
from crbench_baselines.match_rate import MatchRate
from crbench_baselines.mean_shift import MeanShift
from crbench_baselines.none import Identity
from crbench_baselines.procrustes import Procrustes
from crbench_baselines.ridge import Ridge

from crbench.api.context import RunContext
from crbench.api.pairing import TrainFeatures
from crbench.errors import DataError
from crbench.records import Domain, Features, Samples
from crbench.testing import check_aligner, random_features, train_features

PAIRED = [MeanShift, Diagonal, Ridge, Procrustes]
FITTED = [*PAIRED, Coral]
RUN = RunContext()


def paired_features(source: torch.Tensor, target: torch.Tensor) -> TrainFeatures:
    rows = Samples(keys=[f"{i}" for i in range(len(source))], pids=np.arange(len(source)) + 1, rates=2)
    return TrainFeatures(source=Features(source, rows), target=Features(target, rows.at_rate(1)))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def error_of(aligner: Any, train: TrainFeatures) -> float:
    mapped = aligner.fit(train, run=RUN)(train.source).x
    return float((mapped - train.pairs("image").target.x).square().mean())


@pytest.mark.parametrize("aligner", [Identity, *FITTED])
def test_every_aligner_keeps_the_contract(aligner: Any) -> None:
    check_aligner(aligner)


@pytest.mark.parametrize("aligner", PAIRED)
@pytest.mark.parametrize("options", [{"scope": "shared"}, {"pairs": "image"}, {"pairs": "id_mean"}])
def test_every_option_keeps_the_contract(aligner: Any, options: dict[str, str]) -> None:
    check_aligner(lambda: aligner(**options))


@pytest.mark.parametrize(
    "options", [{}, {"inner": Ridge()}, {"halves": "matched"}, {"rates": "all"}, {"rates": "all", "halves": "matched"}]
)
def test_match_rate_keeps_the_contract(options: dict[str, Any]) -> None:
    check_aligner(lambda: MatchRate(**options))


@pytest.mark.parametrize("aligner", FITTED)
def test_fewer_rows_than_dimensions_will_do(aligner: Any) -> None:
    check_aligner(aligner, train=train_features(persons=3, images=2, dim=32))


@pytest.mark.parametrize("aligner", FITTED)
def test_dimensions_that_never_vary_will_do(aligner: Any) -> None:
    train = train_features()
    train.source.x[:, 3] = 0
    train.target.x[:, 3] = 1
    mapped = aligner().fit(train, run=RUN)(train.source).x
    assert torch.allclose(mapped[:, 3], torch.ones(len(mapped)), atol=1e-4)


def test_entries_name_what_there_is() -> None:
    names = [entry.name for entry in crbench_aligners()]
    assert names == ["none", "mean-shift", "diagonal", "ridge", "procrustes", "coral", "match-rate"]


def test_none_gives_back_its_input() -> None:
    feats = random_features()
    assert Identity().fit(train_features(), run=RUN)(feats).x is feats.x


def test_mean_shift_adds_the_mean_gap_of_each_rate() -> None:
    train = train_features(shift=3.0)
    transform = MeanShift().fit(train, run=RUN)
    for rate in (2, 3, 4):
        rows = np.flatnonzero(train.source.rows.rates == rate)
        gap = (train.target.x - train.source.x[rows]).mean(dim=0)
        assert torch.allclose(transform(train.source).x[rows], train.source.x[rows] + gap, atol=1e-5)


def test_diagonal_finds_a_scale_and_a_shift_per_dimension() -> None:
    source, scale, shift = normal(200, 5), normal(5, seed=1), normal(5, seed=2)
    train = paired_features(source, source * scale + shift)
    mapping = Diagonal(alpha=0).fit(train, run=RUN).maps[(Domain(rate=2.0),)]
    assert mapping.weight is not None
    assert torch.allclose(mapping.weight, scale, atol=1e-5)
    assert torch.allclose(mapping.bias, shift, atol=1e-5)


def test_ridge_finds_a_linear_map_with_bias() -> None:
    source, matrix, shift = normal(200, 5), normal(5, 5, seed=1), normal(5, seed=2)
    train = paired_features(source, source @ matrix + shift)
    assert error_of(Ridge(alpha=1e-9), train) < 1e-10
    assert error_of(Ridge(alpha=1e9), train) == pytest.approx(error_of(MeanShift(), train), rel=1e-5)


@pytest.mark.parametrize("rows", [6, 30])
def test_ridge_gives_the_normal_equations_in_both_forms(rows: int) -> None:
    source, target = normal(rows, 12), normal(rows, 12, seed=1)
    mapping = Ridge(alpha=0.5).fit(paired_features(source, target), run=RUN).maps[(Domain(rate=2.0),)]
    s, t = (x.double() - x.double().mean(dim=0) for x in (source, target))
    penalty = 0.5 * float(s.square().sum()) / 12
    w = np.linalg.solve((s.T @ s).numpy() + penalty * np.eye(12), (s.T @ (t - s)).numpy())
    assert mapping.weight is not None
    assert np.allclose(mapping.weight.numpy(), w + np.eye(12), atol=1e-5)


def test_procrustes_finds_a_rotation() -> None:
    source, shift = normal(100, 6), normal(6, seed=2)
    rotation = torch.linalg.qr(normal(6, 6, seed=1))[0]
    train = paired_features(source, source @ rotation + shift)
    mapping = Procrustes(shrink=0).fit(train, run=RUN).maps[(Domain(rate=2.0),)]
    assert mapping.weight is not None
    assert torch.allclose(mapping.weight, rotation, atol=1e-5)
    assert error_of(Procrustes(shrink=0), train) < 1e-10


def test_procrustes_equals_scipys() -> None:
    source, target = normal(40, 6), normal(40, 6, seed=1)
    mapping = Procrustes(shrink=0).fit(paired_features(source, target), run=RUN).maps[(Domain(rate=2.0),)]
    s, t = ((x.double() - x.double().mean(dim=0)).numpy() for x in (source, target))
    assert mapping.weight is not None
    assert np.allclose(mapping.weight.numpy(), scipy.linalg.orthogonal_procrustes(s, t)[0], atol=1e-5)


def test_procrustes_is_the_identity_where_the_rows_say_nothing() -> None:
    basis = torch.linalg.qr(normal(12, 12))[0].double()
    seen, unseen = basis[:, :3], basis[:, 3:]
    source = (normal(50, 3, seed=1).double() @ seen.T).float()
    mapping = Procrustes().fit(paired_features(source, source * 2), run=RUN).maps[(Domain(rate=2.0),)]
    assert mapping.weight is not None
    assert torch.allclose(mapping.weight.double() @ unseen, unseen, atol=1e-5)


def test_coral_matches_mean_and_covariance_without_pairs() -> None:
    source, target = normal(500, 4) @ normal(4, 4, seed=3), normal(400, 4, seed=1) @ normal(4, 4, seed=2) + 5
    rows = Samples(keys=[f"lr {i}" for i in range(500)], pids=np.arange(500), rates=2)
    hr = Samples(keys=[f"hr {i}" for i in range(400)], pids=np.arange(400) + 1000)
    train = TrainFeatures(source=Features(source, rows), target=Features(target, hr))
    mapped = Coral(shrink=1e-9).fit(train, run=RUN)(train.source).x
    assert torch.allclose(mapped.mean(dim=0), target.mean(dim=0), atol=1e-3)
    covariance, wanted = (torch.cov(x.double().T, correction=0) for x in (mapped, target))
    assert torch.allclose(covariance, wanted, rtol=1e-3, atol=1e-3)


def test_coral_needs_hr_features_that_vary() -> None:
    train = paired_features(normal(5, 3), torch.ones(5, 3))
    with pytest.raises(DataError, match="coral: 5 HR training features without variation"):
        Coral().fit(train, run=RUN)


@pytest.mark.parametrize("aligner", FITTED)
def test_maps_help_on_a_shift(aligner: Any) -> None:
    train = train_features(persons=60, shift=2.0)
    assert error_of(aligner(), train) < 0.25 * error_of(Identity(), train)


@pytest.mark.parametrize("aligner", FITTED)
def test_hr_rows_are_returned_bit_for_bit(aligner: Any) -> None:
    train = train_features()
    transform = aligner().fit(train, run=RUN)
    assert torch.equal(transform(train.target).x.view(torch.int32), train.target.x.view(torch.int32))


@pytest.mark.parametrize("aligner", PAIRED)
def test_scope_shared_has_one_map(aligner: Any) -> None:
    train = train_features()
    apart, shared = (aligner(scope=scope).fit(train, run=RUN) for scope in ("per_rate", "shared"))
    assert apart.parameter_count == 3 * shared.parameter_count
    assert next(iter(shared.state())).startswith("rgb@2.0+rgb@3.0+rgb@4.0/")


@pytest.mark.parametrize("aligner", FITTED)
def test_state_passes_through_safetensors(aligner: Any) -> None:
    train = train_features()
    transform = aligner().fit(train, run=RUN)
    state = safetensors.torch.load(safetensors.torch.save(transform.state()))
    assert torch.equal(aligner().restore(state)(train.source).x, transform(train.source).x)


def test_a_state_without_bias_is_refused() -> None:
    with pytest.raises(DataError, match=r"lacks 'rgb@2\.0/bias'"):
        Ridge().restore({"rgb@2.0/weight": torch.eye(3)})


def test_auto_pairs_are_image_pairs_where_they_exist_and_the_choice_is_told(caplog: pytest.LogCaptureFixture) -> None:
    train = train_features(shift=2.0)
    renamed = attrs.evolve(train.source.rows, keys=[f"lr {key}" for key in train.source.rows.keys])
    apart = TrainFeatures(source=Features(train.source.x, renamed), target=train.target)
    for data, rule, words in ((train, "image", "image pairs"), (apart, "id_mean", "identity means")):
        with caplog.at_level(logging.INFO, logger="crbench"):
            auto = Ridge().fit(data, run=RUN)
        assert words in caplog.records[-1].message
        told = Ridge(pairs=rule).fit(data, run=RUN)  # type: ignore[arg-type]
        assert torch.equal(auto(train.source).x, told(train.source).x)
    with pytest.raises(DataError, match="image pairs do not exist"):
        Ridge(pairs="image").fit(apart, run=RUN)


@pytest.mark.parametrize("aligner", FITTED)
def test_features_that_are_not_finite_are_refused(aligner: Any) -> None:
    train = train_features()
    train.target.x[4, 0] = float("nan")
    with pytest.raises(DataError, match="target features of 1 of 24 training rows"):
        aligner().fit(train, run=RUN)


def test_features_of_another_length_are_refused() -> None:
    transform = AffineTransform({(Domain(rate=2.0),): Affine(torch.zeros(3))})
    with pytest.raises(DataError, match="features have 16 columns, but the map was fitted on 3"):
        transform(random_features(rates=(2,)))


@pytest.mark.parametrize(
    ("aligner", "options"),
    [
        (Ridge, {"alpha": 0}),
        (Diagonal, {"alpha": -1}),
        (Procrustes, {"shrink": -1}),
        (Coral, {"shrink": 0}),
        (MeanShift, {"pairs": "bootstrap"}),
        (MeanShift, {"scope": "all"}),
    ],
)
def test_values_out_of_range_are_refused(aligner: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        aligner(**options)

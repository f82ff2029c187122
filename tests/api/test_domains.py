"""The helpers of `crbench.api.pairing` that aligners share."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crbench.api.domains import domains_key, nearest_domain, parse_domains
from crbench.api.pairing import TrainFeatures, by_scope, check_alignable
from crbench.errors import DataError
from crbench.records import Domain
from crbench.testing import train_features

TRAINED = [Domain(rate=2.0), Domain(rate=3.0), Domain(rate=4.0)]

domains = st.builds(
    Domain, st.text("abcdefghijklmnopqrstuvwxyz-_@", min_size=1, max_size=8), st.floats(1, 999, width=32)
)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(2.0, 2.0), (3.0, 3.0), (1.1, 2.0), (2.3, 2.0), (2.5, 3.0), (3.4, 3.0), (3.5, 4.0), (9.0, 4.0)],
)
def test_an_unseen_rate_takes_the_nearest_image_size(rate: float, expected: float) -> None:
    assert nearest_domain(Domain(rate=rate), TRAINED) == Domain(rate=expected)


@pytest.mark.parametrize(("rate", "lower", "higher"), [(4.0, 3.0, 6.0), (2.4, 2.0, 3.0), (2.1, 1.75, 2.625)])
@pytest.mark.parametrize("kind", [float, np.float32])
def test_of_two_equally_near_rates_the_lower_one_serves(
    rate: float, lower: float, higher: float, kind: Callable[[float], float]
) -> None:
    trained = [Domain(rate=higher), Domain(rate=lower)]
    assert nearest_domain(Domain(rate=float(kind(rate))), trained) == Domain(rate=lower)


@pytest.mark.parametrize("trained", [TRAINED, []])
@pytest.mark.parametrize("domain", [Domain(), Domain("infrared"), Domain("infrared", 3.0)])
def test_targets_and_unknown_modalities_stay_as_they_are(domain: Domain, trained: list[Domain]) -> None:
    assert nearest_domain(domain, trained) is None


def test_a_modality_is_a_source_at_rate_1_too() -> None:
    trained = [Domain("infrared", 1.0)]
    assert nearest_domain(Domain("infrared", 1.0), trained) == trained[0]
    assert nearest_domain(Domain("infrared", 3.0), trained) == trained[0]


@given(st.lists(domains, min_size=1, max_size=5))
def test_a_key_names_its_domains(wanted: list[Domain]) -> None:
    assert parse_domains(domains_key(wanted)) == tuple(wanted)


@pytest.mark.parametrize("key", ["", "rgb", "rgb@", "rgb@two", "rgb@2+"])
def test_other_texts_are_no_keys(key: str) -> None:
    with pytest.raises(DataError, match="names no domains"):
        parse_domains(key)


def test_scopes_share_all_pairs_or_divide_them() -> None:
    pairs = train_features().pairs("image")
    [(together, all_pairs)] = list(by_scope(pairs, "shared"))
    assert together == tuple(TRAINED)
    assert all_pairs is pairs
    parts = list(by_scope(pairs, "per_rate"))
    assert [served for served, _ in parts] == [(domain,) for domain in TRAINED]
    assert all(set(part.source.rows.rates) == {served[0].rate} for served, part in parts)
    assert sum(len(part) for _, part in parts) == len(pairs)
    with pytest.raises(ValueError, match="unknown scope 'each'"):
        list(by_scope(pairs, "each"))  # type: ignore[arg-type]


def test_features_of_varying_length_are_refused() -> None:
    train = train_features()
    cut = attrs.evolve(train.source, dims=torch.full((len(train.source),), 8))
    with pytest.raises(DataError, match="source features vary in length"):
        check_alignable(TrainFeatures(source=cut, target=train.target))


def test_numpy_features_are_checked_too() -> None:
    train = train_features()
    x = train.source.x.numpy().copy()
    check_alignable(TrainFeatures(source=attrs.evolve(train.source, x=x), target=train.target))
    x[:2, 1] = np.inf
    with pytest.raises(DataError, match="source features of 2 of 72 training rows"):
        check_alignable(TrainFeatures(source=attrs.evolve(train.source, x=x), target=train.target))

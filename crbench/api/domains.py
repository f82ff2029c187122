"""Maps by domain: which map serves which rows, how it is applied, and its name in a transform's state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import attrs
import numpy as np

from crbench.arrays import Array
from crbench.data.rates import exact_rate, nearest_rate
from crbench.errors import DataError
from crbench.numerals import parse_number
from crbench.records import Domain, TestFeatures

Map = TypeVar("Map")


def map_by_domain(
    feats: TestFeatures, maps: Mapping[tuple[Domain, ...], Map], apply: Callable[[Map, Array], Array]
) -> TestFeatures:
    """The features with the rows of each served domain mapped; all other rows come back bit for bit.

    Args:
        maps: each map with the domains that it was fitted for; `nearest_domain` decides on others.
        apply: called once with each map that serves any rows and all these rows, f32[m, D]; gives f32[m, D].
    """
    import torch

    serving = {domain: domains for domains in maps for domain in domains}
    served = {domains: np.zeros(len(feats), dtype=bool) for domains in maps}
    for domain, mask in feats.rows.domains():
        nearest = nearest_domain(domain, serving)
        if nearest is not None:
            served[serving[nearest]] |= mask
    x = feats.x.clone() if any(mask.any() for mask in served.values()) else feats.x
    for domains, mask in served.items():
        if mask.any():
            index = torch.from_numpy(np.flatnonzero(mask)).to(x.device)
            x[index] = apply(maps[domains], x[index])
    return attrs.evolve(feats, x=x)


def nearest_domain(domain: Domain, trained: Iterable[Domain]) -> Domain | None:
    """The trained source domain whose map serves rows of `domain`; None where the rows stay as they are.

    A domain that was not trained takes the one of its modality that is nearest in 1/rate, that is, in image size; see
    `crbench.data.rates.nearest_rate`. HR rows, and modalities without any trained domain, stay as they are.

    Example:
        >>> trained = [Domain(rate=2), Domain(rate=3), Domain(rate=4)]
        >>> nearest_domain(Domain(rate=8), trained)
        Domain(modality='rgb', rate=4)
        >>> nearest_domain(Domain(rate=1), trained) is None
        True
    """
    rates = [other.rate for other in trained if other.modality == domain.modality]
    if domain.rate in rates:
        return domain
    if domain.rate == 1 or not rates:
        return None
    return Domain(domain.modality, nearest_rate(1 / exact_rate(domain.rate), rates))


def domains_key(domains: Iterable[Domain]) -> str:
    """The domains that a map serves as text, for the keys of a transform's state; `parse_domains` reads it.

    Example:
        >>> domains_key([Domain(rate=2), Domain("infrared")])
        'rgb@2+infrared@1.0'
    """
    return "+".join(f"{domain.modality}@{domain.rate}" for domain in domains)


def parse_domains(key: str) -> tuple[Domain, ...]:
    """The domains of a `domains_key`.

    Raises:
        DataError: `key` is not such a text.

    Example:
        >>> parse_domains("rgb@2.0+infrared@1.0")
        (Domain(modality='rgb', rate=2.0), Domain(modality='infrared', rate=1.0))
    """
    domains = []
    for part in key.split("+"):
        modality, _, rate = part.rpartition("@")
        try:
            domains.append(Domain(modality, parse_number(rate)))
        except ValueError as error:
            raise DataError(f"state key {key!r} names no domains; expected e.g. 'rgb@2.0+rgb@3.0'") from error
    return tuple(domains)

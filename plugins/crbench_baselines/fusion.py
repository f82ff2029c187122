"""What stands between unit features and the two halves of match-rate: centres by rate, and weights of the halves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from crbench.api import Domain, TestFeatures, TrainFeatures, Transform, nearest_domain
from crbench.errors import DataError

Fit = Callable[[TrainFeatures], Transform | None]
"""Fits the inner aligner on some training rows; None = there is none."""

GRID = tuple(place / 10 for place in range(11))
"""Weights of the first half that are tried."""

_CENTRES, _CENTRE_RATES, _WEIGHTS = "match-rate/centres", "match-rate/centre_rates", "match-rate/weights"
_QUERIES = 512
"""Of a rate and half of the people, drawn; they bound the time."""


@attrs.frozen(eq=False)
class Fusion:
    """Centres and weights; none of either = unit features as they are, and equal halves.

    Attributes:
        centres: f32[D] by rate, that of HR under 1.
        weights: of the first half of a query, by its rate; the second half has the rest.
    """

    centres: Mapping[float, Tensor] = attrs.field(factory=dict)
    weights: Mapping[float, float] = attrs.field(factory=dict)

    def unit(self, feats: TestFeatures) -> Tensor:
        """Unit features f32[n, D], less the centre of each row's rate."""
        return normalize(feats.x - self._by_rate(feats, self._centre)) if self.centres else normalize(feats.x)

    def aligned(self, feats: TestFeatures) -> Tensor:
        """Unit features of rows that were brought to HR."""
        return normalize(feats.x - self.centres[1.0].to(feats.x.device)) if self.centres else normalize(feats.x)

    def halves(self, feats: TestFeatures, first: Tensor, second: Tensor) -> Tensor:
        """Both halves f32[n, 2 D] side by side; those of queries, which have no views, with their weights."""
        if self.weights and not feats.views:
            share = self._by_rate(feats, self._share).to(first)
            first, second = share * first, (1 - share) * second
        return torch.cat([first, second], dim=1)

    def state(self) -> dict[str, Tensor]:
        """What `from_state` reads."""
        found = {}
        if self.centres:
            found[_CENTRES] = torch.stack(list(self.centres.values()))
            found[_CENTRE_RATES] = torch.tensor(list(self.centres), dtype=torch.float64)
        if self.weights:
            found[_WEIGHTS] = torch.tensor(list(self.weights.items()), dtype=torch.float64)
        return found

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Fusion:
        """The fusion that had this state."""
        rates = state[_CENTRE_RATES].tolist() if _CENTRE_RATES in state else []
        centres = dict(zip(rates, state[_CENTRES], strict=True)) if rates else {}
        return cls(centres, dict(state[_WEIGHTS].tolist()) if _WEIGHTS in state else {})

    def _by_rate(self, feats: TestFeatures, value: Callable[[Domain], Tensor]) -> Tensor:
        """A value for each row, [n, D] or [n, 1]."""
        found: Tensor | None = None
        for domain, mask in feats.rows.domains():
            own = value(domain).to(feats.x)
            if found is None:
                found = torch.zeros((len(feats), len(own)), dtype=own.dtype, device=own.device)
            found[torch.from_numpy(np.flatnonzero(mask)).to(own.device)] = own
        return torch.zeros((0, 1)) if found is None else found

    def _centre(self, domain: Domain) -> Tensor:
        return self.centres[_nearest(domain, self.centres)]

    def _share(self, domain: Domain) -> Tensor:
        return torch.tensor([self.weights[_nearest(domain, self.weights)] if domain.rate > 1 else 0.5])


def _nearest(domain: Domain, rates: Mapping[float, object]) -> float:
    """The rate whose value serves a domain."""
    found = nearest_domain(domain, [Domain(domain.modality, rate) for rate in rates if rate > 1])
    return 1.0 if found is None else found.rate


def centres_of(train: TrainFeatures) -> dict[float, Tensor]:
    """Means of HR and of LR features at each rate, each image once.

    Raises:
        DataError: there are no HR or no LR training rows.
    """
    if not len(train.source) or not len(train.target):
        raise DataError("match-rate: centre takes the means of HR and LR training rows, and one of both is missing")
    found = {1.0: train.target.x.mean(dim=0)}
    for domain, mask in train.source.rows.domains():
        found[domain.rate] = train.source.x[torch.from_numpy(np.flatnonzero(mask))].mean(dim=0)
    return found


def learned_weights(train: TrainFeatures, fit: Fit, *, centre: bool, generator: torch.Generator) -> dict[float, float]:
    """The weight of the first half by rate that gives the highest mAP on training people.

    People are parted in two halves; on each, a weight is judged with centres and an inner aligner of the other half.

    Args:
        fit: see `Fit`.
        generator: of the CPU.

    Raises:
        DataError: no image is there in HR and in LR, or nobody is seen by two cameras.
    """
    if not np.isin(train.source.rows.keys, train.target.rows.keys).any():
        raise DataError(
            "match-rate: weights=learned needs training images that are there in HR and in LR, so a protocol that "
            "shrinks HR training images, such as --set protocol.train_rates=[2,3,4]"
        )
    people = np.unique(train.target.rows.pids)
    order = people[torch.randperm(len(people), generator=generator).numpy()]
    sums: dict[float, Tensor] = {}
    for chosen in (order[::2], order[1::2]):
        own, others = _parted(train, chosen)
        fusion = Fusion(centres_of(others) if centre else {})
        for rate, first, second, matches, hidden in _compared(own, fit(others), fusion, generator):
            sums[rate] = sums.get(rate, torch.zeros(len(GRID))) + _precisions(first, second, matches, hidden)
    if not any(float(precision.max()) > 0 for precision in sums.values()):
        raise DataError("match-rate: weights=learned needs training people who are seen by two cameras")
    return {rate: _best(sums[rate]) for rate in sorted(sums)}


def _best(precision: Tensor) -> float:
    """The weight of the highest sum; of equal ones the one that is nearest to one half."""
    values, highest = precision.tolist(), float(precision.max())
    return min((weight for weight, value in zip(GRID, values, strict=True) if value == highest), key=_from_half)


def _from_half(weight: float) -> float:
    return abs(weight - 0.5)


def _parted(train: TrainFeatures, people: NDArray[np.int64]) -> tuple[TrainFeatures, TrainFeatures]:
    """The rows of some people, and those of all others."""
    own, others = [], []
    for side in (train.source, train.target):
        mask = np.isin(side.rows.pids, people)
        own.append(side.take(np.flatnonzero(mask)))
        others.append(side.take(np.flatnonzero(~mask)))
    return TrainFeatures(*own), TrainFeatures(*others)


def _compared(
    train: TrainFeatures, inner: Transform | None, fusion: Fusion, generator: torch.Generator
) -> Iterator[tuple[float, Tensor, Tensor, Tensor, Tensor]]:
    """For each rate f32[q, g] the cosines of both halves, and bool[q, g] which are matches and which do not count.

    Query i is an LR image. Gallery image j stands for itself in the first half, and for its LR copy in the second.
    """
    pairs = train.pairs("image")
    for domain, mask in pairs.source.rows.domains():
        rows = np.flatnonzero(mask)
        lr, hr = pairs.source.take(rows), pairs.target.take(rows)
        some = torch.randperm(len(rows), generator=generator).numpy()[:_QUERIES]
        query, shrunk, gallery = (TestFeatures.of(one) for one in (lr.take(some), lr, hr))
        own = fusion.unit(query)
        aligned = own if inner is None else fusion.aligned(inner(query))
        same = torch.from_numpy(lr.rows.pids[some][:, None] == lr.rows.pids)
        hidden = same & torch.from_numpy(lr.rows.camids[some][:, None] == lr.rows.camids)
        hidden[torch.arange(len(some)), torch.from_numpy(some)] = True
        yield domain.rate, aligned @ fusion.unit(gallery).T, own @ fusion.unit(shrunk).T, same & ~hidden, hidden


def _precisions(first: Tensor, second: Tensor, matches: Tensor, hidden: Tensor) -> Tensor:
    """The sums over queries of average precision, f32[len(GRID)], for each weight of the first half."""
    matches, hidden = matches.to(first.device), hidden.to(first.device)
    found = []
    for weight in GRID:
        similar = (weight * first + (1 - weight) * second).masked_fill(hidden, -torch.inf)
        ranked = torch.gather(matches, 1, similar.argsort(dim=1, descending=True)).float()
        precision = ranked.cumsum(dim=1) / torch.arange(1, ranked.shape[1] + 1, device=ranked.device)
        found.append((precision * ranked).sum(dim=1) / ranked.sum(dim=1).clamp(min=1))
    return torch.stack(found).sum(dim=1).cpu()

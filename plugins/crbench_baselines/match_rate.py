"""Match-rate: a query meets the gallery as it is, and the gallery shrunk as the query was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import attrs
import numpy as np
import torch
from attrs import validators as v
from torch import Tensor
from torch.nn.functional import normalize

from crbench.api import (
    Aligner,
    CountsParameters,
    MayLearnNothing,
    OtherMethod,
    Restorable,
    RunContext,
    Stateful,
    TestFeatures,
    TestRows,
    TrainFeatures,
    TrainingSession,
    Transform,
)
from crbench.errors import DataError
from crbench_baselines.fusion import Fusion, centres_of, learned_weights

Halves = Literal["both", "matched"]
Rates = Literal["query", "all"]
Weights = Literal["equal", "learned"]
_RATES = "match-rate/rates"
_INNER = "inner/"


@attrs.frozen
class MatchRate:
    """Unit features side by side: the aligned query meets the gallery, and the query itself the shrunk gallery.

    The cosine of two such features is the mean of both cosines, so any gallery, engine and shard works as before.

    Attributes:
        inner: the aligner of the query for the first half; None = the query as it is.
        halves: ``both``, or ``matched``: the second one alone.
        rates: the shrunk gallery has the rate of the query (``query``), or is the mean of the unit features at every
            trained rate (``all``), for which the query's rate need not be known.
        centre: the mean of the training features of each rate, HR among them, is subtracted before the cosine.
        weights: the halves count the same (``equal``), or as is best for training people at each rate (``learned``):
            nested, with an inner aligner that did not see them, and never by test images.

    Raises:
        ValueError: `inner` matches rates itself or would not be used, or weights would not be.
    """

    inner: Annotated[Aligner | None, OtherMethod("aligner")] = attrs.field(default=None)
    halves: Halves = attrs.field(default="both", validator=v.in_(("both", "matched")))
    rates: Rates = attrs.field(default="query", validator=v.in_(("query", "all")))
    centre: bool = attrs.field(default=False, validator=v.instance_of(bool))
    weights: Weights = attrs.field(default="equal", validator=v.in_(("equal", "learned")))

    def __attrs_post_init__(self) -> None:
        if isinstance(self.inner, MatchRate):
            raise ValueError("inner: match-rate cannot hold itself")
        if self.inner is not None and self.halves == "matched":
            raise ValueError("inner: halves=matched leaves the query as it is; use halves=both, or no inner aligner")
        if self.weights == "learned" and (self.halves == "matched" or self.rates == "all"):
            raise ValueError("weights: learned ones are of two halves, by rate; use halves=both and rates=query")

    @property
    def learns(self) -> bool:
        """Whether the inner aligner does, or the training rows count otherwise."""
        if self.rates == "all" or self.centre or self.weights == "learned":
            return True
        return self.inner is not None and not (isinstance(self.inner, MayLearnNothing) and not self.inner.learns)

    def fit(self, train: TrainFeatures, *, run: RunContext) -> MatchRateTransform:
        """Fit the inner aligner, centres and weights.

        Raises:
            DataError: there are no LR training rows, whose rates `rates` = ``all`` takes; or see `fusion`.
        """

        fusion = Fusion(centres_of(train) if self.centre else {}, self._weights(train, run))
        inner = None if self.inner is None else self.inner.fit(train, run=run)
        return self._transform(inner, np.unique(train.source.rows.rates).tolist(), fusion)

    def restore(self, state: Mapping[str, Tensor]) -> MatchRateTransform:
        """The transform that had this state.

        Raises:
            DataError: it is not the state of such a transform.
        """
        if _RATES not in state:
            raise DataError(f"state of match-rate lacks {_RATES!r}; it holds {', '.join(list(state)[:3]) or 'nothing'}")
        own = {key.removeprefix(_INNER): value for key, value in state.items() if key.startswith(_INNER)}
        inner = self.inner.restore(own) if isinstance(self.inner, Restorable) else None
        return self._transform(inner, state[_RATES].tolist(), Fusion.from_state(state))

    def _weights(self, train: TrainFeatures, run: RunContext) -> dict[float, float]:
        if self.weights == "equal":
            return {}
        # A fit on half of the people is not the one that the harness keeps and continues.
        nested = attrs.evolve(run, session=TrainingSession())

        def fit(rows: TrainFeatures) -> Transform | None:
            return None if self.inner is None else self.inner.fit(rows, run=nested)

        generator = torch.Generator().manual_seed(run.seed)
        found = learned_weights(train, fit, centre=self.centre, generator=generator)
        shown = ", ".join(f"{weight:g} at x{rate:g}" for rate, weight in found.items())
        run.logger.info("match-rate: weight of the first half, learned on training people: %s", shown)
        return found

    def _transform(self, inner: Transform | None, trained: list[float], fusion: Fusion) -> MatchRateTransform:
        if self.rates == "all" and not trained:
            raise DataError("rates=all takes the rates of the LR training rows, and there are none")
        rates = tuple(trained) if self.rates == "all" else None
        if inner is None or (isinstance(inner, Stateful) and isinstance(self.inner, Restorable)):
            return KeptMatchRateTransform(inner, self.halves, rates, fusion)
        return MatchRateTransform(inner, self.halves, rates, fusion)


@attrs.frozen(eq=False)
class MatchRateTransform:
    """Features of length 2 D, or of length D where only the second half is asked for.

    Attributes:
        inner: the fitted transform of queries for the first half.
        rates: those of the shrunk gallery; None = that of the query.
        fusion: centres, and weights of the halves.
    """

    inner: Transform | None
    halves: Halves
    rates: tuple[float, ...] | None
    fusion: Fusion

    @property
    def parameter_count(self) -> int | None:
        """Learned values of the inner transform, of centres and weights; None = not known."""
        own = sum(len(centre) for centre in self.fusion.centres.values()) + len(self.fusion.weights)
        if self.inner is None:
            return own
        if isinstance(self.inner, CountsParameters):
            count: int = self.inner.parameter_count
            return own + count
        if not isinstance(self.inner, Stateful):
            return None
        return own + sum(int(tensor.numel()) for tensor in self.inner.state().values())

    def gallery_for(self, gallery: TestRows, rate: float) -> TestRows | tuple[TestRows, ...]:
        """The gallery as it is, and shrunk to the rate of the query or to all trained ones."""
        rates = (rate,) if self.rates is None else self.rates
        shrunk = [attrs.evolve(gallery, rates=np.maximum(gallery.rates, one)) for one in rates if one > 1]
        if not shrunk:
            # two views tell the gallery from the queries, which alone have weights
            return (gallery, gallery) if self.fusion.weights else gallery
        return (gallery, *shrunk) if self.halves == "both" else tuple(shrunk)

    def __call__(self, feats: TestFeatures) -> TestFeatures:
        """f32[n, 2 D]: a query has no views and stands for itself in the second half."""
        encodings = [self.fusion.unit(view) for view in (feats, *feats.views)]
        if self.halves == "matched":
            return attrs.evolve(feats, x=_mean(encodings))
        first = encodings[0]
        if self.inner is not None:
            first = self.fusion.aligned(self.inner(attrs.evolve(feats, views=())))
        return attrs.evolve(feats, x=self.fusion.halves(feats, first, _mean(encodings[1:] or encodings)))


@attrs.frozen(eq=False)
class KeptMatchRateTransform(MatchRateTransform):
    """One whose inner transform can be kept, so that it can, too."""

    def state(self) -> dict[str, Tensor]:
        """Rates, centres and weights, and the state of the inner transform under ``inner/``."""
        inner: Mapping[str, Tensor] = self.inner.state() if isinstance(self.inner, Stateful) else {}
        own = {_RATES: torch.tensor(self.rates or ()), **self.fusion.state()}
        return own | {f"{_INNER}{key}": value for key, value in inner.items()}


def _mean(encodings: list[Tensor]) -> Tensor:
    """The unit mean of unit features [n, D]."""
    return normalize(torch.stack(encodings).mean(dim=0)) if len(encodings) > 1 else encodings[0]

"""The intervals of a result's scores, as `crbench.statistics.intervals` computes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import attrs
from attrs import validators as v

from crbench.results.scores import finite_number, rate_keys


@attrs.frozen
class Interval:
    """An interval of a score, or of a difference of scores.

    Attributes:
        low, high: its ends, in the unit of the score.
    """

    low: float = attrs.field(converter=finite_number)
    high: float = attrs.field(converter=finite_number)

    def __attrs_post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"an interval from {self.low} to {self.high}: its low end is above its high end")


@attrs.frozen(kw_only=True)
class Intervals:
    """Intervals of the scores of a result, over the people that it was evaluated on.

    Attributes:
        method: how they were computed; see `crbench.statistics`.
        level: the share of such intervals that hold the score over all people, e.g. 0.95.
        replicates: how often people were drawn anew.
        seed: of these draws.
        identities: people among the queries that count, in all trials together.
        metrics: by score. One without an interval is missing here.
        by_rate: `metrics` of the queries of each rate.
    """

    method: str
    level: float = attrs.field(validator=[v.gt(0), v.lt(1)])
    replicates: int = attrs.field(validator=[v.ge(1), v.le(100_000)])
    seed: int = attrs.field(validator=v.ge(0))
    identities: int = attrs.field(validator=v.ge(1))
    metrics: Mapping[str, Interval]
    by_rate: Mapping[str, Mapping[str, Interval]] = attrs.field(factory=dict, validator=rate_keys)

    def check_names(self, metrics: Collection[str], by_rate: Mapping[str, Collection[str]]) -> None:
        """Refuse intervals of scores that a result does not have.

        Raises:
            ValueError: such an interval, with its name.
        """
        parts = {"": (self.metrics, metrics), **{f"{r}.": (own, by_rate.get(r, ())) for r, own in self.by_rate.items()}}
        for where, (own, known) in parts.items():
            if unknown := [name for name in own if name not in known]:
                raise ValueError(f"intervals: of {where}{unknown[0]}, which is no score of this result")

    def without(self, names: Collection[str]) -> Intervals:
        """The same but for the scores of some names."""

        def kept(metrics: Mapping[str, Interval]) -> dict[str, Interval]:
            return {name: one for name, one in metrics.items() if name not in names}

        by_rate = {rate: kept(metrics) for rate, metrics in self.by_rate.items()}
        return attrs.evolve(self, metrics=kept(self.metrics), by_rate=by_rate)

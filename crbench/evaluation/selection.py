"""Which metrics an evaluation gives, and which its protocol does not define."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from crbench.errors import ConfigError
from crbench.metrics.choice import ChosenMetric, choose
from crbench.protocol import EvalProtocol


@attrs.frozen(eq=False)
class Selection:
    """The metrics of an evaluation.

    Attributes:
        metrics: those that the protocol defines.
        undefined: default metrics that it does not define, with the reason.
    """

    metrics: tuple[ChosenMetric, ...]
    undefined: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics that are given."""
        return tuple(one.name for one in self.metrics)

    @classmethod
    def of(cls, protocol: EvalProtocol, names: Iterable[str] = ()) -> Selection:
        """The default metrics, and those named.

        Raises:
            ConfigError: a name that is unknown, or of a metric that the protocol does not define.
            PluginError: a metric that is named cannot be used.
        """
        names = tuple(names)
        found = choose(names)
        reasons = {one.name: reason for one in found if (reason := _why_undefined(one, protocol)) is not None}
        for name in names:
            if name in reasons:
                raise ConfigError(f"metric {name!r} is undefined: {reasons[name]}")
        return cls(tuple(one for one in found if one.name not in reasons), reasons)


def _why_undefined(chosen: ChosenMetric, protocol: EvalProtocol) -> str | None:
    if chosen.metric.needs == "ranks" and not protocol.scoring.multi_shot and protocol.scoring.ap_gallery != "all":
        return (
            f"a single-shot gallery (shot={protocol.scoring.shot}) shows one match of each query; "
            "ap_gallery=all takes it over all gallery images"
        )
    if not chosen.metric.higher_is_better and protocol.scoring.unmatched == "zero":
        return (
            "with unmatched=zero a query without a match counts with 0, which is the best value; use unmatched=ignore"
        )
    return None

"""Which metrics an evaluation gives, and the call that checks what a metric gives back."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.metric import Metric
from crbench.errors import ConfigError, PluginError
from crbench.metrics.registry import METRICS
from crbench.registry.code import code_sha256
from crbench.registry.discovery import Registered, installed
from crbench.registry.guard import Owner, plugin_stage
from crbench.registry.targets import load_target

_log = logging.getLogger(__name__)

_ROUNDING = 1e-9
"""How far a fraction may pass 0 or 1, as sums do."""


@attrs.frozen(eq=False)
class ChosenMetric:
    """A metric that is ready to be called; what it does wrong names it and its plugin."""

    metric: Metric
    owner: Owner
    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metric.name

    @property
    def code_sha256(self) -> str | None:
        """Of the code of a plugin's metric, see `crbench.registry.code`; None = it cannot be read, or is our own."""
        return None if self.metric in METRICS else code_sha256(self.metric)

    @property
    def known(self) -> bool:
        """Changes of its code are seen: those of ours raise `crbench.protocol.EVALUATION_VERSION`."""
        return self.metric in METRICS or self.code_sha256 is not None

    def __call__(
        self, *arrays: NDArray[Any], valid: NDArray[np.bool_], rules: Mapping[str, Any]
    ) -> NDArray[np.float64]:
        """f64[q], the value of each query; NaN for a query without a match.

        Args:
            arrays: what the metric needs, see `crbench.metrics`.
            valid: bool[q], queries with a match.
            rules: fields of the protocol, by name.

        Raises:
            PluginError: the metric fails, or gives another shape, no numbers, or values out of range.
        """
        with plugin_stage(self.owner, f"metric {self.name!r}", passing=()):
            options = {name: rules[name] for name in self.metric.rules}
            found = self.function(*map(_read_only, arrays), **options)
            if isinstance(found, np.ma.MaskedArray):  # what is masked would be taken for values
                raise self._fault("a masked array", "real numbers")
            given = np.asarray(found)
            if given.dtype.kind not in "biuf":
                raise self._fault(f"values of dtype {given.dtype}", "real numbers")
            values = given.astype(np.float64)
        if values.shape != valid.shape:
            raise self._fault(f"an array of shape {values.shape}", f"{valid.shape}, one value for each query")
        least, most = (-_ROUNDING, 1 + _ROUNDING) if self.metric.unit == "fraction" else (-np.inf, np.inf)
        wrong = np.flatnonzero(valid & ~(np.isfinite(values) & (values >= least) & (values <= most)))
        if len(wrong):
            expected = "a fraction in [0, 1]" if self.metric.unit == "fraction" else "a finite number"
            raise self._fault(f"{values[wrong[0]]} for query row {wrong[0]}", f"{expected} where there is a match")
        return np.where(valid, values, np.nan)

    def _fault(self, given: str, expected: str) -> PluginError:
        return PluginError(f"{self.owner}: metric {self.name!r} gives {given}; expected {expected}")


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers, which the next metric and the reader of the curves get too."""
    view = array.view()
    view.flags.writeable = False
    return view


def choose(names: Iterable[str] = ()) -> tuple[ChosenMetric, ...]:
    """The metrics that are given by default, and those named: ours first, then those of plugins.

    A plugin's metric that cannot be used (another API, a name that is taken, a function that cannot be imported) is
    left out, or refused where it is named.

    Raises:
        ConfigError: nobody offers a metric of that name, or two of one name are chosen.
        PluginError: it cannot be used, or its function cannot be imported.

    Example:
        >>> [chosen.name for chosen in choose(["nDCG"])][:3]
        ['mAP', 'mINP', 'nDCG']
    """
    registry = installed()
    named = [registry.get("metric", name) for name in dict.fromkeys(names)]
    found = [item for item in registry.entries if item.kind == "metric"]
    usable = [
        item
        for item in found
        if item in named
        or (not item.incompatible and (item.entry in METRICS or len(registry.claims("metric", item.entry.name)) == 1))
    ]
    _check_distinct(usable)
    chosen: list[ChosenMetric] = []
    for item in usable:
        if item in named:
            chosen.append(_ready(item))
        elif item.entry.default:
            try:
                chosen.append(_ready(item))
            except PluginError as error:
                _leave_out(item.entry.name, str(error))
    return tuple(chosen)


def _check_distinct(chosen: Iterable[Registered[Metric]]) -> None:
    """Refuse two metrics of one name: a result knows them by it."""
    owners: dict[str, Registered[Metric]] = {}
    for item in chosen:
        other = owners.setdefault(item.entry.name, item)
        if other is not item:
            raise ConfigError(f"metric {item.entry.name!r}: {item.owner} and {other.owner} offer one each; choose one")


def _ready(found: Registered[Metric]) -> ChosenMetric:
    return ChosenMetric(found.entry, found.owner, load_target(found))


@functools.cache
def _leave_out(name: str, reason: str) -> None:
    """Say it once per process, not once per trial."""
    _log.warning("metric %r is left out: %s", name, reason)

"""The five hooks of a crbench plugin, and the two markers that declare and implement them.

A plugin is a module (or object) named by an entry point of the group ``crbench``. It implements any of the hooks below
and returns what it offers as data; crbench never calls back into a half-loaded plugin. A hook takes no arguments, and a
marked function stays a plain function:

    >>> from crbench.api.entry import Entry
    >>> @hookimpl
    ... def crbench_aligners():
    ...     return [Entry("mean-shift", "my_package:MeanShift")]
    >>> [entry.name for entry in crbench_aligners()]
    ['mean-shift']
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from crbench.api.entry import Entry
    from crbench.api.metric import Metric

GROUP = "crbench"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def crbench_backbones() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Offer backbones: image to feature (see `crbench.api.interfaces.Backbone`)."""


@hookspec
def crbench_aligners() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Offer aligners: feature to feature, fitted on training features (see `crbench.api.interfaces.Aligner`)."""


@hookspec
def crbench_datasets() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Offer data sets with their protocols (see `crbench.api.interfaces.Dataset`)."""


@hookspec
def crbench_distances() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Offer distances beyond cosine and Euclidean (see `crbench.api.interfaces.Distance`)."""


@hookspec
def crbench_metrics() -> Iterable[Metric]:  # type: ignore[empty-body]
    """Offer scores: ranks of a query's matches to a number (see `crbench.api.metric.Metric`)."""

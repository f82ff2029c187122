"""The four hooks of a crbench plugin, and the marker by which a plugin implements them.

A plugin is a module (or object) named by an entry point of the group ``crbench``. It implements any of the hooks below
and returns what it offers as data; crbench never calls back into a half-loaded plugin. A hook takes no arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from crbench.api.entry import Entry

GROUP = "crbench"

_MARK = "_crbench_hook"

_Hook = TypeVar("_Hook", bound=Callable[..., Any])


def hookimpl(function: _Hook) -> _Hook:
    """Mark a function of a plugin as one of the hooks; its name says which.

    Example:
        >>> from crbench.api.entry import Entry
        >>> @hookimpl
        ... def crbench_aligners():
        ...     return [Entry("mean-shift", "my_package:MeanShift")]
        >>> [entry.name for entry in crbench_aligners()]
        ['mean-shift']
    """
    setattr(function, _MARK, True)
    return function


def is_hook(thing: object) -> bool:
    """Whether `hookimpl` marked it."""
    return getattr(thing, _MARK, None) is True


def crbench_backbones() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Offer backbones: image to feature (see `crbench.api.interfaces.Backbone`)."""


def crbench_aligners() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Offer aligners: feature to feature, fitted on training features (see `crbench.api.interfaces.Aligner`)."""


def crbench_datasets() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Offer data sets with their protocols (see `crbench.api.interfaces.Dataset`)."""


def crbench_metrics() -> Iterable[Entry]:  # type: ignore[empty-body]
    """Offer distances beyond cosine and Euclidean (see `crbench.api.interfaces.Metric`)."""

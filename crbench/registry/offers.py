"""What one plugin offers: its entry point is loaded, pluggy checks its hooks, and each is called as a plain function.

Whatever the plugin raises meanwhile is a `StageError`, so that it concerns no other plugin.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, EntryPoint

import attrs
import pluggy

from crbench._version import __version__
from crbench.api import hooks
from crbench.api.entry import KINDS, Entry, Kind
from crbench.api.metric import Metric
from crbench.registry.guard import UNKNOWN, Owner, quiet_output
from crbench.registry.settings import settings_kept
from crbench.wording import suggestion

OWN_METRICS = EntryPoint("metrics", "crbench.metrics.registry", hooks.GROUP)
"""Our metrics, found like those of plugins, but there even where an installation is older than they are."""


class StageError(Exception):
    """A plugin failed at a stage, ``import`` or ``hook``; `error` is what it raised."""

    def __init__(self, stage: str, error: BaseException) -> None:
        super().__init__(stage)
        self.stage = stage
        self.error = error


def plugin_manager() -> pluggy.PluginManager:
    """What checks the hooks of all plugins."""
    manager = pluggy.PluginManager(hooks.GROUP)
    manager.add_hookspecs(hooks)
    return manager


def load_offers(point: EntryPoint, manager: pluggy.PluginManager) -> list[tuple[Kind, Entry | Metric]]:
    """Kind and record of all that a plugin offers.

    Raises:
        StageError: it cannot be imported, or a hook fails or gives something else.
    """
    stage = "import"
    try:
        with quiet_output(), settings_kept(f"{owner_of(point)}, at import,"):
            plugin = point.load()
            stage = "hook"
            if not manager.is_registered(plugin):  # which refuses arguments that a hook does not have
                manager.register(plugin, name=f"{owner_of(point)} at {point.value}")
            return list(_offers(plugin, manager))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin that exits must not end the program
        raise StageError(stage, error) from error


def owner_of(point: EntryPoint) -> Owner:
    """Whose plugin an entry point names."""
    if point is OWN_METRICS:
        return Owner(plugin=point.name, distribution="crbench", version=__version__)
    if point.dist is None:
        return attrs.evolve(UNKNOWN, plugin=point.name)
    name, version = _name_and_version(point.dist)
    return Owner(plugin=point.name, distribution=name, version=version)


@functools.cache
def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Of a distribution, whose metadata are read and parsed for each of them."""
    return distribution.name, distribution.version


def _offers(plugin: object, manager: pluggy.PluginManager) -> Iterator[tuple[Kind, Entry | Metric]]:
    kinds = {f"{hooks.GROUP}_{kind}s": kind for kind in KINDS}
    for name, attribute in _implemented(plugin, list(kinds), manager).items():
        kind, offered = kinds[name], getattr(plugin, attribute)()
        record = Metric if kind == "metric" else Entry
        if not isinstance(offered, Iterable):
            raise TypeError(f"{name} returned {_shown(offered)}; expected a list of crbench.{record.__name__} records")
        for entry in offered:
            if not isinstance(entry, record):
                hint = "; distances come from crbench_distances" if kind == "metric" else ""
                raise TypeError(f"{name} returned {_shown(entry)}; expected crbench.{record.__name__} records{hint}")
            yield kind, entry


def _shown(offered: object) -> str:
    if isinstance(offered, Entry | Metric):
        return f"the {type(offered).__name__} {offered.name!r}"
    return repr(offered)


def _implemented(plugin: object, known: list[str], manager: pluggy.PluginManager) -> dict[str, str]:
    """The hooks that a plugin implements, in the order of `known`, each with the name of its function.

    Raises:
        TypeError: it marks something that is no hook, forgets the mark, or implements none.
    """
    marks = {name: manager.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
    marked = {mark["specname"] or name: name for name, mark in marks.items() if mark is not None}
    for name in sorted(marked.keys() - set(known)):
        raise TypeError(f"there is no hook {name}{suggestion(name, known)}")
    for name in known:
        if name not in marked and hasattr(plugin, name):
            raise TypeError(f"{name} is not marked as a hook; put @crbench.hookimpl above it")
    if not marked:
        raise TypeError(f"it implements no hook; known: {', '.join(known)}")
    return {name: marked[name] for name in known if name in marked}

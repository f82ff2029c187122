"""Find plugins by their entry points, load each one alone, and look names up.

pluggy's own loading stops at one bad import or one raising hook. So every entry point is loaded by itself, see
`crbench.registry.offers`. What fails becomes a `BrokenPlugin`, and the rest work.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter as clock
from typing import Any, Generic, TypeVar

import attrs

from crbench.api.entry import API_VERSION, KINDS, Entry, Kind
from crbench.api.metric import Metric
from crbench.config.toml import FOLDER
from crbench.errors import ConfigError, CrbenchError, PluginError
from crbench.registry.guard import UNKNOWN, Owner, one_line
from crbench.registry.offers import OWN_METRICS, StageError, load_offers, owner_of, plugin_manager
from crbench.registry.points import installed_points
from crbench.registry.request import Request
from crbench.wording import suggestion

SLOW_S = 1.0
"""Seconds that the import of a plugin may take unmentioned: every command waits for all plugins."""

Offer = TypeVar("Offer", bound=Entry | Metric)


@attrs.frozen
class BrokenPlugin:
    """A plugin that failed to import or whose hook failed; `error` is what it raised."""

    owner: Owner
    stage: str
    error: BaseException

    def __str__(self) -> str:
        return f"{self.owner} failed at {self.stage}: {one_line(self.error)}"


@attrs.frozen
class Registered(Generic[Offer]):
    """What a plugin offers, with its kind and owner; a `Metric` where the kind is ``metric``, else an `Entry`."""

    kind: Kind
    entry: Offer
    owner: Owner

    @property
    def presets(self) -> tuple[str, ...]:
        """Names of its presets; a score has none."""
        return tuple(self.entry.presets) if isinstance(self.entry, Entry) else ()

    @property
    def incompatible(self) -> str | None:
        """Why the entry cannot be used with this crbench, if so."""
        if self.entry.api == API_VERSION:
            return None
        return f"written for plugin API {self.entry.api}, this crbench has API {API_VERSION}"


@attrs.frozen
class PluginRecord:
    """One line of `crbench plugins`: an entry, or a plugin that broke before it offered any.

    `status` is ``ok``, ``incompatible``, ``clash`` or ``broken``; `error` says why it is not ``ok``. `argument` is the
    parameter that text after ``name:`` fills, if any.
    """

    kind: str
    name: str
    distribution: str
    version: str
    status: str
    summary: str = ""
    source: str = ""
    presets: tuple[str, ...] = ()
    argument: str = ""
    error: str = ""

    @property
    def asked(self) -> str:
        """The name as users write it, with what stands for its argument: ``onnx:FILE``."""
        return f"{self.name}:{self.argument.upper()}" if self.argument else self.name


@attrs.frozen
class Registry:
    """All entries that were found, the plugins that broke, and a line on each that takes long to import."""

    entries: tuple[Registered[Any], ...]
    broken: tuple[BrokenPlugin, ...]
    slow: tuple[str, ...] = ()

    def names(self, kind: Kind) -> list[str]:
        """All names of a kind, sorted."""
        return sorted({found.entry.name for found in self.entries if found.kind == kind})

    def claims(self, kind: Kind, name: str) -> list[Registered[Any]]:
        """All entries of that name: one, unless plugins clash or nobody offers it."""
        return [item for item in self.entries if item.kind == kind and item.entry.name == name]

    def get(self, kind: Kind, request: str) -> Registered[Any]:
        """The entry of that name, ``NAME`` or ``DISTRIBUTION::NAME``, with or without preset and argument.

        Raises:
            ConfigError: nobody offers it, or it has no such preset.
            PluginError: two plugins claim it, its API differs, or it may belong to a plugin that is broken.
        """
        parts = Request.parse(request)
        name, claims = parts.name, self.claims(kind, parts.name)
        found = [item for item in claims if parts.distribution in ("", item.owner.distribution)]
        if len(found) > 1:
            owners = " and ".join(str(item.owner) for item in found)
            raise PluginError(f"{kind} {name!r} is claimed by {owners}; {_way_out(found[-1], claims)}")
        if claims and not found:
            owners = ", ".join(dict.fromkeys(item.owner.distribution for item in claims))
            raise ConfigError(f"distribution {parts.distribution!r} offers no {kind} {name!r}; offered by {owners}")
        if not found:
            raise self._unknown(kind, name, self.names(kind))
        if found[0].incompatible:
            raise PluginError(f"{kind} {name!r} of {found[0].owner} cannot be used: {found[0].incompatible}")
        if parts.preset and parts.preset not in found[0].presets:
            hint = suggestion(parts.preset, found[0].presets)
            raise ConfigError(f"unknown preset {parts.preset!r} of {kind} {name!r}{hint}")
        return found[0]

    def records(self) -> Iterator[PluginRecord]:
        """One record per entry and per broken plugin, sorted by kind and name."""
        for item in sorted(self.entries, key=lambda item: (KINDS.index(item.kind), item.entry.name, str(item.owner))):
            claims = self.claims(item.kind, item.entry.name)
            status = "incompatible" if item.incompatible else "clash" if len(claims) > 1 else "ok"
            error = item.incompatible or ""
            if status == "clash":
                others = " and ".join(str(other.owner) for other in claims if other is not item)
                error = f"{others} claims this name too; {_way_out(item, claims)}"
            yield PluginRecord(
                kind=item.kind,
                name=item.entry.name,
                distribution=item.owner.distribution,
                version=item.owner.version,
                status=status,
                summary=item.entry.summary,
                source=item.entry.source,
                presets=item.presets,
                argument=(item.entry.argument or "") if isinstance(item.entry, Entry) else "",
                error=error,
            )
        for plugin in self.broken:
            yield PluginRecord(
                kind="plugin",
                name=plugin.owner.plugin,
                distribution=plugin.owner.distribution,
                version=plugin.owner.version,
                status="broken",
                error=f"{plugin.stage}: {one_line(plugin.error)}",
            )

    def kinds_of(self, request: str) -> tuple[Kind, ...]:
        """The kinds of which there is an entry of that name, ``NAME`` with or without preset, argument and owner.

        With a preset, those that have it, if any has.

        Raises:
            ConfigError: there is none.
            PluginError: it may belong to a plugin that is broken.
        """
        parts = Request.parse(request)
        name = parts.name
        if found := tuple(kind for kind in KINDS if self.claims(kind, name)):
            return (
                tuple(kind for kind in found if any(parts.preset in item.presets for item in self.claims(kind, name)))
                or found
            )
        raise self._unknown("plugin", name, sorted({item.entry.name for item in self.entries}))

    def _unknown(self, kind: str, name: str, known: list[str]) -> CrbenchError:
        hint = suggestion(name, known)
        message = f"unknown {kind} {name!r}{hint}"
        suspects = [plugin for plugin in self.broken if _may_own(plugin.owner, name)]
        likely = max(suspects, key=lambda plugin: _likeness(plugin.owner, name), default=None)
        named = likely is not None and name in _names(likely.owner)
        if likely is not None and (named or "did you mean" not in hint):
            unknown = f"unknown {kind} {name!r}" if named else message
            fault = f"{likely.stage}: {one_line(likely.error)}"
            error = PluginError(f"{unknown}; it may belong to {likely.owner}, which failed at {fault}")
            error.__cause__ = likely.error
            return error
        return ConfigError(message)


def discover(points: Iterable[EntryPoint] | None = None, *, strict: bool = False) -> Registry:
    """Load every plugin of the entry-point group ``crbench``, and before them our own metrics.

    Args:
        points: entry points to load instead of these.
        strict: raise at the first plugin that fails or clashes, for plugin authors and CI.

    Raises:
        PluginError: with `strict` only.
    """
    entries: list[Registered[Any]] = []
    broken: list[BrokenPlugin] = []
    slow: list[str] = []
    manager = plugin_manager()
    found = list(points or [])
    if points is None:
        theirs, damaged = installed_points()
        found = [OWN_METRICS, *theirs]
        broken += [
            BrokenPlugin(attrs.evolve(UNKNOWN, distribution=name), "the list of entry points", error)
            for name, error in damaged.items()
        ]
    for point in sorted(found, key=_point_order):
        owner, started = owner_of(point), clock()
        try:
            offers = load_offers(point, manager)
            entries += [Registered(kind=kind, entry=entry, owner=owner) for kind, entry in offers]
        except StageError as failure:
            broken.append(BrokenPlugin(owner=owner, stage=failure.stage, error=failure.error))
        if (seconds := clock() - started) > SLOW_S:
            advice = "every command waits for it; its author can name targets by text and import in functions"
            slow.append(f"{owner} took {seconds:.1f} s to import; {advice}")
    registry = Registry(entries=tuple(entries), broken=tuple(broken), slow=tuple(slow))
    if strict:
        for plugin in broken:
            raise PluginError(str(plugin)) from plugin.error
        for item in entries:
            registry.get(item.kind, item.entry.name)
    return registry


def shipped_configs() -> list[str]:
    """The config files that plugins ship, as ``--config`` takes them; none is imported for it.

    Example:
        >>> "crbench_lrar:table-4" in shipped_configs()
        True
    """
    packages = sorted({point.module.partition(".")[0] for point in installed_points()[0]})
    places = [(package, find_spec(package)) for package in packages]
    folders = [
        (name, Path(place)) for name, spec in places for place in (spec and spec.submodule_search_locations) or ()
    ]
    return [f"{name}:{file.stem}" for name, folder in folders for file in sorted((folder / FOLDER).glob("*.toml"))]


@functools.cache
def installed() -> Registry:
    """The registry of the installed plugins, loaded once per process."""
    return discover()


def _way_out(item: Registered[Any], claims: Iterable[Registered[Any]]) -> str:
    """What a user can do to use one of several entries of one name."""
    if [other.owner.distribution for other in claims].count(item.owner.distribution) > 1:
        return "one distribution offers it twice, so only its author can rename one"
    return f"say whose, as in {item.owner.distribution}::{item.entry.name}"


def _point_order(point: EntryPoint) -> tuple[str, str]:
    return (owner_of(point).distribution if point.dist else "", point.name)


def _may_own(owner: Owner, name: str) -> bool:
    names = _names(owner)
    return any(name in other or other in name for other in names) or bool(difflib.get_close_matches(name, names, n=1))


def _likeness(owner: Owner, name: str) -> float:
    return max(difflib.SequenceMatcher(None, name, other).ratio() for other in _names(owner))


def _names(owner: Owner) -> list[str]:
    return [owner.plugin.replace("_", "-"), owner.distribution.replace("_", "-")]

"""The checks of what is installed, by its name, as ``crbench plugins check`` runs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crbench.api.entry import Kind
from crbench.api.interfaces import Precomputed
from crbench.errors import ConfigError
from crbench.registry.discovery import installed
from crbench.registry.load import choose_weights
from crbench.registry.resolve import resolve
from crbench.testing.checks import Outcome, checks_for, run_checks

_MEANT = "its entry says transductive=True"


def check_installed(
    kind: Kind,
    request: str,
    changes: Mapping[str, Any] | None = None,
    *,
    weights: Path | None = None,
    root: Path,
) -> Iterator[Outcome]:
    """All checks of the entry that `request` names, on the CPU.

    Args:
        changes: its parameters.
        weights: of a backbone.
        root: folder of data sets.

    Raises:
        ConfigError, DataError, PluginError: it cannot be built, or its data or weights are missing.
    """
    if kind == "metric":
        score = installed().get("metric", request).entry
        if changes:
            raise ConfigError(f"metric {request!r} has no parameter {next(iter(changes))!r}; a score has none")
        yield from run_checks(checks_for("metric"), lambda: score)
        return
    method = resolve(kind, request, changes)
    context: dict[str, Any] = {}
    if kind == "backbone":
        context = {"weights": choose_weights(method, weights), "device": "cpu"}
    built = method.build(**context)
    if isinstance(built, Precomputed):
        raise ConfigError(f"backbone {method.name!r} looks features up; there is nothing to check")
    options: dict[str, Any] = {}
    if kind == "dataset":
        built.split(next(iter(built.protocols.values())), 0, root=root)  # says in one line what is missing
        options = {"root": root}
    waived = {"companions": _MEANT} if method.registered.entry.transductive else {}
    yield from run_checks(checks_for(kind, waive=waived), lambda: method.build(**context), **options)

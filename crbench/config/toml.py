"""Config files: from TOML to one `RunSpec`, or to several that together make a table.

Top-level keys are the fields of `RunSpec`. Each ``[[run]]`` is a run of its own and changes some of them. A table
``[scale.NAME]``, at the top or within a run, changes them again for users who choose that scale. The key ``published``
names the table of a paper that the runs are those of; its printed rows are shown below what was measured.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crbench.config.home import expanded
from crbench.config.run_spec import RunSpec, build_spec
from crbench.config.settings import flatten_settings
from crbench.errors import ConfigError
from crbench.inputs import read_text_input
from crbench.wording import suggestion

FOLDER = "specs"
"""Where a plugin's package keeps the config files that it ships."""

_PUBLISHED = "published"

_LONGEST = 1 << 16
"""Characters of a config file. A dotted key takes memory with the square of its parts: 400 KB of them took 19 GB."""


def load_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ConfigError: it does not exist, is too long or is not TOML.
    """
    try:
        text = read_text_input(path)
        if len(text) > _LONGEST:
            raise ConfigError(f"config {path} has {len(text)} characters; expected {_LONGEST} at most")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"config {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"config {path} is not TOML: {error}") from error


def read_specs(config: str, *, scale: str | None = None, given: Mapping[str, Any] | None = None) -> list[RunSpec]:
    """The runs of a config file, in its order.

    Args:
        config: path of a TOML file, or ``PACKAGE:NAME`` for one that a plugin ships, e.g. ``crbench_lrar:table-1``.
        scale: name of one of its scales.
        given: fields that win over the file's (``set`` name by name).

    Raises:
        ConfigError: the file does not exist, is not TOML, lacks that scale, or holds unknown fields or bad values.

    Example:
        >>> [spec.dataset for spec in read_specs("crbench_lrar:table-7", scale="tiny")]
        [('mlr-synthetic',)]
    """
    content = load_toml(_find(config))
    content.pop(_PUBLISHED, None)
    runs = content.pop("run", [{}])
    scales = content.pop("scale", {})
    if not isinstance(runs, list) or not all(isinstance(run, Mapping) for run in runs):
        raise ConfigError(f"config {config}: expected [[run]] tables")
    known_scales = {
        name for known in (scales, *(run.get("scale", {}) for run in runs)) for name in _names(known, config)
    }
    if scale is not None and scale not in known_scales:
        raise ConfigError(f"config {config} has no scale {scale!r}{suggestion(scale, sorted(known_scales))}")
    specs = []
    for run in runs:
        own_scales = run.get("scale", {})
        parts = [content, {key: value for key, value in run.items() if key != "scale"}]
        parts += [known[scale] for known in (scales, own_scales) if scale in known]
        specs.append(build_spec(_merged([*parts, given or {}]), config))
    return specs


def published_in(config: str) -> str:
    """The table of a paper that a config file names, as `crbench.published.printed_in` takes it; empty = none.

    Raises:
        ConfigError: the file does not exist or is not TOML, or it names no text.
    """
    table = load_toml(_find(config)).get(_PUBLISHED, "")
    if not isinstance(table, str):
        raise ConfigError(f"config {config}: {_PUBLISHED}: expected text such as 'wu2023lrar, Table I', got {table!r}")
    return table


def _names(scales: Any, config: str) -> list[str]:
    if not isinstance(scales, Mapping) or not all(isinstance(fields, Mapping) for fields in scales.values()):
        raise ConfigError(f"config {config}: expected [scale.NAME] tables")
    return list(scales)


def _find(config: str) -> Path:
    """The file that a path or ``PACKAGE:NAME`` stands for."""
    path = expanded(config)
    package, colon, name = config.partition(":")
    if path.is_file() or not (colon and package.isidentifier()):
        return path
    if find_spec(package) is None:
        raise ConfigError(f"config {config}: there is no package {package!r}; expected PACKAGE:NAME or a file")
    folder = Path(str(resources.files(package))) / FOLDER
    found = folder / f"{name}.toml"
    if not found.is_file():
        known = sorted(file.stem for file in folder.glob("*.toml"))
        raise ConfigError(f"config {config}: package {package} ships no {name!r}{suggestion(name, known)}")
    return found


def _merged(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """All keys, later parts winning; ``set`` is merged name by name."""
    merged: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for part in parts:
        merged.update(part)
        settings.update(flatten_settings(part.get("set", {})))
    return {**merged, "set": settings}

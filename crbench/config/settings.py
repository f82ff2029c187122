"""``--set PART.NAME=VALUE``: changes of single parameters and rules."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from crbench.errors import ConfigError

PARTS = ("aligner", "backbone", "dataset", "partner", "protocol")
"""What ``--set PART.NAME=VALUE`` can change; a method's own name works in place of its kind.
``partner`` is the data set of ``--fit-on``."""


def parse_setting(text: str) -> tuple[str, Any]:
    """``part.name=value`` as a pair; the value is read as TOML, or as text where it is not TOML.

    Example:
        >>> parse_setting("aligner.hidden=512"), parse_setting("protocol.kernel=bicubic")
        (('aligner.hidden', 512), ('protocol.kernel', 'bicubic'))
    """
    name, equals, value = text.partition("=")
    if not equals or "." not in name or not all(name.split(".")):
        raise ConfigError(f"--set {text!r}: expected PART.NAME=VALUE with PART one of {', '.join(PARTS)} or a method")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def flatten_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Changes by ``part.name``, from nested or flat ones.

    Example:
        >>> flatten_settings({"aligner": {"hidden": 512}, "protocol.kernel": "box"})
        {'aligner.hidden': 512, 'protocol.kernel': 'box'}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{name}": inner for name, inner in value.items()})
        else:
            flat[key] = value
    return flat

"""What a plugin offers: one `Entry` per backbone, aligner, data set or metric."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs

API_VERSION = 1
"""Raised whenever a signature or a shape of `crbench.interfaces` changes; `Entry.api` must equal it."""

Kind = Literal["backbone", "aligner", "dataset", "metric"]
KINDS: tuple[Kind, ...] = ("backbone", "aligner", "dataset", "metric")

_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _kebab(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not _KEBAB.fullmatch(value):
        raise ValueError(f"entry name {value!r} is not kebab-case; expected letters a-z, digits and single hyphens")


def _target(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not callable(value) and not (isinstance(value, str) and value.count(":") == 1):
        raise ValueError(f"entry target {value!r} is neither a class nor a string 'package.module:Class'")


@attrs.frozen
class Entry:
    """One thing that a plugin offers, as data.

    Attributes:
        name: kebab-case, unique among entries of its kind.
        target: a class or function, or ``"package.module:Class"``, loaded at first use (for what needs torch).
        summary: one line for ``crbench plugins``.
        source: paper or code that the entry follows.
        api: the `API_VERSION` that it was written for.
        extra: name of the pip extra to suggest when importing `target` fails.
        defaults: partners that it names, for example ``{"backbone": "lrar"}`` of an aligner, or
            ``{"backbone": "resnet-tiny", "aligner:vpfa": "light"}`` of a data set (its preset for that aligner).
        presets: named parameter sets, chosen as ``name/preset``; the first is the default.

    Example:
        >>> Entry("mean-shift", dict, source="baseline").name
        'mean-shift'
    """

    name: str = attrs.field(validator=_kebab)
    target: str | Callable[..., Any] = attrs.field(validator=_target)
    summary: str = ""
    source: str = ""
    api: int = API_VERSION
    extra: str | None = None
    defaults: Mapping[str, str] = attrs.field(factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)

"""How a rule of `EvalProtocol` is declared: one attribute that knows its group, its values and its meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import attrs
from attrs import validators as v

Group = Literal["split", "images", "scoring"]
"""What a rule decides: which images are training, query and gallery images, and at which rates; what images and their
features look like; how features become scores."""

GROUPS: tuple[Group, ...] = get_args(Group)


def rule(
    group: Group,
    short: str,
    default: Any,
    doc: str,
    *,
    values: str | tuple[str, ...],
    parse: Callable[[Any], object] | None = None,
    option: bool = False,
    test_only: bool = False,
    **field: Any,
) -> Any:
    """One attribute of `EvalProtocol`, with all that is to be known of it.

    Args:
        group: see `Group`.
        short: names it in `EvalProtocol.describe`; no two rules share one.
        doc: what it means, in Markdown, for the table of all rules.
        values: all values, or their forms in words.
        parse: raises `ValueError` for a value of another form.
        option: it is part of fingerprints and keys only where it is not `default`, so that adding it changes none.
        test_only: it changes the features of test images but not what a network is trained on.
        field: further arguments of `attrs.field`.
    """
    if isinstance(values, tuple):
        field["validator"] = v.in_(values)
    elif parse is not None:
        field["validator"] = _parsed_by(parse)
    about = {
        "group": group,
        "short": short,
        "doc": doc,
        "values": ", ".join(values) if isinstance(values, tuple) else values,
        "option": option,
        "test_only": test_only,
    }
    return attrs.field(default=default, metadata=about, **field)


def _parsed_by(parse: Callable[[Any], object]) -> Any:
    def validate(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        try:
            parse(value)
        except ValueError as error:
            raise ValueError(
                f"protocol.{attribute.name}: {value!r} is not one of {attribute.metadata['values']}"
            ) from error

    return validate


def switch(group: Group, short: str, default: bool, doc: str, **about: Any) -> Any:
    """A `rule` that is true or false."""
    return rule(group, short, default, doc, values="true, false", validator=v.instance_of(bool), **about)

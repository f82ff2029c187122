"""How a rule of `EvalProtocol` is declared: one attribute of a group that knows its values and its meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs
from attrs import validators as v


@attrs.frozen(kw_only=True)
class RuleGroup:
    """Rules that decide one thing together; each attribute of a subclass is made by `rule`.

    Attributes:
        title: heads the group on the page of all rules.
    """

    title: ClassVar[str]

    def asked(self) -> dict[str, Any]:
        """All rules by name, as JSON values; options only where they are asked for. Fingerprints and keys cover it."""
        return attrs.asdict(self, filter=_is_asked)


def rule_names(group: type[RuleGroup]) -> tuple[str, ...]:
    """The rules of a group.

    Example:
        >>> from crbench.protocol import ImageRules
        >>> rule_names(ImageRules)
        ('kernel', 'antialias', 'rounding', 'shrink_from', 'degradation', 'encoder', 'encode_hr', 'flip')
    """
    return tuple(field.name for field in attrs.fields(group))


def _is_asked(field: attrs.Attribute[Any], value: Any) -> bool:
    return not field.metadata["option"] or value != field.default


def rule(
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
    """One attribute of a `RuleGroup`, with all that is to be known of it.

    Args:
        short: names it in `EvalProtocol.describe`; no two rules share one.
        doc: what it means, in Markdown, for the table of all rules.
        values: all values, or their forms in words.
        parse: raises `ValueError` for a value of another form.
        option: it is part of fingerprints and keys only where it is not `default`, so that adding it changes none.
        test_only: it changes the features of test images but not what a network is trained on.
        field: further arguments of `attrs.field`.
    """
    if isinstance(values, tuple):
        field["validator"] = _parsed_by(values.index)
    elif parse is not None:
        field["validator"] = _parsed_by(parse)
    about = {
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


def switch(short: str, default: bool, doc: str, **about: Any) -> Any:
    """A `rule` that is true or false."""
    return rule(short, default, doc, values="true, false", validator=v.instance_of(bool), **about)

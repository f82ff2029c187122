"""What a method is called wherever people read it: short, and safe to print."""

from __future__ import annotations

import unicodedata

from crbench.results.records import Component


def clean(text: str) -> str:
    """`text` on one line, with control, format and private characters replaced.

    A result file may come from anybody: terminal codes or text-direction marks in a name must not reach the reader.

    Example:
        >>> clean("vp\\x1b[31mfa\\n")
        'vp\\ufffd[31mfa\\ufffd'
    """
    return "".join("\ufffd" if unicodedata.category(char)[0] == "C" else char for char in text)


def component_label(component: Component) -> str:
    """``NAME/preset``, or the name alone; an argument comes last."""
    name, colon, argument = component.name.partition(":")
    return clean((f"{name}/{component.preset}" if component.preset else name) + colon + argument)

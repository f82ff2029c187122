"""`Finding`: one thing that was looked at."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what it is about.
        state: ``ok``; ``note``: it works, and could be better; ``fault``: something will fail or give wrong numbers.
        found: what is there.
        advice: what to do; empty where there is nothing to do.
    """

    subject: str
    state: Literal["ok", "note", "fault"]
    found: str
    advice: str = ""

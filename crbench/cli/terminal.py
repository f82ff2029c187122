"""What the terminal wants."""

from __future__ import annotations

import os
import sys


def wants_colour() -> bool:
    """NO_COLOR and FORCE_COLOR (no-color.org, force-color.org) count when set and not empty; else: a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()

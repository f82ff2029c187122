"""Two forms of the campaign: whole (``tox run -e campaign``), and a sample that every test run affords."""

from __future__ import annotations

import os
import random

WHOLE = os.environ.get("CRBENCH_CAMPAIGN") == "whole"


def sampled(cases, few, seed=0):
    """All cases, or always the same few of them."""
    return list(cases) if WHOLE else sorted(random.Random(seed).sample(list(cases), min(few, len(cases))))

"""Bytes that a step holds at once, by the sizes of its arrays; what libraries need beside them is not in it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from crbench.harness.extract.extractor import CHUNK_BATCHES, IN_FLIGHT
from crbench.harness.extract.pipeline import AHEAD

_STATUS = Path("/proc/self/status")


def resident_bytes() -> int:
    """Memory of this process: what it has now or, on systems that do not tell, the most that it had."""
    try:
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def extraction_bytes(batch: int, size: tuple[int, int], dim: int, activation_bytes: int | None) -> int:
    """Arrays of an extraction: decoded batches, the normalised one, what lives in the network, features to be written.

    Args:
        batch: images per network call.
        size: height and width of the network's input.
        dim: length of the features.
        activation_bytes: for one image; None = not known, so not counted.

    Example:
        >>> extraction_bytes(2, (4, 2), 8, 100) == 4 * 48 + 192 + 200 + 34 * 64
        True
    """
    height, width = size
    decoded = (AHEAD + 1) * batch * height * width * 3
    normalised = batch * 3 * height * width * 4
    features = (CHUNK_BATCHES + IN_FLIGHT) * batch * dim * 4
    return decoded + normalised + batch * (activation_bytes or 0) + features


def feature_bytes(rows: int, dim: int) -> int:
    """Features f32[rows, dim].

    Example:
        >>> feature_bytes(10, 256)
        10240
    """
    return rows * dim * 4

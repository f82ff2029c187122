"""Hypothesis strategies that spoil good files: their bytes, their text, their values."""

from __future__ import annotations

import io
import json

import numpy as np
from hypothesis import strategies as st

WORDS = [
    "",
    " ",
    "nan",
    "inf",
    "1e999",
    "-1",
    "+1",
    "1_0",
    "٣",
    "9" * 30,
    "null",
    "[",
    "{}",
    "\x1b[31m",
    "\x00",
    "../x",
    "x" * 300,
]
VALUES = st.recursive(
    st.sampled_from([None, True, -1, 0, 2**63, 10**40, 1e308, 0.5, *WORDS]) | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
"""What JSON can hold."""

_DTYPES = ["f2", "f4", "f8", "i1", "u8", "i8", "c8", "?", "U3", "S3", "M8[s]", "O"]


@st.composite
def bytes_of(draw, good: bytes):
    """A file that was cut, written over or lengthened; or anything."""
    kind = draw(st.sampled_from(["cut", "flip", "insert", "repeat", "other"]))
    at = draw(st.integers(0, len(good) - 1))
    some = draw(st.binary(min_size=1, max_size=8))
    return {
        "cut": good[:at],
        "flip": good[:at] + some + good[at + len(some) :],
        "insert": good[:at] + some + good[at:],
        "repeat": good + good[at:],
        "other": some,
    }[kind]


@st.composite
def text_of(draw, good: str):
    """A table or list where one part of a line is another word."""
    lines = good.splitlines()
    row = draw(st.integers(0, len(lines) - 1))
    parts = lines[row].split(",")
    parts[draw(st.integers(0, len(parts) - 1))] = draw(st.sampled_from(WORDS) | st.text(max_size=5))
    lines[row] = ",".join(parts)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@st.composite
def json_of(draw, good: str):
    """A record where one value, however deep, is another, is missing, or has another name."""
    content = json.loads(good)
    inner = content
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = draw(st.sampled_from(keys))
        if not isinstance(inner[key], dict | list) or not inner[key] or draw(st.integers(0, 2)) == 0:
            break
        inner = inner[key]
    kind = draw(st.sampled_from(["value", "value", "missing", "renamed"]))
    value = inner.pop(key) if kind != "value" else None
    if kind == "value":
        inner[key] = draw(VALUES)
    elif kind == "renamed" and isinstance(inner, dict):
        inner[draw(st.sampled_from(WORDS))] = value
    return json.dumps(content).encode("utf-8", "surrogatepass")


@st.composite
def arrays_of(draw, good: dict[str, np.ndarray]):
    """A npz file where one array has another type, shape, content or name, or is missing."""
    arrays = dict(good)
    name = draw(st.sampled_from(sorted(arrays)))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, len(good["pids"])]), max_size=3)))
    kind = draw(st.sampled_from(["other", "values", "missing", "renamed"]))
    before = arrays.pop(name)
    if kind == "other":
        arrays[name] = np.zeros(shape, dtype=draw(st.sampled_from(_DTYPES)))
    elif kind == "values" and before.dtype.kind in "fi" and before.size:
        if kept := draw(st.booleans()) and before.dtype.kind == "i":
            values = before.copy()
        else:
            values = before.astype(np.float64)
        values.flat[draw(st.integers(0, values.size - 1))] = draw(st.integers(-3, 3) if kept else st.floats())
        arrays[name] = values
    elif kind == "renamed":
        arrays[draw(st.sampled_from(["x", "camids", "rates", "dims", "keys"]))] = before
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()

"""Hypothesis strategies for evaluations that are hard to get right: ties, near ties, junk, cameras, varying length."""

from __future__ import annotations

import attrs
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from crbench.protocol import EvalProtocol
from crbench.records import Features, features_from_arrays


@attrs.frozen(eq=False)
class Case:
    """Arguments of one evaluation."""

    query: Features
    gallery: Features
    protocol: EvalProtocol


KINDS = ["integers", "normal", "near", "scaled", "float64"]
"""Of the rows that features are drawn from."""


@st.composite
def cases(draw, shots=("multi", "single:exact", "single:mc:3"), max_rows=25, **protocol):
    """Cases with at least one valid query; protocol fields that are given are kept."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns = draw(st.integers(1, 9))
    pool = _pool(rng, draw(st.integers(1, 6)), columns, draw(st.sampled_from(KINDS)))
    dims = draw(st.sampled_from([None, (1, columns), (columns, columns)]))
    people = draw(st.integers(1, 5))
    asked, known = rng.integers(0, people + 1, 8), rng.integers(-1, people + 1, max_rows)
    known[0] = asked[0]
    cameras = rng.integers(-1, 3, max_rows)
    cameras[0] = 9  # one pair at least is of two cameras
    named = draw(st.booleans())  # or all rows of a side are images of their own
    query = _features(rng, pool, asked[: draw(st.integers(1, 8))], rng.integers(-1, 3, 8), dims, "query", named)
    gallery = _features(rng, pool, known[: draw(st.integers(1, max_rows))], cameras, dims, "gallery", named)
    rules = {
        "shot": draw(st.sampled_from(shots)),
        "ties": draw(st.sampled_from(["pessimistic", "optimistic"])),
        "junk": draw(st.sampled_from(["drop", "keep"])),
        "same_camera": draw(st.sampled_from(["ignore", "keep"])),
        "ignored_cameras": draw(st.sampled_from(["none", "none", "1:2", "0:1,2:0+2"])),
        "ap": draw(st.sampled_from(["step", "trapezoid"])),
        "normalise": draw(st.sampled_from(["l2", "none"])),
        "distance": draw(st.sampled_from(["cosine", "euclidean", "sqeuclidean"])),
    }
    return Case(query, gallery, EvalProtocol.of(**(rules | protocol)))


def _pool(rng: np.random.Generator, count: int, columns: int, kind: str) -> NDArray[np.floating]:
    """Rows to draw from: the smaller the pool, the more exact ties."""
    if kind == "integers":
        pool = rng.integers(-2, 3, (count, columns)).astype(np.float32)
    else:
        pool = rng.normal(size=(count, columns)).astype(np.float32)
    if kind == "float64":  # float32 would make most rows equal
        return 1000 + 1e-4 * rng.integers(-2, 3, (count, columns)) + 1e-7 * rng.normal(size=(count, columns))
    pool[pool[:, 0] == 0, 0] = 1  # no row is zero, however short it is cut
    if kind == "near":
        pool = np.concatenate([pool, np.nextafter(pool, np.float32(9))])
    if kind == "scaled":
        scales = np.array([1, 1e-20, 1e15, 2.0**-100, 3], dtype=np.float32)
        pool = np.concatenate([pool * scale for scale in rng.choice(scales, 2, replace=False)])
    return pool


def _features(
    rng: np.random.Generator,
    pool: NDArray[np.floating],
    pids: NDArray[np.int64],
    cameras: NDArray[np.int64],
    dims: tuple[int, int] | None,
    first: str,
    named: bool,
) -> Features:
    """Rows of which the first one is an image that the other side does not have."""
    count = len(pids)
    keys = [first, *(f"image {number}" for number in rng.permutation(2 * count)[1:count])]
    feats = features_from_arrays(
        pool[rng.integers(0, len(pool), count)],
        pids,
        camids=cameras[:count],
        rates=rng.choice([1, 2, 3], count),
        dims=None if dims is None else rng.integers(dims[0], dims[1] + 1, count),
        keys=keys,
    )
    return attrs.evolve(feats, rows=attrs.evolve(feats.rows, named=named))

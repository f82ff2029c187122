"""Hypothesis strategies shared by the tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from crbench.records import Samples


@st.composite
def samples(draw, min_size=0, max_size=20):
    """Rows with distinct keys, few persons, and all rates of the mlr protocol."""
    count = draw(st.integers(min_size, max_size))

    def column(values):
        return draw(st.lists(values, min_size=count, max_size=count))

    return Samples(
        keys=np.array([f"image {i}" for i in range(count)], dtype=np.str_),
        pids=column(st.integers(1, 5)),
        camids=column(st.integers(1, 3)),
        rates=column(st.sampled_from([1.0, 2.0, 3.0, 4.0])),
    )

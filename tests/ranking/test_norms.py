from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crbench.ranking.norms import row_norms

FLOATS = st.floats(width=32, allow_subnormal=True) | st.sampled_from(np.float32([0, 1e-45, 3.4e38, -3.4e38]).tolist())
MATRICES = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=FLOATS)


@settings(max_examples=200)
@given(MATRICES)
def test_norms_are_finite_and_zero_where_rows_are(x):
    found = row_norms(torch.from_numpy(x)).numpy()
    finite = np.isfinite(x).all(axis=1)
    assert (np.isfinite(found) == finite).all()
    assert ((found == 0) == (x == 0).all(axis=1)).all()
    error = Fraction(x.shape[1], 2**53)
    for row, norm in zip(x[finite].tolist(), found[finite].tolist(), strict=True):
        square = sum(Fraction(value) ** 2 for value in row)
        assert (1 - error) ** 2 * square <= Fraction(norm) ** 2 <= (1 + error) ** 2 * square

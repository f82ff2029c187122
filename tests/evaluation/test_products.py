from __future__ import annotations

import numpy as np
import pytest
import torch

from crbench.evaluation import products
from crbench.evaluation.workers import Workers

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("columns", [1, 37, 1024, 1025, 1500])
@pytest.mark.parametrize("cancelling", [False, True])
@pytest.mark.parametrize("threads", [1, 6])
def test_a_product_errs_by_no_more_than_is_said(precision, columns, cancelling, threads):
    rng = np.random.default_rng(columns)
    a, b = rng.normal(size=(3, columns)), rng.normal(size=(1030, columns))  # more items than are multiplied at once
    if cancelling:  # the sum is small beside its terms
        a, b = np.concatenate([a, -a], axis=1) + 1e-3, np.concatenate([b, b], axis=1)
    x, y = (torch.from_numpy(side.astype(np.float32)) for side in (a, b))
    norms = [torch.linalg.vector_norm(side.double(), dim=1) for side in (x, y)]
    workers = Workers(threads)
    one, other = (
        products.operand(side, norm, precision, None, workers) for side, norm in zip((x, y), norms, strict=True)
    )
    found = products.product(one, other, precision, workers).double() * one.scale[:, None] * other.scale
    wrong = (found - x.double() @ y.double().T).abs()
    allowed = products.accumulated(x.shape[1], precision, CPU) * norms[0][:, None] * norms[1]
    allowed += one.rest[:, None] * (norms[1] + other.rest) + norms[0][:, None] * other.rest
    allowed += one.low[:, None] * other.low
    assert (wrong <= allowed).all()


def test_long_rows_are_wrong_by_little_more_than_short_ones():
    short, long = (products.accumulated(columns, "fp32", CPU) for columns in (1024, 4096))
    assert short < long < 1.02 * short

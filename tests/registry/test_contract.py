"""What is said of features that break the contract; whole runs are in ``tests/harness``."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crbench.registry.contract import TOLERANCE, close, fault, other_companions

X = torch.ones(3, 2)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_a_cpu_may_have_a_number(device):
    """Each of several processes that train on a CPU calls it ``cpu:0``."""
    assert fault(X, torch.tensor([1, 2, 2]), count=3, device=torch.device(device)) is None


@pytest.mark.parametrize(("value", "told"), [(3e38, None), (np.inf, "it gave NaN or infinite features")])
def test_values_whose_sum_overflows_are_finite(value, told):
    assert fault(torch.full((3, 2), value), None, count=3, device=torch.device("cpu")) == told


def test_devices_of_one_kind_are_told_apart():
    meta = X.to("meta")
    assert fault(meta, None, count=3, device=torch.device("meta"), finite=False) is None
    assert fault(X, None, count=3, device=torch.device("cuda:1")) == (
        "its features are on cpu; expected them on cuda:1"
    )


@given(arrays.arrays(np.float32, st.integers(0, 30), elements=st.sampled_from([1.0, 2.0, 2.5])))
def test_companions_keep_the_rates_and_half_of_the_rows(rates):
    others = other_companions(rates)
    assert np.array_equal(rates[others], rates)
    kept = others == np.arange(len(rates))
    for rate in np.unique(rates):
        at_rate = np.flatnonzero(rates == rate)
        assert kept[at_rate].sum() == max(1, len(at_rate) // 2)
        if len(at_rate) > 1:
            assert set(others[at_rate][~kept[at_rate]]) == {at_rate[1]}, "all of them by a row that is kept"
            assert not kept[at_rate[0]], "the first row too, which a faulty method may repeat"


def test_closeness_is_relative_to_the_largest_value():
    right = torch.tensor([[1.0, 1000.0]])
    assert close(right + 0.9 * TOLERANCE * 1000, right)
    assert not close(right + 1.1 * TOLERANCE * 1000, right)
    assert not close(right[:, :1], right)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from strategies import samples

from crbench.errors import ComparisonError
from crbench.records import Domain, Features, Samples, Split


def test_scalars_are_repeated():
    rows = Samples(keys=["a", "b"], pids=[1, 2], camids=3, rates=2)
    assert rows.camids.tolist() == [3, 3]
    assert rows.rates.tolist() == [2.0, 2.0]
    assert rows.row(1).rate == 2.0


@given(samples(min_size=1))
def test_domains_partition_the_rows(rows):
    masks = np.array([mask for _, mask in rows.domains()])
    assert (masks.sum(axis=0) == 1).all()
    for domain, mask in rows.domains():
        assert set(rows.rates[mask].tolist()) == {domain.rate}


@given(samples(min_size=1), samples(min_size=1))
def test_concat_keeps_all_rows_in_order(first, second):
    joined = Samples.concat([first, second])
    assert [joined.row(i) for i in range(len(joined))] == [
        part.row(i) for part in (first, second) for i in range(len(part))
    ]


def test_columns_cannot_be_changed():
    rows = Samples(keys=["a"], pids=[1])
    with pytest.raises(ValueError, match="read-only"):
        rows.pids[0] = 2


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pids": [1]}, "pids has shape"),
        ({"pids": [1, 2], "camids": [1, 2, 3]}, "camids has shape"),
        ({"pids": [1, 2], "rates": [0.5, 1]}, "at least 1"),
        ({"pids": [1, 2], "rates": [np.nan, 1]}, "finite"),
        ({"pids": [1, 2], "rates": [1e39, 1]}, "finite"),
        ({"pids": [1, 2], "rates": [10_000, 1]}, "at most 9999"),
        ({"pids": [1, 2], "rates": ["2_0", "1"]}, "rates are <U3; expected numbers"),
        ({"pids": ["1_2", "12"]}, "pids and camids are <U3; expected integers"),
        ({"pids": [1.7, 2]}, "are float64; expected integers"),
        ({"pids": [True, False]}, "are bool; expected integers"),
        ({"pids": np.array([2**63, 1], np.uint64)}, "hold 9223372036854775808; expected at most"),
        ({"pids": [2**64, 1]}, "are object; expected integers of 64 bits"),
    ],
)
def test_bad_columns_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        Samples(keys=["a", "b"], **columns)


def test_features_must_fit_their_rows():
    rows = Samples(keys=["a", "b"], pids=[1, 2])
    with pytest.raises(ValueError, match=r"expected \(2, D\)"):
        Features(x=np.zeros((3, 4), np.float32), rows=rows)
    with pytest.raises(ValueError, match="dims have shape"):
        Features(x=np.zeros((2, 4), np.float32), rows=rows, dims=np.array([1]))


def _rows(*pids):
    return Samples(keys=[f"k{pid}" for pid in pids], pids=list(pids))


def test_a_person_in_training_and_test_is_refused():
    with pytest.raises(ComparisonError, match="1 test identities are also training identities"):
        Split(train=_rows(1, 2), query=_rows(3), gallery=_rows(2, 3))


def test_distractors_and_junk_are_nobody():
    split = Split(train=_rows(1), query=_rows(2), gallery=_rows(2, 0, -1))
    assert len(split.gallery) == 3


@given(samples(min_size=1, max_size=8))
def test_checksum_depends_on_content_not_on_order(rows):
    order = np.arange(len(rows))[::-1]
    train = _rows(99)
    one = Split(train=train, query=rows, gallery=rows)
    two = Split(train=train, query=rows.take(order), gallery=rows)
    changed = Split(train=train, query=rows.at_rate(7), gallery=rows)
    assert one.checksum == two.checksum
    assert one.checksum != changed.checksum


def test_domain_is_a_key():
    assert {Domain("rgb", 2.0): 1}[Domain("rgb", 2.0)] == 1

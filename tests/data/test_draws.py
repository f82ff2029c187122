from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.data.draws import choices, hashes, repeated, shuffled

names = st.lists(st.text(max_size=8), max_size=30, unique=True)


def test_hash_is_the_documented_one():
    key = hashlib.blake2b(b"a stream", digest_size=32).digest()
    expected = int.from_bytes(hashlib.blake2b(b"a name", digest_size=8, key=key).digest(), "big")
    assert hashes("a stream", ["a name"]).tolist() == [expected]


@given(names, names)
def test_a_draw_does_not_depend_on_the_other_items(first, second):
    alone = dict(zip(first, hashes("s", first).tolist(), strict=True))
    together = dict(zip([*second, *first], hashes("s", [*second, *first]).tolist(), strict=True))
    assert all(together[name] == value for name, value in alone.items())


@given(names, st.randoms())
def test_shuffle_does_not_depend_on_the_order_on_entry(items, random):
    mixed = list(items)
    random.shuffle(mixed)
    assert shuffled("s", items) == shuffled("s", mixed)
    assert sorted(shuffled("s", items)) == sorted(items)


def test_streams_are_independent():
    assert (hashes("one", range(50)) != hashes("two", range(50))).all()


def test_repetitions_are_the_outputs_of_splitmix64():
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    seed = np.array([1234567], dtype=np.uint64)
    assert [int(repeated(seed, number)[0]) for number in range(4)] == expected
    assert repeated(seed, np.arange(4, dtype=np.uint64)[:, None]).ravel().tolist() == expected


def test_repetitions_are_independent():
    bits = hashes("s", range(2000))
    first, second = ((repeated(bits, number) >> np.uint64(11)) / 2.0**53 for number in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert np.abs(np.histogram(first, 10, (0, 1))[0] - 200).max() < 70


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_choices_are_uniform(count):
    counts = np.bincount(choices("s", range(20_000), count), minlength=count)
    assert len(counts) == count
    # Six standard deviations of a binomial count.
    assert np.abs(counts - 20_000 / count).max() <= 6 * np.sqrt(20_000 / count)


@pytest.mark.parametrize("count", [0, -1, 2**32])
def test_choices_refuse_an_impossible_count(count):
    with pytest.raises(ValueError, match="cannot draw from"):
        choices("s", ["a"], count)

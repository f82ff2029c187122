"""Numbers that come as text: what people write is read, what only Python reads is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.numerals import parse_integer, parse_number

ARABIC_TWO = "\N{ARABIC-INDIC DIGIT TWO}"
NO_NUMBERS = [
    "",
    "-",
    "1_2",
    "2_0.5",
    "+1",
    " 1",
    "1 ",
    "1\n",
    "1,5",
    "0x10",
    "1j",
    "nan",
    "inf",
    "-Infinity",
    ARABIC_TWO,
]


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_integer_of_64_bits_is_read(value):
    assert parse_integer(str(value)) == value


@pytest.mark.parametrize("text", ["0002", "-0", "0" * 30 + "7"])
def test_leading_zeros_do_not_count(text):
    assert parse_integer(text) == int(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_read_as_python_writes_it(value):
    assert parse_number(repr(value)) == value


@pytest.mark.parametrize("text", [".5", "5.", "-.5e+3"])
def test_a_point_needs_digits_on_one_side_only(text):
    assert parse_number(text) == float(text)


@pytest.mark.parametrize("text", [*NO_NUMBERS, "1.0", "1e3"])
def test_no_integer_is_made_of_another_text(text):
    with pytest.raises(ValueError, match="is not an integer"):
        parse_integer(text)


@pytest.mark.parametrize("text", [str(2**63), str(-(2**63) - 1), "9" * 5000])
def test_what_64_bits_do_not_hold_is_refused(text):
    with pytest.raises(ValueError, match=r"is not an integer of 64 bits; expected -2\^63 to 2\^63 - 1"):
        parse_integer(text)


@pytest.mark.parametrize("text", [*NO_NUMBERS, ".", "1..5", "1e", "1e999"])
def test_no_number_is_made_of_another_text(text):
    with pytest.raises(ValueError, match="is not a number"):
        parse_number(text)

"""The one strict converter, as options, config files, plugin parameters and result files use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs
import cattrs
import pytest

from crbench.config.convert import convert, faults, plain, strict_converter
from crbench.errors import ConfigError


@attrs.frozen
class Inner:
    number: int
    names: tuple[str, ...] = ()


@attrs.frozen
class Outer:
    inner: Inner
    by_name: Mapping[str, Inner] = attrs.field(factory=dict)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("512", int),
        (3.7, int),
        (True, int),
        (True, float),
        (1, bool),
        ("x", float),
        (3, str),
        (3, Path),
        ("a", tuple[int, ...]),
        ("ab", tuple[str, ...]),
        ("ab", tuple[str, str]),
        ([1, "2"], tuple[int, int]),
        ({"a": "b"}, Mapping[str, int]),
        ([("a", 1)], Mapping[str, int]),
        (3, Inner),
        ({"number": 1, "colour": 2}, Inner),
    ],
)
def test_no_value_is_bent_to_a_type(value, wanted):
    with pytest.raises(ConfigError, match=r"x = .* is not of type"):
        convert(value, wanted, "x")


@pytest.mark.parametrize(
    ("value", "wanted", "fault"),
    [
        (float("nan"), float, "nan is not a finite number"),
        (float("-inf"), float | None, "-inf is not a finite number"),
        ([1.0, float("inf")], tuple[float, ...], "inf is not a finite number"),
        ([1, 2, 3], tuple[int, int], "'[1, 2, 3]' has 3 values, expected 2"),
        ("x", Literal["a", "b"], "x is not one of a, b"),
        (True, Literal[1, 2], "True is not one of 1, 2"),
        ({}, Inner, "lacks number"),
    ],
)
def test_what_is_wrong_with_a_value_of_the_right_type_is_said(value, wanted, fault):
    """NaN is of type float, and a name of a choice is text."""
    with pytest.raises(ConfigError, match=f"^x: {re.escape(fault)}"):
        convert(value, wanted, "x")


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        (3, float, 3.0),
        ([1, 2], tuple[int, ...], (1, 2)),
        ((1, 2.5), tuple[float, float], (1.0, 2.5)),
        (None, int | None, None),
        ({"a": 1}, Mapping[str, int], {"a": 1}),
        ("b", Literal["a", "b"], "b"),
        ("~/x", Path, Path.home() / "x"),
        ({"number": 1}, Inner, Inner(1)),
    ],
)
def test_values_of_the_type_are_taken(value, wanted, expected):
    assert convert(value, wanted, "x") == expected


def test_records_of_files_are_complete_and_faults_have_a_path():
    content = {"inner": {"number": 1, "names": []}, "by_name": {"a": {"number": 2, "names": ["b"]}}}
    record = Outer(Inner(1), {"a": Inner(2, ("b",))})
    assert strict_converter(complete=True).structure(content, Outer) == record
    assert plain(record) == content
    del content["by_name"]["a"]["names"]
    content["inner"] = {"number": "1", "names": [2], "colour": 3}
    with pytest.raises(cattrs.BaseValidationError) as caught:
        strict_converter(complete=True).structure(content, Outer)
    assert faults(caught.value) == [
        "'1' is not of type int @ $.inner.number",
        "'2' is not of type str @ $.inner.names[0]",
        "unknown field colour @ $.inner",
        "lacks names @ $.by_name['a']",
    ]


@pytest.mark.parametrize(
    ("value", "kind"), [("\x1b[31m", Literal["a"]), ({"number": 1, "\x1b[31m": 2}, Inner), ("\x1b[31m", int)]
)
def test_terminal_codes_in_files_do_not_reach_the_reader(value: object, kind: object) -> None:
    with pytest.raises((cattrs.BaseValidationError, ValueError, TypeError)) as caught:
        strict_converter().structure(value, kind)
    (said,) = faults(caught.value)
    assert said.isprintable()
    assert r"\x1b[31m" in said

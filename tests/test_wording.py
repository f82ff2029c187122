"""Messages of attrs' validators are understood as they are, in the version that is installed."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from attrs import validators as v

from crbench.config.run_spec import build_spec
from crbench.errors import ConfigError
from crbench.registry.load import load_aligner, load_backbone
from crbench.wording import plain_fault, suggestion


@pytest.mark.parametrize(
    ("validator", "value", "expected"),
    [
        (v.gt(0), 0, "x: 0 is out of range; expected a value above 0"),
        (v.ge(0.5), 0.25, "x: 0.25 is out of range; expected a value at least 0.5"),
        (v.lt(4), 4, "x: 4 is out of range; expected a value below 4"),
        (v.le(1), 2, "x: 2 is out of range; expected a value at most 1"),
        (v.optional(v.ge(2)), 1, "x: 1 is out of range; expected a value at least 2"),
        (v.in_(("tanh", "none")), "relu", "x: 'relu' is not one of tanh, none"),
        (v.in_(("one",)), "two", "x: 'two' is not one of one"),
        (v.in_([1, 2]), 3, "x: 3 is not one of 1, 2"),
        (v.instance_of(int), 2.5, "x: 2.5 is of type float; expected int"),
        (v.min_len(1), (), "x: 0 values given; expected at least 1"),
        (v.max_len(2), (1, 2, 3), "x: 3 values given; expected at most 2"),
        (v.matches_re("a+"), "b", "x: 'b' is not of the form 'a+'"),
        (v.is_callable(), 3, "x: 3 cannot be called"),
    ],
)
def test_faults_are_said_in_plain_words(validator: Any, value: Any, expected: str) -> None:
    record = attrs.make_class("Record", {"x": attrs.field(validator=validator)})
    with pytest.raises((ValueError, TypeError)) as caught:
        record(value)
    assert plain_fault(caught.value) == expected


def test_what_is_said_otherwise_stays() -> None:
    assert plain_fault(ValueError("size: (0, 1) is out of range\nmore")) == "size: (0, 1) is out of range"
    assert plain_fault(KeyError()) == "KeyError"


def test_names_that_are_close_are_suggested() -> None:
    assert suggestion("nothing like it", ["a"]) == "; known: a"


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda: load_backbone("resnet-tiny", lr=0.0),
            "backbone 'resnet-tiny': lr: 0.0 is out of range; expected a value above 0",
        ),
        (lambda: load_aligner("vpfa/papr"), "unknown preset 'papr' of aligner 'vpfa'; did you mean 'paper'?"),
        (lambda: build_spec({"datset": "a"}, "run.toml"), "run.toml: unknown datset; did you mean 'dataset'? known: "),
        (
            lambda: build_spec({"dataset": "a", "seed": -1}, "run"),
            "run: seed: -1 is out of range; expected a value at least 0",
        ),
        (lambda: build_spec({"dataset": []}, "run"), "run: dataset: 0 values given; expected at least 1"),
    ],
)
def test_users_see_them(use: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        use()
    assert message in str(caught.value)


def test_a_rule_that_is_misspelt_is_suggested() -> None:
    from crbench.config.protocol_changes import change_protocol, own_protocol
    from crbench.protocol import EvalProtocol

    with pytest.raises(ConfigError, match="protocol has no rule 'kernal'; did you mean 'kernel'"):
        change_protocol(EvalProtocol(), {"kernal": "box"})
    with pytest.raises(ConfigError, match="unknown tool 'torchried'; did you mean 'torchreid'"):
        own_protocol({}, tool="torchried")
    with pytest.raises(TypeError, match="is called 'ecoder'; did you mean 'encoder'"):
        EvalProtocol.of(ecoder="png")

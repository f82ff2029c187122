"""Spellings of protocol values: each text of the form gives its value, any other is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.protocol import Codec, EvalProtocol, Reranking
from crbench.protocol.parse import (
    parse_camera_rules,
    parse_codec,
    parse_identities,
    parse_lr_camera,
    parse_rate_source,
    parse_reranking,
    parse_shot,
    spell_camera_rules,
)

SPELLED = [
    (parse_identities, "official", None),
    (parse_identities, "random:10/5", (10, 5)),
    (parse_lr_camera, "per-id", None),
    (parse_lr_camera, "fixed:0", 0),
    (parse_lr_camera, "fixed:12", 12),
    (parse_rate_source, "oracle", None),
    (parse_rate_source, "size", 256),
    (parse_rate_source, "size:64", 64),
    (parse_codec, "none", None),
    (parse_codec, "png", Codec("png")),
    (parse_codec, "jpeg:100", Codec("jpeg", 100)),
    (parse_shot, "multi", None),
    (parse_shot, "single:exact", None),
    (parse_shot, "single:mc:10", 10),
    (parse_camera_rules, "none", {}),
    (parse_camera_rules, " 6:2+1,3:2,6:1", {3: (2,), 6: (1, 2)}),
    (parse_reranking, "none", None),
    (parse_reranking, "k2=3", Reranking(k2=3)),
]

TWO = "\N{ARABIC-INDIC DIGIT TWO}"
"""A digit to Python, and to nobody who writes a rule."""

REFUSED = [
    (
        parse_identities,
        ["", "random:", "random:0/5", "random:5", "random:5/", "official ", f"random:1{TWO}/1"],
    ),
    (parse_lr_camera, ["", "fixed:", "fixed:-1", "fixed", "per-id:1", f"fixed:{TWO}"]),
    (parse_rate_source, ["", "size:", "size:0", "sized", "oracle:3", f"size:1{TWO}"]),
    (parse_codec, ["", "jpeg", "jpeg:0", "jpeg:101", "png:3", f"jpeg:1{TWO}"]),
    (parse_shot, ["", "single", "single:mc:0", "single:mc:", "multi:3", f"single:mc:1{TWO}"]),
    (parse_camera_rules, ["", "3", "3:", "3:-1", "3:2,", "3:2+", f"3:{TWO}"]),
    (
        parse_reranking,
        ["", "k3=1", "k1=a", "k1=0", "lambda=2", "k1=2_0", "k1=+2", f"k2={TWO}", "lambda=nan"],
    ),
]


@pytest.mark.parametrize(("parse", "text", "expected"), SPELLED)
def test_a_spelling_gives_its_value(parse, text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(("parse", "text"), [(parse, text) for parse, texts in REFUSED for text in (*texts, 3, None)])
def test_any_other_value_is_refused(parse, text):
    with pytest.raises(ValueError, match=r"not of the form|must be"):
        parse(text)


@given(st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 9), min_size=1).map(lambda s: tuple(sorted(s)))))
def test_camera_rules_survive_the_round_trip(rules):
    assert parse_camera_rules(spell_camera_rules(rules)) == rules


def test_a_protocol_gives_what_its_fields_spell():
    plain = EvalProtocol()
    assert (plain.split.identity_counts, plain.split.full_height, plain.images.codec) == (None, None, None)
    assert (plain.scoring.draws, plain.scoring.ignored, plain.scoring.reranking) == (None, {}, None)
    other = EvalProtocol.of(
        identities="random:7/3", rate_source="size:64", encoder="jpeg:9", shot="single:mc:4", ignored_cameras="3:2"
    )
    assert (other.split.identity_counts, other.split.full_height) == ((7, 3), 64)
    assert other.images.codec == Codec("jpeg", 9)
    assert (other.scoring.draws, other.scoring.ignored) == (4, {3: (2,)})
    assert EvalProtocol.of(shot="multi", rerank="k1=5").scoring.reranking == Reranking(k1=5)

from __future__ import annotations

import json
import subprocess
import sys

import attrs
import pytest

from crbench.protocol import EvalProtocol, ImageRules, ScoringRules
from crbench.protocol.hashing import digest

OTHER = {
    "name": "another",
    "identities": "random:10/5",
    "trials": 3,
    "query": "official",
    "lr_camera": "per-id",
    "train_rates": (2, 4, 8),
    "query_rates": (3,),
    "rate_per": "identity",
    "rate_source": "presumed",
    "kernel": "bicubic",
    "antialias": False,
    "rounding": "round",
    "encoder": "jpeg:75",
    "encode_hr": True,
    "shot": "multi",
    "distractors": "keep",
    "junk": "keep",
    "same_camera": "keep",
    "ties": "optimistic",
    "ap": "trapezoid",
    "ap_gallery": "all",
    "unmatched": "zero",
    "normalise": "none",
    "distance": "euclidean",
    "flip": True,
    "ignored_cameras": "3:2",
    "rerank": "k1=20,k2=6,lambda=0.3",
    "shrink_from": "256x128",
    "degradation": "blur:1,shrink,noise:4",
    "gallery_rates": (1, 2),
}
OPTIONS = ("ignored_cameras", "rerank", "shrink_from", "degradation", "gallery_rates")


@pytest.mark.parametrize("field", EvalProtocol().flat())
def test_every_field_changes_the_fingerprint_and_the_line(field):
    rules = {"shot": "multi"} if field == "rerank" else {}
    default, changed = EvalProtocol.of(**rules), EvalProtocol.of(**rules, **{field: OTHER[field]})
    assert changed.fingerprint() != default.fingerprint()
    assert changed.describe() != default.describe()


def test_order_and_type_of_rates_do_not_matter():
    assert (
        EvalProtocol.of(query_rates=[4, 2, 3]).fingerprint()
        == EvalProtocol.of(query_rates=(2.0, 3.0, 4.0)).fingerprint()
    )


def test_an_option_that_is_not_asked_for_leaves_fingerprint_and_line_alone():
    assert EvalProtocol().fingerprint() == "03fa1912288e"  # as evaluation version 2 has it without these options
    assert "igc" not in EvalProtocol().describe()
    assert "|igc:3:2|v" in EvalProtocol.of(ignored_cameras="3:2").describe()


def test_ranks_are_no_rule_and_every_other_one_kept_its_place_in_the_fingerprint():
    rules = {name: value for name, value in EvalProtocol().flat().items() if name not in OPTIONS}
    assert digest({"protocol": rules, "version": 2}) == EvalProtocol().fingerprint()
    assert digest({"protocol": {**rules, "ranks": [1, 5, 10, 20]}, "version": 2}) == "e44a93f91539"


def test_ignored_cameras_have_one_spelling():
    protocol = EvalProtocol.of(ignored_cameras=" 6:2+1,3:2,6:1")
    assert protocol.scoring.ignored_cameras == "3:2,6:1+2"
    assert protocol.scoring.ignored == {3: (2,), 6: (1, 2)}


def test_fingerprint_is_the_same_in_another_process():
    code = "from crbench.protocol import EvalProtocol; print(EvalProtocol().fingerprint())"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == EvalProtocol().fingerprint()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("identities", "random:10"),
        ("trials", 0),
        ("lr_camera", "fixed:"),
        ("query_rates", (1,)),
        ("kernel", "cubic"),
        ("encoder", "jpeg:101"),
        ("shot", "single:mc:0"),
        ("ties", "random"),
        ("ignored_cameras", "3"),
        ("ignored_cameras", "3:-1"),
        ("ignored_cameras", ""),
        ("ignored_cameras", ("3:2",)),
        ("shrink_from", "256"),
        ("degradation", "fog:1"),
        ("degradation", "blur:0"),
        ("degradation", "jpeg:50.5"),
        ("degradation", "shrink,shrink"),
        ("degradation", ""),
        ("gallery_rates", (0.5, 2)),
        ("shrink_from", "0x128"),
    ],
)
def test_values_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        EvalProtocol.of(**{field: value})


def test_the_flat_mapping_is_another_spelling_of_the_groups():
    protocol = EvalProtocol.of(**OTHER)
    assert protocol.flat() == OTHER
    assert EvalProtocol.of(**json.loads(json.dumps(protocol.flat()))) == protocol
    assert EvalProtocol().changed(**OTHER) == protocol
    assert (protocol.split.trials, protocol.images.kernel, protocol.scoring.distance) == (3, "bicubic", "euclidean")
    assert EvalProtocol(images=ImageRules(kernel="bicubic")) == EvalProtocol.of(kernel="bicubic")


def test_no_two_groups_share_a_name():
    protocol = EvalProtocol()
    names = ["name", *(field.name for group in protocol.groups.values() for field in attrs.fields(type(group)))]
    assert sorted(protocol.flat()) == sorted(names)


def test_rules_that_exclude_each_other_are_refused_however_they_are_given():
    for make in (lambda: EvalProtocol.of(rerank="k1=20"), lambda: ScoringRules(rerank="k1=20")):
        with pytest.raises(ValueError, match=r"protocol\.rerank: one gallery image per person \(shot=single:exact\)"):
            make()
    multi = EvalProtocol.of(shot="multi", rerank="k1=20")
    with pytest.raises(ValueError, match=r"protocol\.rerank"):
        multi.changed(shot="single:exact")
    assert multi.changed(shot="single:exact", rerank="none").scoring.rerank == "none"


def test_a_rule_that_is_none_is_named():
    with pytest.raises(
        TypeError, match=r"no rule of a protocol is called 'kernal'; did you mean 'kernel'. known: antialias, ap, "
    ):
        EvalProtocol.of(kernal="box")
    with pytest.raises(TypeError, match="'scoring' must be"):
        EvalProtocol(scoring=ImageRules())

"""What a result says of itself follows from its own fields: an edited or impossible file is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from result_facts import facts_of

from crbench.errors import DataError
from crbench.protocol import EVALUATION_VERSION, EvalProtocol
from crbench.protocol.rules import describe_rules, fingerprint_rules
from crbench.registry.resolve import resolve
from crbench.results import ProtocolFacts, RateScores, Result, TrialScores, block_fingerprint, from_json, to_json

GOLDEN = Path(__file__).parents[1] / "golden"
NEW, OLD = ((GOLDEN / f"result-{version}.json").read_text(encoding="utf-8") for version in (2, 1))


def golden() -> Result:
    return from_json(NEW, "golden")


def read(change: Callable[[dict[str, Any]], None], text: str = NEW) -> Result:
    """The golden result after a change of its file."""
    content = json.loads(text)
    change(content)
    return from_json(json.dumps(content), "edited.json")


def set_rule(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["protocol"]["rules"].update({name: value})


EDITS: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (lambda c: c.update(fingerprint="a" * 12), "fingerprint: 'aaaaaaaaaaaa' does not follow"),
    (lambda c: c.update(dataset="mlr-viper"), "fingerprint: .* does not follow from data set, rules, limit"),
    (lambda c: c.update(limit=3), "fingerprint: .* does not follow from data set, rules, limit"),
    (lambda c: c["protocol"].update(describe="p:mlr"), r"protocol\.describe: 'p:mlr' does not follow"),
    (lambda c: c["protocol"].update(fingerprint="a" * 12), r"protocol\.fingerprint: 'aaaaaaaaaaaa' does not follow"),
    (lambda c: c["protocol"].update(name="other"), r"protocol\.name: 'other' does not follow from protocol\.rules"),
    (lambda c: c.update(rate_source="presumed"), "rate_source: 'presumed' does not follow"),
    (lambda c: c.update(evaluation_version=1), r"protocol\.describe: .*which give .*\|v1'"),
    (set_rule("kernel", "bicubic"), r"protocol\.describe: .*ker:bilinear.* which give .*ker:bicubic"),
    (set_rule("colour", "red"), r"protocol\.rules: unknown rule 'colour'"),
]


@pytest.mark.parametrize(("change", "message"), EDITS)
def test_an_edited_file_is_refused_by_name(change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(DataError, match=rf"^edited\.json: not a valid result: {message}"):
        read(change)


def test_a_copied_fingerprint_over_other_rules_is_refused() -> None:
    """Before, such a file was ranked with the rest."""
    other = ProtocolFacts.of(EvalProtocol.of(ties="optimistic"))
    with pytest.raises(ValueError, match=r"fingerprint: .* does not follow"):
        attrs.evolve(golden(), protocol=other)
    result = attrs.evolve(golden(), **facts_of("mlr-synthetic", other))
    assert result.fingerprint != golden().fingerprint


def test_the_fingerprint_covers_data_set_rules_limit_and_version_and_no_more() -> None:
    rules = ProtocolFacts.of(EvalProtocol()).rules
    base = ("a", rules, None, 2)
    changes = [("b", *base[1:]), ("a", {**rules, "ap": "trapezoid"}, *base[2:]), (*base[:2], 3, 2), (*base[:3], 3)]
    assert len({block_fingerprint(*one) for one in (base, *changes)}) == 5
    assert block_fingerprint("a", {**rules, "rerank": "none"}, None, 2) == block_fingerprint(*base)
    assert attrs.evolve(golden(), seed=7).fingerprint == golden().fingerprint


def test_rules_in_a_file_give_the_line_and_fingerprint_of_the_protocol() -> None:
    for protocol in (EvalProtocol(), EvalProtocol.of(shot="multi", rerank="k1=20,k2=6,lambda=0.3", query_rates=())):
        rules = json.loads(json.dumps(ProtocolFacts.of(protocol).rules))
        assert describe_rules(rules) == protocol.describe()
        assert fingerprint_rules(rules) == protocol.fingerprint()


def test_what_is_limited_or_of_an_unknown_evaluation_is_not_rankable() -> None:
    result = golden()
    assert result.rankable
    limited = attrs.evolve(result, **facts_of(result.dataset, result.protocol, limit=3))
    assert not limited.rankable
    version = EVALUATION_VERSION + 1
    rules = result.protocol.rules
    facts = attrs.evolve(
        result.protocol, describe=describe_rules(rules, version), fingerprint=fingerprint_rules(rules, version)
    )
    own = block_fingerprint(result.dataset, rules, None, version)
    assert not attrs.evolve(result, protocol=facts, evaluation_version=version, fingerprint=own).rankable


def test_results_of_other_trials_or_images_have_other_trial_sets() -> None:
    result = golden()
    first, second = result.trials
    other = [
        (first,),
        (first, attrs.evolve(second, data="f" * 12)),
        (first, attrs.evolve(second, split="f" * 64)),
        (attrs.evolve(first, index=5), second),
    ]
    sets = {_with_trials(result, trials).trial_set for trials in other}
    assert len({result.trial_set, *sets}) == 5
    assert _with_trials(result, (second, first)).trial_set == result.trial_set


def _with_trials(result: Result, trials: tuple[TrialScores, ...]) -> Result:
    kept = {field.name: getattr(result, field.name) for field in attrs.fields(Result) if field.init}
    del kept["metrics"], kept["by_rate"]
    return Result(**{**kept, "trials": trials})


TRIAL: dict[str, Any] = {"index": 0, "split": "1" * 64, "n_query": 4, "n_valid": 3, "cmc": (0.25, 0.5, 0.5)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cmc": (0.5, 0.25)}, "cmc: the curve falls"),
        ({"n_valid": 5}, "n_valid: 5 queries have a match, of only 4"),
        ({"split": "1" * 12}, "split"),
        ({"data": "xyz"}, "data"),
        ({"skipped": -1}, "skipped"),
        ({"n_persons": 0}, "n_persons"),
        ({"by_rate": {"2": RateScores(cmc=(0.5,), n_query=2, n_valid=2)}}, "n_valid: 3 .* but 2 over all rates"),
        (
            {"by_rate": {rate: RateScores(cmc=(1,), n_query=3, n_valid=valid) for rate, valid in (("2", 1), ("3", 2))}},
            "n_query: 4 queries, but 6 over all rates",
        ),
    ],
)
def test_impossible_scores_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrialScores(**{**TRIAL, **change})


def test_rates_without_a_valid_query_may_be_left_out() -> None:
    by_rate = {"2": RateScores(cmc=(0.5,), n_query=3, n_valid=3)}
    assert TrialScores(**TRIAL, by_rate=by_rate).n_query == 4


def test_a_curve_may_fall_by_roundings() -> None:
    assert TrialScores(**{**TRIAL, "cmc": (0.3 + 1e-16, 0.3)}).cmc[1] == 0.3


# version 1


def test_version_1_is_read_with_what_it_knows_of_each_trial() -> None:
    result = from_json(OLD, "old")
    assert [trial.split[0] for trial in result.trials] == ["1", "2"]
    assert {(trial.data, trial.skipped, trial.n_gallery, trial.n_persons) for trial in result.trials} == {
        (None, 0, None, None)
    }
    assert result.data.checksum == "7" * 64
    assert (result.evaluation_version, result.limit, result.rankable) == (1, None, True)
    assert result.fingerprint == block_fingerprint("mlr-synthetic", result.protocol.rules, None, 1)
    assert from_json(to_json(result), "new") == result


def test_a_limit_of_version_1_is_that_of_its_command() -> None:
    def limited(content: dict[str, Any]) -> None:
        content["rankable"] = False
        content["command"] += " --limit 12 --seed 0"

    assert read(limited, OLD).limit == 12
    assert not read(limited, OLD).rankable
    with pytest.raises(DataError, match="lacks limit"):
        read(lambda content: content.update(rankable=False), OLD)


@pytest.mark.parametrize(
    "change",
    [
        set_rule("kernel", "bicubic"),
        set_rule("ranks", [1, 3]),
        lambda content: content["protocol"].update(fingerprint="a" * 12),
    ],
)
def test_an_edited_file_of_version_1_is_refused_too(change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(DataError, match=r"edited\.json: not a valid result: protocol\."):
        read(change, OLD)


def test_skipped_images_of_several_trials_of_version_1_are_of_no_known_trial() -> None:
    result = read(lambda content: content["data"].update(skipped=3), OLD)
    assert [trial.skipped for trial in result.trials] == [None, None]


# methods


def test_parameters_that_differ_from_the_preset_are_known() -> None:
    assert resolve("aligner", "vpfa/paper").changed == ()
    assert resolve("aligner", "vpfa/paper", {"epochs": 1}).changed == ("epochs",)
    same = resolve("aligner", "vpfa/paper").parameters["epochs"]
    assert resolve("aligner", "vpfa/paper", {"epochs": same}).changed == ()
    assert resolve("aligner", "ridge", {"alpha": 2.0}).changed == ("alpha",)
    assert resolve("backbone", "timm:resnet18").changed == ()

"""Files of earlier schema versions: read, ranked and printed as before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crbench.errors import DataError
from crbench.protocol.hashing import digest
from crbench.report import render
from crbench.results import SCHEMA_VERSION, from_json, to_json
from crbench.results.upgrade import STEPS

FOLDER = Path(__file__).parents[1] / "golden"
FIRST = (FOLDER / "result-1.json").read_text(encoding="utf-8")


def multi_shot() -> dict:
    """The golden file of version 1 with the scores of a multi-shot protocol."""
    content = json.loads(FIRST)
    for trial in content["trials"]:
        for part in (trial, *trial["by_rate"].values()):
            part |= {"mAP": 0.4 + trial["index"] / 10, "mINP": 0.25}
    for metrics in (content["metrics"], *content["by_rate"].values()):
        metrics["mAP"] = {"mean": 0.45, "std": 0.5**0.5 / 10, "values": [0.4, 0.5]}
        metrics["mINP"] = {"mean": 0.25, "std": 0.0, "values": [0.25, 0.25]}
    return content


def test_every_earlier_version_has_a_step() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))


def test_a_file_of_version_1_is_read_whole() -> None:
    before, result = json.loads(FIRST), from_json(FIRST, "old")
    after = json.loads(to_json(result))
    assert (after.pop("schema_version"), after.pop("metric_facts")) == (SCHEMA_VERSION, {})
    for part in [part for trial in after["trials"] for part in (trial, *trial["by_rate"].values())]:
        assert part.pop("scores") == {}
    for part in [part for trial in before["trials"] for part in (trial, *trial["by_rate"].values())]:
        assert (part.pop("mAP"), part.pop("mINP")) == (None, None)
    moved = [trial.pop("split") for trial in after["trials"]]
    assert before["data"].pop("splits") == moved
    assert before["protocol"]["rules"].pop("ranks") == [1, 5, 10, 20]
    for name in ("describe", "fingerprint"):
        assert before["protocol"].pop(name) != after["protocol"].pop(name)
    assert before.pop("fingerprint") != after.pop("fingerprint")
    for name in ("schema_version", "rankable"):
        before.pop(name)
    assert before["data"].pop("skipped") == 0
    assert _within(before, after)
    assert "R1" in render([result])


def _within(one: object, other: object) -> bool:
    """Whether all that `one` says stands in `other` too."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(name in other and _within(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_within, one, other))
    return one == other


def with_ranks(content: dict, ranks: list[int]) -> dict:
    """A file of version 1 of a protocol with these ranks, whose curves end at the last of them."""
    for part in [part for trial in content["trials"] for part in (trial, *trial["by_rate"].values())]:
        part["cmc"] = part["cmc"][: max(ranks)]
    protocol = content["protocol"]
    protocol["rules"]["ranks"] = ranks
    protocol["describe"] = protocol["describe"].replace("r:1,5,10,20", f"r:{','.join(map(str, ranks))}")
    protocol["fingerprint"] = digest({"protocol": protocol["rules"], "version": 1})
    for metrics in (content["metrics"], *content["by_rate"].values()):
        kept = metrics.pop("R5")
        metrics.clear()
        metrics |= {f"R{rank}": kept for rank in ranks}
    return content


def test_summaries_of_version_1_stand_at_the_ranks_of_today_as_far_as_curves_go() -> None:
    result = from_json(json.dumps(with_ranks(json.loads(FIRST), [3, 7])), "old")
    assert list(result.metrics) == list(result.by_rate["2"]) == ["R1", "R5"]
    assert result.metrics["R5"].values == tuple(trial.cmc[4] for trial in result.trials)
    assert from_json(to_json(result), "new") == result
    assert "R5" in render([result])


def test_a_summary_of_version_1_that_its_trials_do_not_give_is_named() -> None:
    content = json.loads(FIRST)
    content["metrics"]["R5"]["mean"] = 0.9
    with pytest.raises(DataError, match=r"metrics\.R5: mean 0\.9 disagrees with the trials"):
        from_json(json.dumps(content), "old")


def test_scores_of_version_1_get_names_and_facts() -> None:
    result = from_json(json.dumps(multi_shot()), "old")
    assert result.trials[1].scores == {"mAP": 0.5, "mINP": 0.25}
    assert result.trials[1].by_rate["2"].scores == {"mAP": 0.5, "mINP": 0.25}
    facts = result.metric_facts["mAP"]
    assert (facts.higher_is_better, facts.unit, facts.distribution) == (True, "fraction", "crbench")
    assert facts.version == result.environment.crbench
    assert from_json(to_json(result), "new") == result
    assert "mINP" in render([result])


@pytest.mark.parametrize(("name", "field", "value"), [("mAP", "unit", "number"), ("mINP", "higher_is_better", False)])
def test_direction_and_unit_of_our_own_scores_are_no_matter_of_a_file(name: str, field: str, value: object) -> None:
    content = json.loads(to_json(from_json(json.dumps(multi_shot()), "old")))
    content["metric_facts"][name][field] = value
    with pytest.raises(
        DataError, match=rf"edited: .*metric_facts\.{name}: another direction or unit than crbench's own"
    ):
        from_json(json.dumps(content), "edited")


def test_fields_of_version_2_in_a_file_of_version_1_are_named_not_replaced() -> None:
    content = multi_shot()
    content["metric_facts"] = {}
    with pytest.raises(DataError, match=r"lacks scores @ \$\.trials\[0\]"):
        from_json(json.dumps(content), "old")
    content = multi_shot()
    content["trials"][0]["scores"] = {"mAP": 0.9}
    with pytest.raises(DataError, match=r"lacks metric_facts"):
        from_json(json.dumps(content), "old")


@pytest.mark.parametrize(
    ("name", "value"), [("trials", 3), ("trials", ["x"]), ("trials", [{"by_rate": 1}]), ("environment", None)]
)
def test_a_damaged_file_of_version_1_is_named(name: str, value: object) -> None:
    content = multi_shot()
    content[name] = value
    with pytest.raises(DataError, match=r"^old: not a valid result: "):
        from_json(json.dumps(content), "old")


def test_a_result_that_version_0_1_0_wrote_is_verified_ranked_and_kept() -> None:
    """Made by ``crbench run`` of 0.1.0: re-ranked, two ranks printed, so that curves have three entries."""
    result = from_json((FOLDER / "result-1-run.json").read_text(encoding="utf-8"), "run")
    assert list(result.metrics) == ["R1", "mAP", "mINP"]
    assert result.protocol.rules["rerank"] == "k1=5,k2=2,lambda=0.3"
    assert (result.evaluation_version, result.rankable) == (2, True)
    assert "mean-shift" in render([result])
    assert from_json(to_json(result), "new") == result

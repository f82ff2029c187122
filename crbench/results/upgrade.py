"""Result files of earlier schema versions, brought up to date before they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any


def upgraded(content: Any) -> Any:
    """The content of a result file in the newest schema version; what is no result of an earlier one stays as it is.

    Steps keep what they do not expect, so that the reader names it: it checks everything afterwards.
    """
    while isinstance(content, dict) and type(version := content.get("schema_version")) is int and version in STEPS:
        content = STEPS[version](content) | {"schema_version": version + 1}
    return content


def _without_ranks(content: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: the ranks that were printed are no rule any more; summaries at them stay, and are checked."""
    protocol = content.get("protocol")
    if not isinstance(protocol, dict) or not isinstance(rules := protocol.get("rules"), dict):
        return content
    kept = {name: value for name, value in rules.items() if name != "ranks"}
    return {**content, "protocol": {**protocol, "rules": kept}}


def _scores_by_name(content: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: mAP and mINP of trials and rates become ``scores`` by name, without those that are undefined.

    A file that has fields of version 2 already is left as it is, and the reader names what is wrong with it.
    """

    def part(scores: Any) -> Any:
        if not isinstance(scores, dict):
            return scores
        kept = {name: value for name, value in scores.items() if name not in _V1_SCORES}
        named = {name: scores[name] for name in _V1_SCORES if scores.get(name) is not None}
        by_rate = scores.get("by_rate")
        rates = {"by_rate": {rate: part(one) for rate, one in by_rate.items()}} if isinstance(by_rate, dict) else {}
        return {**kept, "scores": named, **rates}

    trials = content.get("trials")
    if not isinstance(trials, list) or "metric_facts" in content or any("scores" in trial for trial in _dicts(trials)):
        return content
    new = [part(trial) for trial in trials]
    present = {name for trial in _dicts(new) for name in trial["scores"]}
    environment = content.get("environment")
    version = environment.get("crbench") if isinstance(environment, dict) else None
    facts = {
        name: {
            "higher_is_better": True,
            "unit": "fraction",
            "summary": summary,
            "distribution": "crbench",
            "version": version,
        }
        for name, summary in _V1_SCORES.items()
        if name in present
    }
    return {**content, "trials": new, "metric_facts": facts}


def _dicts(values: list[Any]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


_V1_SCORES = {"mAP": "mean average precision", "mINP": "mean inverse negative penalty"}

STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = MappingProxyType(
    {1: lambda content: _scores_by_name(_without_ranks(content))}
)
"""What brings content of a schema version to the next one."""

"""Result files of earlier schema versions, brought up to date before they are read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from crbench.metrics.cmc import SUMMARY_RANKS
from crbench.protocol.hashing import digest
from crbench.protocol.rules import asked_rules, describe_rules, fingerprint_rules
from crbench.results.rules import block_fingerprint
from crbench.results.scores import Summary


def upgraded(content: Any) -> Any:
    """The content of a result file in the newest schema version; what is no result of an earlier one stays as it is.

    Steps keep what they do not expect, so that the reader names it: it checks everything afterwards.
    """
    while isinstance(content, dict) and type(version := content.get("schema_version")) is int and version in STEPS:
        content = STEPS[version](content) | {"schema_version": version + 1}
    return content


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
            "code_sha256": None,
        }
        for name, summary in _V1_SCORES.items()
        if name in present
    }
    return {**content, "trials": new, "metric_facts": facts}


def _facts_of_trials(content: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: what the result said of all trials together goes to each of them, as far as it is known of one."""
    data, trials, method = (content.get(name) for name in ("data", "trials", "method"))
    if not isinstance(data, dict) or not isinstance(trials, list) or not isinstance(method, dict):
        return content
    splits, skipped = data.get("splits"), data.get("skipped")
    if not isinstance(splits, list) or (content.get("status") == "ok" and len(splits) != len(trials)):
        return content
    backbone = method.get("backbone")
    own = {
        "data": None,
        "fitted": None,
        "skipped": skipped if len(trials) == 1 or not skipped else None,
        "weights_sha256": backbone.get("weights_sha256") if isinstance(backbone, dict) else None,
        "training": None,
        "n_gallery": None,
        "n_persons": None,
    }
    new = [
        {**own, "split": split, **trial} if isinstance(trial, dict) else trial
        for trial, split in zip(trials, splits, strict=False)
    ]
    kept = {name: value for name, value in data.items() if name not in ("splits", "skipped")}
    return {
        **content,
        "trials": new,
        "data": {"parameters": {}, "changed": {}, "deviations": [], **kept},
        "weights": [],
        "code": {},
        "intervals": None,
        "outcomes": None,
        "content_sha256": None,
    }


def _facts_of_methods(content: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: what version 1 did not tell of a method is not known."""
    method = content.get("method")
    if not isinstance(method, dict):
        return content
    new: dict[str, Any] = {"changed": {}, "code_sha256": None, "transductive": False, "macs": None, "fitted_on": None}
    parts = {name: {**new, **one} if isinstance(one, dict) else one for name, one in method.items()}
    return {**content, "method": {"columns": None, "gallery_passes": None, **parts}}


def _facts_of_rules(content: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: the evaluation version becomes a field, `rankable` the limit, and fingerprints are those of today.

    Line and fingerprint of the protocol are replaced only if they follow from the rules, printed ranks included, which
    were one of them; others stay, and the reader refuses them.
    """
    protocol = content.get("protocol")
    if not isinstance(protocol, dict) or not isinstance(protocol.get("rules"), dict):
        return content
    described = str(protocol.get("describe"))
    found = re.fullmatch(r"v([1-9]\d{0,8})", described.rpartition("|")[2])
    if found is None:
        return content
    version, rules = int(found[1]), {name: value for name, value in protocol["rules"].items() if name != "ranks"}
    new = {**content, "protocol": {**protocol, "rules": rules}, "evaluation_version": version}
    try:
        line, shown = describe_rules(rules, version), asked_rules(rules)
    except (TypeError, ValueError):  # impossible values, which the reader of the result reports
        return new
    ranks = {name: value for name, value in protocol["rules"].items() if name == "ranks"}
    # Version 1 had the parts in another order.
    parts = [part for part in described.split("|") if not part.startswith("r:")]
    old = digest({"protocol": {**shown, **ranks}, "version": version})
    if sorted(parts) == sorted(line.split("|")) and old == protocol.get("fingerprint"):
        facts = {"rules": rules, "describe": line, "fingerprint": fingerprint_rules(rules, version)}
        new["protocol"] = {**protocol, **facts}
    limit = re.search(r" --limit ([1-9]\d{0,8})\b", str(content.get("command")))
    if type(content.get("rankable")) is not bool or content["rankable"] != (limit is None):
        return new
    new["limit"] = None if limit is None else int(limit[1])
    new["fingerprint"] = block_fingerprint(str(content.get("dataset")), rules, new["limit"], version)
    return {name: value for name, value in new.items() if name != "rankable"}


def _summaries(content: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: summaries stand at the ranks that every result has, as far as curves go, not at those of the protocol."""
    trials = _dicts(content["trials"]) if isinstance(content.get("trials"), list) else []
    rates = [trial["by_rate"] for trial in trials if isinstance(trial.get("by_rate"), dict)]

    def new(metrics: Any, parts: list[dict[str, Any]]) -> Any:
        curves = [part.get("cmc") for part in parts]
        if not isinstance(metrics, dict) or not all(_is_curve(curve) for curve in curves):
            return metrics
        reached = min((len(curve) for curve in curves if curve), default=0)
        values = {f"R{k}": [curve[k - 1] for curve in curves if curve] for k in SUMMARY_RANKS if k <= reached}
        means = {name: value for name, value in metrics.items() if not re.fullmatch(r"R[1-9]\d*", name)}
        return {name: metrics.get(name, attrs.asdict(Summary.of(own))) for name, own in values.items()} | means

    by_rate = content.get("by_rate")
    if isinstance(by_rate, dict):
        by_rate = {rate: new(one, _dicts([own[rate] for own in rates if rate in own])) for rate, one in by_rate.items()}
    return {**content, "metrics": new(content.get("metrics"), trials), "by_rate": by_rate}


def _is_curve(curve: Any) -> bool:
    return isinstance(curve, list) and all(type(value) in (int, float) and math.isfinite(value) for value in curve)


def _first_step(content: dict[str, Any]) -> dict[str, Any]:
    for step in (_scores_by_name, _summaries, _facts_of_trials, _facts_of_methods, _facts_of_rules):
        content = step(content)
    return content


def _dicts(values: list[Any]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


_V1_SCORES = {"mAP": "mean average precision", "mINP": "mean inverse negative penalty"}

STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = MappingProxyType({1: _first_step})
"""What brings content of a schema version to the next one."""

"""What a method is called in a table: short, distinct and safe to print."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from crbench.results import Component, Result
from crbench.results.labels import clean, component_label


def backbone_label(result: Result) -> str:
    """The backbone's `component_label`, with its arithmetic where that is not float32: ``resnet50 bf16``."""
    label, amp = component_label(result.method.backbone), result.extraction.amp
    return label if amp == "off" else f"{label} {amp}"


def distinct_labels(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Labels of backbone and aligner for each result.

    Results that would have equal labels get in brackets what they differ in: parameters, versions, weights, extraction,
    seed, trials.

    Returns:
        One (backbone, aligner) pair per result, in order.
    """
    labels = [(backbone_label(result), component_label(result.method.aligner)) for result in results]
    clashes = defaultdict(list)
    for index, label in enumerate(labels):
        clashes[label].append(index)
    for indices in clashes.values():
        if len(indices) > 1:
            for index, label in zip(indices, _told_apart([results[i] for i in indices]), strict=True):
                labels[index] = label
    return labels


def _told_apart(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Labels of results whose plain labels are equal."""
    backbones = differences([{**_facts(r.method.backbone), **attrs.asdict(r.extraction)} for r in results])
    aligners = differences(
        [
            {**_facts(r.method.aligner), "seed": r.seed, "trials": ",".join(str(trial.index) for trial in r.trials)}
            for r in results
        ]
    )
    if len(set(zip(backbones, aligners, strict=True))) < len(results):
        aligners = [f"{bracket} #{result.cell_id}" for bracket, result in zip(aligners, results, strict=True)]
    return [
        (
            backbone_label(result) + clean(backbone),
            component_label(result.method.aligner) + clean(aligner),
        )
        for result, backbone, aligner in zip(results, backbones, aligners, strict=True)
    ]


def _facts(component: Component) -> dict[str, Any]:
    weights = component.weights_sha256
    return {**component.parameters, "version": component.version, "weights": weights[:8] if weights else None}


def differences(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each item, the facts in which the items differ, as `` [a=1, b=2]``; empty where they agree in all.

    Example:
        >>> differences([{"a": 1, "b": 2}, {"a": 1, "b": 3}])
        [' [b=2]', ' [b=3]']
    """
    names = list(dict.fromkeys(name for item in facts for name in item))
    varying = [name for name in names if any(item.get(name) != facts[0].get(name) for item in facts)]
    texts = [", ".join(f"{name}={item[name]}" for name in varying if item.get(name) is not None) for item in facts]
    return [f" [{text}]" if text else "" for text in texts]

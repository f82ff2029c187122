"""What a method is called in a table: short, distinct and safe to print."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from crbench.leaderboard.joined import Joined, fitted_weights
from crbench.protocol.hashing import digest
from crbench.results import Component, Result
from crbench.results.labels import clean, component_label


def backbone_label(result: Result) -> str:
    """The backbone's `component_label`, with its arithmetic where that is not float32: ``resnet50 bf16``."""
    label, amp = component_label(result.method.backbone), result.extraction.amp
    return label if amp == "off" else f"{label} {amp}"


def distinct_labels(rows: Sequence[Sequence[Joined]]) -> list[tuple[str, str]]:
    """Labels of backbone and aligner for each row, given by its trainings.

    Rows that would have equal labels get in brackets what they differ in: parameters, distributions, versions,
    code, extraction, device, and of a single training weights and seed; or, where that is nothing, the cell and file
    that they come from.

    Returns:
        One (backbone, aligner) pair per row, in order.
    """
    first = [trainings[0].result for trainings in rows]
    labels = [(backbone_label(result), component_label(result.method.aligner)) for result in first]
    clashes = defaultdict(list)
    for index, label in enumerate(labels):
        clashes[label].append(index)
    for indices in clashes.values():
        if len(indices) > 1:
            for index, label in zip(indices, _told_apart([rows[i] for i in indices]), strict=True):
                labels[index] = label
    return labels


def _told_apart(rows: Sequence[Sequence[Joined]]) -> list[tuple[str, str]]:
    """Labels of rows whose plain labels are equal."""
    results = [trainings[0].result for trainings in rows]
    backbones = differences([_backbone_facts(trainings) for trainings in rows])
    aligners = plain = differences([_aligner_facts(trainings) for trainings in rows])
    for tell in (
        lambda r: f"#{r.cell_id}",
        lambda r: Path(r.origin or r.created).stem,
        lambda r: r.origin or r.created,
    ):
        if len(set(zip(backbones, aligners, strict=True))) == len(rows):
            break
        aligners = [f"{text} {tell(result)}" for text, result in zip(plain, results, strict=True)]
    return [
        (
            backbone_label(result) + clean(backbone),
            component_label(result.method.aligner) + clean(aligner),
        )
        for result, backbone, aligner in zip(results, backbones, aligners, strict=True)
    ]


def _backbone_facts(trainings: Sequence[Joined]) -> dict[str, Any]:
    """What may tell how a row came to its features."""
    result = trainings[0].result
    return {
        **_facts(result.method.backbone),
        "weights": _single(trainings, _short(trial.weights_sha256 for trial in trainings[0].trials)),
        **attrs.asdict(result.extraction),
        "device": result.environment.device,
        **{f"{part} code": _short([code]) for part, code in result.code.items()},
    }


def _aligner_facts(trainings: Sequence[Joined]) -> dict[str, Any]:
    """What may tell how a row aligned them."""
    result = trainings[0].result
    return {
        **_facts(result.method.aligner),
        "files": _short(fitted_weights(result)),
        "seed": _single(trainings, result.seed),
    }


def _single(trainings: Sequence[Joined], fact: Any) -> Any:
    """A fact that trainings of one row do not share."""
    return fact if len(trainings) == 1 else None


def _facts(component: Component) -> dict[str, Any]:
    """What tells a component from another of its label; what was changed stands in the label already."""
    parameters = {name: value for name, value in component.parameters.items() if name not in component.changed}
    code, weights = _short([component.code_sha256]), _short([component.weights_sha256])
    package = {"distribution": component.distribution, "version": component.version}
    return {**parameters, **package, "code": code, "weights": weights}


def _short(digests: Iterable[str | None]) -> str | None:
    """Eight digits that stand for one digest, or for the list of several; None where there is none."""
    different = list(dict.fromkeys(filter(None, digests)))
    if len(different) > 1:
        return digest(different)[:8]
    return different[0][:8] if different else None


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

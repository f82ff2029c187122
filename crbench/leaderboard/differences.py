"""Why the numbers of two results may differ: the facts in which they do, beside scores, times and file names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from crbench.leaderboard.board import trial_list
from crbench.protocol import EvalProtocol
from crbench.protocol.hashing import digest
from crbench.protocol.rules import asked_rules
from crbench.results import Component, Result, TrialScores
from crbench.results.labels import clean, dataset_name, with_distinct_folders

Part = Literal["protocol", "data", "weights", "method", "code", "environment"]

NONE = "-"
"""Stands for what one of two results does not have, or does not tell."""

_SHOWN_FACTS = 3

_SHORT = 12
"""Digits of a digest that are shown."""


@attrs.frozen
class Difference:
    """One fact in which two results differ.

    Attributes:
        part: what it belongs to.
        name: of the fact, as the result file or ``--set`` names it, or in words.
        first, second: its values, on one line and safe to print; ``-`` = it has none, or none is known.
        meaning: of a rule of the protocol; else empty.
        forbids: scores that differ in it answer different questions, and are not compared.
    """

    part: Part
    name: str
    first: str
    second: str
    meaning: str = ""
    forbids: bool = False


def differences(
    first: Result, second: Result, trials: tuple[Sequence[TrialScores], Sequence[TrialScores]] | None = None
) -> tuple[Difference, ...]:
    """All facts in which two results differ, those of the protocol first.

    Args:
        trials: those of each, where they come from further results too; None = of these two.
    """
    sides = trials or (first.trials, second.trials)
    first, second = with_distinct_folders([first, second])
    pairs = shared_trials(*sides)
    return (
        *_unlike("protocol", _protocol(first), _protocol(second), _meanings(), forbids=True),
        *_unlike("data", _copy(first), _copy(second), forbids=True),
        *_unlike_trials("data", pairs, {"lists of images": "split", "images": "data"}, forbids=True),
        *_unlike("data", _data(first), _data(second)),
        *_unlike("data", *map(_counts, sides)),
        *_unlike_trials("weights", pairs, {"weights": "weights_sha256", "training": "training"}),
        *_unlike("weights", _weights(first), _weights(second)),
        *_unlike("method", _methods(first), _methods(second)),
        *_unlike("code", _code(first), _code(second)),
        *_unlike("environment", _environment(first), _environment(second)),
    )


def first_few(found: Sequence[Difference]) -> str:
    """Some differences in one line, the first three with both values."""
    more = f" and {len(found) - _SHOWN_FACTS} more" if len(found) > _SHOWN_FACTS else ""
    return ", ".join(f"{one.name} ({one.first} and {one.second})" for one in found[:_SHOWN_FACTS]) + more


def shared_trials(first: Sequence[TrialScores], second: Sequence[TrialScores]) -> list[tuple[TrialScores, TrialScores]]:
    """The trials that both have, by their numbers."""
    own = {trial.index: trial for trial in first}
    return [(own[trial.index], trial) for trial in second if trial.index in own]


def _unlike(
    part: Part,
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    meanings: Mapping[str, str] | None = None,
    *,
    forbids: bool = False,
) -> Iterator[Difference]:
    for name in dict.fromkeys([*first, *second]):
        one, other = _text(first.get(name)), _text(second.get(name))
        if one != other:
            yield Difference(part, clean(name), one, other, (meanings or {}).get(name, ""), forbids)


def _unlike_trials(
    part: Part, pairs: Sequence[tuple[TrialScores, TrialScores]], fields: Mapping[str, str], *, forbids: bool = False
) -> Iterator[Difference]:
    """One line for all trials that differ in one fact."""
    for words, field in fields.items():
        unlike = [pair for pair in pairs if getattr(pair[0], field) != getattr(pair[1], field)]
        if unlike:
            one, other = ([getattr(trial, field) for trial in side] for side in zip(*unlike, strict=True))
            numbers = [trial.index for trial, _ in unlike]
            name = f"{words} of trial{'s' if len(numbers) > 1 else ''} {trial_list(numbers)}"
            yield Difference(part, name, _digests(one), _digests(other), forbids=forbids)


def _protocol(result: Result) -> dict[str, Any]:
    return {
        "data set": dataset_name(result),
        **asked_rules(result.protocol.rules),
        "evaluation version": result.evaluation_version,
        "limit": result.limit,
    }


def _meanings() -> dict[str, str]:
    groups = EvalProtocol().groups.values()
    return {field.name: field.metadata["doc"] for group in groups for field in attrs.fields(type(group))}


def _copy(result: Result) -> dict[str, Any]:
    return {"lists and images of all trials": _digest(result.data.checksum)}


def _data(result: Result) -> dict[str, Any]:
    return {
        **result.data.parameters,
        "other than published": ", ".join(result.data.deviations) or None,
        **{f"left out, {name}": count for name, count in result.data.notes.items()},
    }


def _counts(trials: Sequence[TrialScores]) -> dict[str, Any]:
    """Of all trials together: one line, even where each trial has a number of its own."""
    fields = {"gallery images": "n_gallery", "persons": "n_persons", "queries": "n_query", "skipped images": "skipped"}
    found = {name: _each(getattr(trial, field) for trial in trials) for name, field in fields.items()}
    return {"trials": trial_list([trial.index for trial in trials]), **found}


def _weights(result: Result) -> dict[str, Any]:
    fields = ("origin", "known", "seed", "device", "threads")
    return {f"weights: {field}": _each(getattr(one, field) for one in result.weights) for field in fields}


def _methods(result: Result) -> dict[str, Any]:
    parts = {"backbone": result.method.backbone, "aligner": result.method.aligner}
    return {
        **{kind: part.name for kind, part in parts.items()},
        **{f"{kind}.{name}": value for kind, part in parts.items() for name, value in _component(part).items()},
        **attrs.asdict(result.extraction),
        "seed": result.seed,
    }


def _component(part: Component) -> dict[str, Any]:
    return {"preset": part.preset, "trained": part.trained, "transductive": part.transductive, **part.parameters} | (
        {f"fitted on: {name}": value for name, value in part.fitted_on.deciding().items()} if part.fitted_on else {}
    )


def _code(result: Result) -> dict[str, Any]:
    parts = {"backbone": result.method.backbone, "aligner": result.method.aligner}
    return {
        **{f"package of the {kind}": f"{part.distribution} {part.version}" for kind, part in parts.items()},
        **{f"code of the {kind}": _digest(part.code_sha256) for kind, part in parts.items()},
        **{f"code of the {kind}": _digest(code) for kind, code in result.code.items()},
        **{f"code of score {name}": _digest(one.code_sha256) for name, one in result.metric_facts.items()},
    }


def _environment(result: Result) -> dict[str, Any]:
    fields = attrs.asdict(result.environment)
    packages = fields.pop("packages")
    return {**fields, **packages}


def _digests(values: Sequence[str | None]) -> str:
    """One digest, or one of all where they differ."""
    same = len(set(values)) == 1
    return _text(_digest(values[0])) if same else f"{digest(list(values))[:_SHORT]} (of all)"


def _digest(text: str | None) -> str | None:
    return text and text[:_SHORT]


def _text(value: Any) -> str:
    """A value on one line, as ``--set`` takes it."""
    if value is None:
        return NONE
    return clean(value if isinstance(value, str) else json.dumps(value, sort_keys=True))


def _each(values: Iterable[Any]) -> str | None:
    """The different values among several, lowest first, without those that are not known."""
    return ", ".join(_text(value) for value in sorted({value for value in values if value is not None})) or None

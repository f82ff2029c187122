"""One row from several results: trials of one method that were run apart, on one machine or on many.

Results join where everything that decides a number is equal, except for the trials: the block, the data set's
parameters, backbone and aligner with their code, the seed, the extraction and the device. Trials of one training must
have the same weights, and a trial that several results have must have the same scores in all of them. What cannot be
known to fit stands in a row of its own, and a note names the files.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Literal

import attrs

from crbench.leaderboard.agreement import agree, first_difference, united
from crbench.results import (
    LEVELS,
    Component,
    Intervals,
    Level,
    Result,
    Summary,
    TrialScores,
    WeightsFacts,
    summarise,
    summarise_rates,
    to_json,
)
from crbench.results.labels import clean, component_label

Reason = Literal["scores", "weights", "data", "code"]

_SHOWN_FILES = 4
_APART: Mapping[Reason, str] = {
    "weights": "not joined, as the same training (or --weights) has other weights in each",
    "data": "not joined, as lists or images of the trials show that the data differ",
    "code": "not joined, as they do not tell the code of the method, which may differ",
}


@attrs.frozen(kw_only=True)
class Joined:
    """The trials of one method.

    Attributes:
        results: what they come from, oldest first; at least one.
        trials: in order of their index, each once.
        metrics, by_rate: as in `crbench.results.Result`, over these trials.
        intervals: of these scores over people; None = not known.
        disputed: another result has other scores of one of these trials, and nothing tells which is right.
    """

    results: tuple[Result, ...]
    trials: tuple[TrialScores, ...]
    metrics: Mapping[str, Summary]
    by_rate: Mapping[str, Mapping[str, Summary]]
    intervals: Intervals | None = None
    disputed: bool = False

    @classmethod
    def of(cls, results: Sequence[Result], *, disputed: bool = False) -> Joined:
        """The trials of `results`, which agree where they have the same."""
        first = results[0]
        if len(results) == 1:
            trials, metrics, by_rate, intervals = first.trials, first.metrics, first.by_rate, first.intervals
        else:
            found: dict[int, TrialScores] = {}
            for trial in (trial for result in results for trial in result.trials):
                found[trial.index] = united(found.get(trial.index, trial), trial)
            trials = tuple(found[index] for index in sorted(found))
            metrics, by_rate, intervals = summarise(trials), summarise_rates(trials), None
        return cls(
            results=tuple(results),
            trials=trials,
            metrics=metrics,
            by_rate=by_rate,
            intervals=intervals,
            disputed=disputed,
        )

    @property
    def result(self) -> Result:
        """The first of `results`: its data set, rules and method are those of all."""
        return self.results[0]

    @property
    def trial_set(self) -> tuple[object, ...]:
        """Which trials there are, on which images; see `crbench.results.Result.trial_set`."""
        return self.result.data.checksum, *((trial.index, trial.split, trial.data or "") for trial in self.trials)

    @property
    def features(self) -> tuple[object, ...]:
        """What made the features: two that share it differ by their aligners alone; empty = not known."""
        weights = tuple(trial.weights_sha256 for trial in self.trials)
        backbone = self.result.method.backbone
        if None in weights and backbone.trained:
            return ()  # version 1 does not name the weights where each trial has its own
        return component_identity(backbone), weights, self.result.extraction, self.result.environment.device

    @property
    def level(self) -> Level:
        """How far all of its results were verified on this machine."""
        return min((result.level for result in self.results), key=LEVELS.index)

    @property
    def weights(self) -> tuple[WeightsFacts, ...]:
        """The provenance of all weights that were used."""
        return tuple(dict.fromkeys(one for result in self.results for one in result.weights))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of all results, each once."""
        return tuple(dict.fromkeys(warning for result in self.results for warning in result.warnings))


@attrs.frozen
class Joining:
    """What `join` gives: rows, a note for each thing that was not joined, and how many results only repeat others."""

    rows: tuple[Joined, ...]
    notes: tuple[str, ...]
    repeated: int


def join(results: Iterable[Result]) -> Joining:
    """Join results of one block.

    A result is left out where others have all its trials with the same scores. In a group of results of which some fit
    together and some do not, such that there are several ways to join them, none is joined.
    """
    groups: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    for result in results:
        groups[_identity(result)].append(result)
    rows: list[Joined] = []
    notes: list[str] = []
    repeated = 0
    for group in groups.values():
        kept = _without_repeats(_in_order(group))
        repeated += len(group) - len(kept)
        pairs = combinations(range(len(kept)), 2)
        apart = {pair: reason for pair in pairs if (reason := _misfit(kept[pair[0]], kept[pair[1]]))}
        disputed = {index for pair, reason in apart.items() if reason == "scores" for index in pair}
        for indices in _sets(len(kept), apart):
            rows.append(Joined.of([kept[index] for index in indices], disputed=not disputed.isdisjoint(indices)))
        notes += _notes(kept, apart)
    return Joining(tuple(rows), tuple(notes), repeated)


def _identity(result: Result) -> tuple[object, ...]:
    """All that decides the numbers of a trial, except for the trial and its weights; results that share it may join."""
    return *recipe(result), result.seed


def recipe(result: Result) -> tuple[object, ...]:
    """All that decides the numbers of a trial, except for the trial, the seed and the weights that it leads to."""
    return (
        *(component_identity(part) for part in (result.method.backbone, result.method.aligner)),
        fitted_weights(result),
        tuple(sorted(result.code.items())),
        json.dumps(result.data.parameters, sort_keys=True),
        result.data.deviations,
        result.extraction,
        result.environment.device,
    )


def fitted_weights(result: Result) -> tuple[str, ...]:
    """SHA-256 of the files that parameters of the aligner name: a path alone does not tell what lies there."""
    return tuple(sorted(one.sha256 for one in result.weights if one.origin == "fitted"))


def component_identity(part: Component) -> tuple[object, ...]:
    """What a backbone or aligner is, up to its weights; the version counts where the code is not known."""
    code = part.code_sha256 or f"version {part.version}"
    on = part.fitted_on and json.dumps(part.fitted_on.deciding(), sort_keys=True)
    return part.name, part.preset, json.dumps(part.parameters, sort_keys=True), part.distribution, code, on


def _in_order(results: Sequence[Result]) -> list[Result]:
    """Oldest first; the order in which they were given does not matter."""
    keys = [(result.created, result.origin or "", result.cell_id) for result in results]
    count = Counter(keys)
    texts = [to_json(result) if count[key] > 1 else "" for key, result in zip(keys, results, strict=True)]
    return [results[index] for index in sorted(range(len(results)), key=lambda index: (keys[index], texts[index]))]


def _without_repeats(results: Sequence[Result]) -> list[Result]:
    """`results` without those whose trials and scores another one has all."""
    kept: list[Result] = []
    for result in results:
        if not any(_covers(other, result) for other in kept):
            kept = [*(other for other in kept if not _covers(result, other)), result]
    return kept


def _covers(one: Result, other: Result) -> bool:
    own = {_place(trial): trial for trial in one.trials}
    pairs = [(own.get(_place(trial)), trial) for trial in other.trials]
    return one.data.checksum == other.data.checksum and all(
        mine is not None
        and mine.weights_sha256 == trial.weights_sha256
        and mine.scores.keys() >= trial.scores.keys()
        and agree(mine, trial)
        for mine, trial in pairs
    )


def _place(trial: TrialScores) -> tuple[object, ...]:
    return trial.index, trial.split, trial.data, trial.fitted


def _misfit(one: Result, other: Result) -> Reason | None:
    """Why two results of one `_identity` do not join; None = they do."""
    shared = _shared(one, other)
    if any(_place(mine) != _place(trial) for mine, trial in shared) or not _same_images(one, other):
        return "data"
    if any(_same_weights(mine, trial, one, other) and not agree(mine, trial) for mine, trial in shared):
        return "scores"
    if not all(_compatible(mine, trial) for mine in one.trials for trial in other.trials):
        return "weights"
    parts = one.method.backbone.code_sha256, one.method.aligner.code_sha256, *one.code.values()
    if None in parts:
        return "code"
    return None


def _same_images(one: Result, other: Result) -> bool:
    """Whether two results may come from the same copy of a data set.

    Where several trials of a result have the same images, each trial has all of them, and so must those of the other.
    """
    copies = [{trial.data for trial in result.trials} for result in (one, other)]
    all_in_each = all(len(copy) == 1 for copy in copies) and max(len(one.trials), len(other.trials)) > 1
    return one.data.checksum == other.data.checksum and not (all_in_each and copies[0] != copies[1])


def _shared(one: Result, other: Result) -> list[tuple[TrialScores, TrialScores]]:
    """The trials that both have."""
    own = {trial.index: trial for trial in one.trials}
    return [(own[trial.index], trial) for trial in other.trials if trial.index in own]


def _same_weights(mine: TrialScores, trial: TrialScores, one: Result, other: Result) -> bool:
    """Whether two trials are known to have the same weights; version 1 does not tell those of each trained trial."""
    if mine.weights_sha256 is None and (one.method.backbone.trained or other.method.backbone.trained):
        return False
    return mine.weights_sha256 == trial.weights_sha256


def _compatible(mine: TrialScores, trial: TrialScores) -> bool:
    """Whether trials may stand in one row: trials of different trainings have weights of their own, others the same."""
    apart = mine.training is not None and trial.training is not None and mine.training != trial.training
    return apart or mine.weights_sha256 == trial.weights_sha256


def _sets(count: int, apart: Mapping[tuple[int, int], Reason]) -> Iterator[list[int]]:
    """Which of `count` results form a row; pairs that must not are in `apart`."""
    left = list(range(count))
    while left:
        reached, new = set(), [left[0]]
        while new:
            reached.update(new)
            new = [i for i in left if i not in reached and any((min(i, j), max(i, j)) not in apart for j in reached)]
        left = [index for index in left if index not in reached]
        whole = not any(pair in apart for pair in combinations(sorted(reached), 2))
        yield from [sorted(reached)] if whole else ([index] for index in sorted(reached))


def _notes(results: Sequence[Result], apart: Mapping[tuple[int, int], Reason]) -> Iterator[str]:
    """A line for each pair that disagrees, and one for each other reason why results were not joined."""
    for (first, second), reason in apart.items():
        if reason == "scores":
            yield _dispute(results[first], results[second])
    for reason, text in _APART.items():
        indices = sorted({index for pair, own in apart.items() if own == reason for index in pair})
        if indices:
            names = [_name(results[index]) for index in indices]
            more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
            yield clean(f"{text}: {_method(results[0])}: {', '.join(names[:_SHOWN_FILES])}{more}")


def _dispute(one: Result, other: Result) -> str:
    """One line on the first trial of which two results say different things."""
    mine, trial = next(pair for pair in _shared(one, other) if not agree(*pair))
    found = first_difference(mine, trial)
    left, right = (f"{found[0]} {found[1]!r}", f"{found[2]!r}") if found else ("some counts", "other counts")
    return clean(
        f"conflict, not ranked: {_method(one)}, trial {mine.index}: {left} in {_name(one)}, {right} in {_name(other)}; "
        f"run it again with --no-resume, and remove the file that is wrong"
    )


def _method(result: Result) -> str:
    return f"{component_label(result.method.backbone)} + {component_label(result.method.aligner)}"


def _name(result: Result) -> str:
    return result.origin or f"{result.cell_id} of {result.created}"

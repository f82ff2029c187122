"""Scores of plugins that results compute by different code: they share a name and mean different things."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import attrs

from crbench.results import Result, TrialScores, summarise, summarise_rates
from crbench.results.labels import clean

_SHOWN_FILES = 2


def comparable(results: Sequence[Result]) -> tuple[list[Result], tuple[str, ...]]:
    """Results without the scores that they compute by different code, and a line for each such score.

    Nothing tells which code is right, and a number of each would stand in one column. All other scores stay.
    """
    files: dict[str, dict[str | None, list[str]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        for name, facts in result.metric_facts.items():
            files[name][facts.code_sha256].append(result.origin or result.cell_id)
    unlike = {name: by_code for name, by_code in files.items() if len(by_code) > 1}
    notes = (_note(name, by_code.values()) for name, by_code in sorted(unlike.items()))
    return [_without(result, unlike.keys() & result.metric_facts.keys()) for result in results], tuple(notes)


def _note(name: str, files: Iterable[Sequence[str]]) -> str:
    shown = "; ".join(", ".join(sorted(some)[:_SHOWN_FILES]) for some in sorted(files, key=sorted)[:_SHOWN_FILES])
    return clean(f"left out: score {name}, as its code is not the same in all results ({shown}); run them again")


def _without(result: Result, names: Iterable[str]) -> Result:
    gone = set(names)
    if not gone:
        return result
    trials = tuple(_trial(trial, gone) for trial in result.trials)
    found = attrs.evolve(
        result,
        trials=trials,
        metric_facts={name: one for name, one in result.metric_facts.items() if name not in gone},
        metrics=summarise(trials),
        by_rate=summarise_rates(trials),
        intervals=result.intervals and result.intervals.without(gone),
    )
    return found.read_from(result.origin, evidence=result.evidence)


def _trial(trial: TrialScores, gone: set[str]) -> TrialScores:
    def kept(scores: Mapping[str, float]) -> dict[str, float]:
        return {name: value for name, value in scores.items() if name not in gone}

    by_rate = {rate: attrs.evolve(part, scores=kept(part.scores)) for rate, part in trial.by_rate.items()}
    return attrs.evolve(trial, scores=kept(trial.scores), by_rate=by_rate)

"""What a reader gets on opening a row: trials, rates, command, machine, weights, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from crbench.leaderboard.board import Row
from crbench.leaderboard.formats import per_cent
from crbench.leaderboard.joined import Joined
from crbench.report.terms import code_licence, data_terms
from crbench.results import Component, Evidence, Result, Summary, WeightsFacts
from crbench.results.labels import clean, component_label, dataset_label

_SHOWN = ("R1", "R5", "R10", "mAP", "mINP")


@attrs.frozen
class Grid:
    """A small table: its head, and rows that begin with their name."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@attrs.frozen
class RunFacts:
    """One result of a row: what repeats it, and a name and a text for each thing that is known of it."""

    command: str
    facts: tuple[tuple[str, str], ...]


@attrs.frozen
class TrainingDetails:
    """One training of a row.

    Attributes:
        seed: of training and fitting.
        trials: scores of each trial, one column for each.
        rates: scores of the queries of each rate; None where there are none.
        runs: the results that the trials come from.
    """

    seed: int
    trials: Grid
    rates: Grid | None
    runs: tuple[RunFacts, ...]


@attrs.frozen
class Details:
    """What stands behind a row.

    Attributes:
        compared: scores of its trainings; None where there is one only.
        trainings: each of them.
        warnings: of all of them.
    """

    compared: Grid | None
    trainings: tuple[TrainingDetails, ...]
    warnings: tuple[str, ...]


def details(row: Row) -> Details:
    """The details of a row."""
    shown = [name for name in _SHOWN if all(name in one.metrics for one in row.trainings)]
    compared = (
        (f"seed {one.result.seed}", *(per_cent(one.metrics[name].mean) for name in shown)) for one in row.trainings
    )
    return Details(
        compared=Grid(("training", *shown), tuple(compared)) if len(row.trainings) > 1 else None,
        trainings=tuple(_training(one, shown) for one in row.trainings),
        warnings=tuple(map(clean, row.warnings)),
    )


def _training(joined: Joined, shown: Sequence[str]) -> TrainingDetails:
    trials = Grid(
        ("trial", *(str(trial.index) for trial in joined.trials)),
        (
            *((name, *(per_cent(value) for value in joined.metrics[name].values)) for name in shown),
            ("queries", *(_with_matches(trial.n_valid, trial.n_query) for trial in joined.trials)),
        ),
    )
    rates = _by_rate(joined.by_rate, shown) if joined.by_rate else None
    return TrainingDetails(joined.result.seed, trials, rates, tuple(map(_run, joined.results)))


def _with_matches(valid: int, asked: int) -> str:
    return f"{asked:,}" if valid == asked else f"{valid:,} of {asked:,}"


def _by_rate(rates: Mapping[str, Mapping[str, Summary]], shown: Sequence[str]) -> Grid:
    names = [name for name in shown if all(name in scores for scores in rates.values())]
    rows = ((rate, *(per_cent(rates[rate][name].mean) for name in names)) for rate in sorted(rates, key=float))
    return Grid(("rate", *names), tuple(rows))


def _run(result: Result) -> RunFacts:
    where = result.environment
    versions = {"crbench": where.crbench, "Python": where.python, "torch": where.torch, "NumPy": where.numpy}
    facts = {
        "run": f"{result.created[:16]} UTC, {result.duration_s:.0f} s, seed {result.seed}, cell {result.cell_id}",
        "machine": f"{where.cpu}, {where.threads} threads, device {where.device}, {where.platform}",
        "versions": ", ".join(f"{name} {version}" for name, version in {**versions, **where.packages}.items()),
        "backbone": _component(result.method.backbone),
        "aligner": _component(result.method.aligner),
        "weights": "; ".join(map(_weights, result.weights)),
        "evidence": _evidence(result.evidence),
        "data": f"{dataset_label(result)}: {data_terms(result.dataset)}",
    }
    return RunFacts(
        command=clean(result.command), facts=tuple((name, clean(text)) for name, text in facts.items() if text)
    )


def _evidence(evidence: Evidence | None) -> str:
    if evidence is None:
        return "reported: nothing was verified on this machine"
    return evidence.summary


def _component(part: Component) -> str:
    """Label, package and code of a backbone or aligner."""
    code = f", code {part.code_sha256[:12]}" if part.code_sha256 else ""
    licence = code_licence(part.distribution)
    return f"{component_label(part)}, from {part.distribution} {part.version}{code}, licence: {licence}"


def _weights(facts: WeightsFacts) -> str:
    known = "" if facts.known else ", trained on people of whom nothing is known"
    made = "" if facts.seed is None else f", seed {facts.seed}, {facts.device}, {facts.threads} threads"
    return f"{facts.sha256[:12]}, {facts.origin}{made}{known}"

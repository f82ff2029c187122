"""What a result states, verified on this machine: from its outcomes, from its features, or by a run.

Each of these proves more than the one before it. Outcomes show that the scores are those of these ranks, features that
the ranks are those of these features, and a run that the method gives them. Whatever a result states of itself is
compared, never believed: rows and images by their digests, scores by their values.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from crbench.api.context import RunContext
from crbench.config.run_spec import RunSpec
from crbench.errors import ComparisonError, ConfigError, DataError
from crbench.harness.given import GivenFeatures, given_trial
from crbench.harness.run import run
from crbench.protocol import EVALUATION_VERSION, EvalProtocol
from crbench.records import Features
from crbench.results import Component, Level, RateScores, Result, TrialScores
from crbench.results.evidence import drop_evidence
from crbench.results.labels import dataset_name, is_by_content
from crbench.results.outcomes import TrialOutcomes, check_outcomes, outcomes_sha256, read_outcomes
from crbench.statistics import check_intervals, numbers_of


@attrs.frozen
class Verified:
    """What was shown of a result.

    Attributes:
        level: see `crbench.results.evidence.LEVELS`.
        compared: what was compared, in one line.
        largest_difference: of all scores, as a fraction; 0 = equal to the last bit.
    """

    level: Level
    compared: str
    largest_difference: float = 0.0


def verify_outcomes(result: Result) -> Verified:
    """Compute scores, intervals and counts anew from the outcomes beside a result that was read from a file.

    Raises:
        DataError: they do not follow to the last bit, or there are no outcomes, or they are damaged.
        ConfigError: a score whose plugin is not installed.
        ComparisonError: see `_check_version`.
    """
    _check_version(result)
    folder = Path(str(result.origin)).parent
    check_outcomes(folder, result)
    for stated, trial in zip(result.trials, read_outcomes(folder, result), strict=True):
        persons = len(np.unique(trial.queries.pids))
        if stated.n_persons not in (None, persons):
            raise DataError(f"{result.origin}: trial {stated.index} has {persons} persons, not {stated.n_persons}")
    check_intervals(result)
    return Verified("recomputed", f"all scores of {_trials(result)}, anew from the outcomes of the queries")


def verify_features(
    result: Result, query: Features, gallery: Features | Sequence[Features], **options: Any
) -> Verified:
    """Evaluate the features that a result of `crbench evaluate` was made of.

    Args:
        gallery: cut as it was there.
        options: engine and the like, see `crbench.evaluate`.

    Raises:
        ComparisonError: other rows, other features, or other scores or ranks.
        ConfigError, DataError, EvaluationError, PluginError: see `crbench.harness.given.GivenFeatures`.
    """
    _check_version(result)
    given = GivenFeatures.of(query, gallery, EvalProtocol.of(**result.protocol.rules))
    stated = result.trials[0]
    if given.lists != stated.split:
        raise ComparisonError(f"{result.origin}: not the features of its rows; names, persons, cameras or rates differ")
    if given.sha256 != stated.weights_sha256:
        raise ComparisonError(
            f"{result.origin}: not its features; their SHA-256 is {given.sha256[:12]}, the result names "
            f"{str(stated.weights_sha256)[:12]}"
        )
    found = given.evaluate(metrics=tuple(result.metric_facts), **options)
    difference = _difference(result, [given_trial(given, found)], within=0.0)
    _check_ranks(result, [TrialOutcomes(0, query.rows, found.outcomes)])
    return Verified("re-evaluated", f"scores of {len(query)} queries, anew from the features", difference)


def verify_run(
    result: Result, spec: RunSpec, *, within: float, from_cache: bool, context: RunContext | None
) -> Verified:
    """Run the cell of a result again.

    Args:
        spec: as `spec_of` gives it; its output folder is used for the run.
        within: the largest difference of a score that is taken for the same, as a fraction.
        from_cache: all features come from the cache folder, which stays as it is; no image goes through the network.
        context: as of `crbench.run`.

    Raises:
        ComparisonError: other rules, rows, images or scores; features that the cache lacks.
        CrbenchError: what a run raises.
    """
    _check_version(result)
    (found,) = run(spec, context=context, only_kept_features=from_cache)
    if found.content_sha256 is not None:
        drop_evidence(found.content_sha256)  # its file is deleted with the folder of the run
    if found.error is not None:
        raise ComparisonError(f"{result.origin}: the run failed here: {found.error.strip().splitlines()[-1]}")
    if found.fingerprint != result.fingerprint:
        raise ComparisonError(f"{result.origin}: other rules here ({found.fingerprint}, not {result.fingerprint})")
    difference = _difference(result, found.trials, within=within, reasons=_unlike(result, found))
    if within == 0:
        _check_ranks(result, read_outcomes(Path(str(found.origin)).parent, found))
    level: Level = "re-evaluated" if from_cache else found.level
    how = "from kept features" if from_cache else "by a run"
    return Verified(level, f"scores of {_trials(result)}, anew {how}", difference)


def spec_of(result: Result, *, output: Path, **changes: Any) -> RunSpec:
    """The run that gives a result, from what the result states of itself; not from its command, which is a text.

    Args:
        output: an empty folder.
        changes: further fields of `RunSpec`, such as weights and folders.

    Raises:
        ConfigError: it was not made by a run, or of a folder of the user's that `changes` do not name.
    """
    if result.given:
        raise ConfigError(f"{result.origin}: made of given features, so there is nothing to run; give --features")
    if "dataset" not in changes and is_by_content(result.dataset):
        kind = result.dataset.partition(":")[0]
        raise ConfigError(
            f"{result.origin}: of {dataset_name(result)}, whose place here is not known; give --dataset {kind}:PATH"
        )
    method, rules = result.method, {name: value for name, value in result.protocol.rules.items() if name != "name"}
    parts = {"dataset": result.data.changed, "protocol": rules}
    parts |= {"backbone": method.backbone.changed, "aligner": method.aligner.changed}
    if method.aligner.fitted_on is not None:
        parts |= {"partner": method.aligner.fitted_on.changed}
    fields: dict[str, Any] = {
        "dataset": result.dataset,
        "protocol": result.protocol.name,
        "backbone": _request(method.backbone),
        "aligner": _request(method.aligner),
        "trial": tuple(trial.index for trial in result.trials),
        "seed": result.seed,
        "limit": result.limit,
        "metric": tuple(result.metric_facts),
        "fit_on": () if method.aligner.fitted_on is None else (method.aligner.fitted_on.dataset,),
        "set": {f"{part}.{name}": value for part, own in parts.items() for name, value in own.items()},
        "batch_size": result.extraction.batch_size,
        "amp": result.extraction.amp,
        "compile": result.extraction.compile,
        "on_bad_image": "skip" if any(trial.skipped for trial in result.trials) else "error",
        "baseline": False,
        "resume": False,
    }
    return RunSpec(**{**fields, "output": output, **changes})


def rerun(
    result: Result, *, within: float, features: Path | None = None, context: RunContext | None = None, **changes: Any
) -> Verified:
    """`verify_run` in a folder of its own, with the features in a cache folder or without any cache.

    Raises:
        DataError: no such cache folder.
        CrbenchError: see `spec_of` and `verify_run`.
    """
    if features is not None and not features.is_dir():
        raise DataError(f"{features}: no such folder")
    with tempfile.TemporaryDirectory(prefix="crbench-verify-") as folder:
        spec = spec_of(result, output=Path(folder), cache=features is not None, cache_dir=features, **changes)
        return verify_run(result, spec, within=within, from_cache=features is not None, context=context)


def _request(part: Component) -> str:
    """A method as a user asks for it: ``NAME/PRESET:ARGUMENT``."""
    name, colon, argument = part.name.partition(":")
    return "/".join(filter(None, (name, part.preset))) + colon + argument


def _trials(result: Result) -> str:
    count = len(result.trials)
    return f"{count} trial{'' if count == 1 else 's'}"


def _check_version(result: Result) -> None:
    """Refuse a result that is none of this evaluation, or that has no scores or no digest.

    Raises:
        ComparisonError: another version of the evaluation computed it.
        DataError: a failed cell, or a file of schema version 1.
    """
    if result.status != "ok":
        raise DataError(f"{result.origin}: a failed cell, which states no scores")
    if result.content_sha256 is None:
        raise DataError(f"{result.origin}: of an early version, without a digest; `crbench results upgrade` writes one")
    if result.evaluation_version != EVALUATION_VERSION:
        raise ComparisonError(
            f"{result.origin}: by version {result.evaluation_version} of the evaluation; this is {EVALUATION_VERSION}"
        )


def _difference(result: Result, found: Sequence[TrialScores], *, within: float, reasons: str = "") -> float:
    """The largest difference of a score.

    Raises:
        ComparisonError: other trials, rows or images; or a difference that is too large, with what it is of.
    """
    if [trial.index for trial in found] != [trial.index for trial in result.trials]:
        raise ComparisonError(f"{result.origin}: other trials here")
    largest, where = 0.0, ""
    for stated, own in zip(result.trials, found, strict=True):
        if stated.split != own.split:
            raise ComparisonError(f"{result.origin}: trial {stated.index} has other lists of images here")
        if stated.data != own.data:
            raise ComparisonError(f"{result.origin}: trial {stated.index} has other images here, under the same names")
        if stated.fitted != own.fitted:
            raise ComparisonError(f"{result.origin}: trial {stated.index} is fitted on other images here")
        if _counts(stated) != _counts(own):
            raise ComparisonError(f"{result.origin}: trial {stated.index} has other numbers of queries or images here")
        for name, one, other in _pairs(stated, own, result):
            if abs(one - other) > largest:
                largest, where = abs(one - other), f"{name} of trial {stated.index} is {one:.6g}, and {other:.6g} here"
    if largest > within:
        raise ComparisonError(f"{result.origin}: {where}{reasons}")
    return largest


def _counts(trial: TrialScores) -> tuple[object, ...]:
    by_rate = [(rate, part.n_query, part.n_valid) for rate, part in trial.by_rate.items()]
    return trial.n_query, trial.n_valid, trial.n_gallery, trial.n_persons, trial.skipped, by_rate


def _pairs(stated: TrialScores, own: TrialScores, result: Result) -> Iterator[tuple[str, float, float]]:
    """Each score of both: its name and both values; of scores that are no fractions as shares of the larger one."""
    parts: list[tuple[str, RateScores, RateScores]] = [("", stated, own)]
    parts += [(f" at rate {rate}", part, own.by_rate[rate]) for rate, part in stated.by_rate.items()]
    numbers = numbers_of(result.metric_facts)
    for suffix, one, other in parts:
        curve = ((f"R{rank}", *pair) for rank, pair in enumerate(zip(one.cmc, other.cmc, strict=False), start=1))
        for name, a, b in chain(curve, ((name, one.scores[name], other.scores[name]) for name in one.scores)):
            scale = max(abs(a), abs(b), 1e-300) if name in numbers else 1.0
            yield name + suffix, a / scale, b / scale


def _check_ranks(result: Result, found: Sequence[TrialOutcomes]) -> None:
    """Refuse outcomes of single queries that are not those found here, though the scores agree.

    Raises:
        ComparisonError: there are such.
    """
    if result.outcomes is None:
        return
    if result.outcomes.sha256 not in (outcomes_sha256(found), outcomes_sha256([one.hashed() for one in found])):
        raise ComparisonError(f"{result.origin}: the scores agree, but the outcomes of the queries are others here")


def _unlike(result: Result, found: Result) -> str:
    """What else differs, and may be why scores do."""
    theirs, ours = result.method, found.method
    facts = {
        "code of the backbone": (theirs.backbone.code_sha256, ours.backbone.code_sha256),
        "code of the aligner": (theirs.aligner.code_sha256, ours.aligner.code_sha256),
        "code of data set or distance": (result.code, found.code),
        "weights": tuple([trial.weights_sha256 for trial in one.trials] for one in (result, found)),
        "device": (result.environment.device, found.environment.device),
        "threads": (result.environment.threads, found.environment.threads),
        "torch": (result.environment.torch, found.environment.torch),
    }
    unlike = [name for name, (one, other) in facts.items() if one != other]
    return f"; other here: {', '.join(unlike)}" if unlike else ""

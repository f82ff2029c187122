"""What became of each query, kept beside a result: every score of it follows from this file, bit for bit.

The file is a compressed npz, which ``numpy.load(path, allow_pickle=False)`` reads without crbench. Arrays of trial N:

| array | | |
|---|---|---|
| `N.keys`, `N.pids`, `N.camids`, `N.rates`, `N.native_rates` | [q] | the queries, in the order of the split |
| `N.valid` | bool[q] | whether the query has a match |
| `N.candidates` | [q] | valid gallery images of the query, matches included |
| `N.ranks`, `N.starts` | [P], [q + 1] | places of the matches of query i: ``ranks[starts[i]:starts[i + 1]]`` |
| `N.cmc_bytes` | u8[8, q * 50] | curves of a single-shot gallery, see below |

Curves are f64[q, 50], byte by byte, lowest byte first, as they take less room so:
``numpy.ascontiguousarray(cmc_bytes.T).view("<f8").reshape(-1, 50)``. Ranks are there where the gallery is multi-shot,
and where a single-shot protocol asks for AP over the whole gallery.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import DataError
from crbench.evaluation.outcomes import Outcomes, Ranks, check_found
from crbench.evaluation.scores import Evaluation, QueryScores
from crbench.evaluation.selection import Selection
from crbench.files.numpy_files import read_npz
from crbench.metrics.cmc import CURVE_LENGTH
from crbench.protocol import EVALUATION_VERSION, EvalProtocol
from crbench.records import Samples
from crbench.results.records import OutcomesFacts, Result
from crbench.results.scores import RateScores, TrialScores
from crbench.store.files import write_whole

_HASH = re.compile("[0-9a-f]{16}")
_COLUMNS = ("keys", "pids", "camids", "rates", "native_rates")


class UnfoundedError(DataError):
    """Scores of a result do not follow from its outcomes."""


@attrs.frozen(eq=False)
class TrialOutcomes:
    """What became of the queries of one trial.

    Attributes:
        index: number of the trial.
        queries: in the order of the split; their keys may be hashed, see `hashed`.
        outcomes: theirs.
    """

    index: int
    queries: Samples
    outcomes: Outcomes

    def hashed(self) -> TrialOutcomes:
        """The same with 16 hex digits of SHA-256 in place of each key: names of images do not leave the machine.

        Whoever has the images can still find each one by its name.
        """
        return attrs.evolve(self, queries=attrs.evolve(self.queries, keys=hashed_keys(self.queries.keys.tolist())))

    @property
    def is_hashed(self) -> bool:
        """Whether each key is a hash, as far as its form tells."""
        return all(map(_HASH.fullmatch, self.queries.keys.tolist()))


def hashed_keys(keys: Iterable[str]) -> list[str]:
    """16 hex digits of the SHA-256 of each key."""
    return [hashlib.sha256(key.encode()).hexdigest()[:16] for key in keys]


def write_outcomes(path: Path, trials: Iterable[TrialOutcomes]) -> OutcomesFacts:
    """Write the outcomes of a cell, whole, and say what its result must hold of them."""
    arrays: dict[str, Any] = _arrays(trials)
    # Not allow_pickle=False, which NumPy before 2.3 takes for one more array; none of these is of objects.
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))
    return OutcomesFacts(file=path.name, sha256=content_sha256(arrays))


def outcomes_sha256(trials: Iterable[TrialOutcomes]) -> str:
    """The digest that a result names of these outcomes, without writing them."""
    return content_sha256(_arrays(trials))


def read_outcomes(folder: Path, result: Result) -> list[TrialOutcomes]:
    """The outcomes of a result, trial by trial, checked against its digest.

    Args:
        folder: where the result lies.

    Raises:
        DataError: they were not kept, are missing, damaged, or of another result.
    """
    if result.outcomes is None:
        raise DataError(f"cell {result.cell_id}: it kept no outcomes; run it again without --no-outcomes")
    path = folder / result.outcomes.file
    try:
        arrays = read_npz(path)
        found = [_unpacked(trial.index, arrays) for trial in result.trials]
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; the outcomes of a result lie beside it, so move both together"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: damaged, or no outcomes ({error}); restore it or run the cell again") from error
    if content_sha256(arrays) != result.outcomes.sha256:
        raise DataError(f"{path}: not the outcomes that its result names; restore it or run the cell again")
    return found


def content_sha256(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and content of arrays, 64 hex digits; compression plays no role."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def recomputed(result: Result, trial: TrialOutcomes, metrics: Collection[str] | None = None) -> Evaluation:
    """The evaluation of a trial, anew from its outcomes; for further groups see `Evaluation.per_query`.

    Args:
        metrics: those of the result to compute, beside the CMC; None = all.

    Raises:
        ConfigError: a score of the result whose plugin is not installed.

    Example:
        >>> # result, trials = ..., read_outcomes(folder, result)
        >>> # evaluation = recomputed(result, trials[0])
        >>> # evaluation.per_query.scores(trials[0].queries.camids == 2)["mAP"]
    """
    protocol, selection = _rules(result, metrics)
    return Evaluation.of(trial.queries, trial.outcomes, protocol, selection, engine="", precision="", ambiguous=0)


def _rules(result: Result, metrics: Collection[str] | None) -> tuple[EvalProtocol, Selection]:
    """The protocol of a result, and its metrics, or those of them that are wanted."""
    protocol = EvalProtocol.of(**result.protocol.rules)
    names = [name for name in result.metric_facts if metrics is None or name in metrics]
    chosen = Selection.of(protocol, names)
    return protocol, attrs.evolve(chosen, metrics=tuple(one for one in chosen.metrics if one.name in names))


def scores_of(evaluation: Evaluation) -> dict[str, Any]:
    """The fields of `TrialScores` that follow from an evaluation."""
    whole = evaluation.scores
    by_rate = {
        f"{rate:g}": RateScores(
            cmc=tuple(part.cmc.tolist()), scores=part.means, n_query=part.n_query, n_valid=part.n_valid
        )
        for rate, part in evaluation.by_rate.items()
        if part.n_valid
    }
    return {
        "cmc": tuple(whole.cmc.tolist()),
        "scores": whole.means,
        "n_query": whole.n_query,
        "n_valid": whole.n_valid,
        "by_rate": by_rate,
    }


def check_outcomes(folder: Path, result: Result) -> None:
    """Refuse a result whose scores do not follow from its outcomes, to the last bit.

    Raises:
        UnfoundedError: such a score, with its trial.
        DataError: see `read_outcomes`.
        ConfigError: see `recomputed`.
    """
    for trial in read_outcomes(folder, result):
        _check_scores(result, trial.index, recomputed(result, trial), str(result.origin or folder))


def founded_scores(folder: Path, result: Result, metrics: Collection[str]) -> list[tuple[TrialOutcomes, QueryScores]]:
    """The outcomes of each trial with the scores of its queries, from which those that the result states must follow.

    Those that another version of the evaluation computed may differ, and are not checked.

    Args:
        metrics: those of the result to compute and check, beside the CMC.

    Raises:
        CrbenchError: see `check_outcomes`.
    """
    found = []
    for trial in read_outcomes(folder, result):
        evaluation = recomputed(result, trial, metrics)
        if result.evaluation_version == EVALUATION_VERSION:
            _check_scores(result, trial.index, evaluation, str(result.origin or folder))
        found.append((trial, evaluation.per_query))
    return found


def _check_scores(result: Result, index: int, found: Evaluation, origin: str) -> None:
    """Refuse scores of a trial that do not follow from its outcomes; metrics that were not computed do not count."""
    stated = next(trial for trial in result.trials if trial.index == index)
    left_out = result.metric_facts.keys() - found.per_query.values.keys()
    expected = attrs.evolve(stated, **scores_of(found))
    if _without(stated, left_out) != _without(expected, left_out):
        raise UnfoundedError(
            f"{origin}: the scores of trial {index} of cell {result.cell_id} do not follow from its outcomes; the file "
            "was edited, or a metric's plugin changed: `crbench verify` says more, or run the cell again"
        )


def _without(scores: TrialScores, metrics: Collection[str]) -> TrialScores:
    def kept(part: RateScores) -> dict[str, float]:
        return {name: value for name, value in part.scores.items() if name not in metrics}

    by_rate = {rate: attrs.evolve(part, scores=kept(part)) for rate, part in scores.by_rate.items()}
    return attrs.evolve(scores, scores=kept(scores), by_rate=by_rate)


def _arrays(trials: Iterable[TrialOutcomes]) -> dict[str, NDArray[Any]]:
    return {f"{trial.index}.{name}": array for trial in trials for name, array in _packed(trial).items()}


def _packed(trial: TrialOutcomes) -> dict[str, NDArray[Any]]:
    found = trial.outcomes
    arrays: dict[str, NDArray[Any]] = {name: getattr(trial.queries, name) for name in _COLUMNS}
    arrays["valid"] = found.valid
    if found.candidates is not None:
        arrays["candidates"] = _small(found.candidates)
    if found.ranks is not None:
        arrays |= {"ranks": _small(found.ranks.ranks), "starts": _small(found.ranks.starts)}
    if found.cmc is not None:
        curves = np.ascontiguousarray(found.cmc, dtype="<f8")
        arrays["cmc_bytes"] = np.ascontiguousarray(curves.view(np.uint8).reshape(-1, 8).T)
    return arrays


def _unpacked(index: int, arrays: Mapping[str, NDArray[Any]]) -> TrialOutcomes:
    mine = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(f"{index}.")}
    columns: dict[str, Any] = {name: mine[name] for name in _COLUMNS}
    if columns["keys"].ndim != 1 or columns["keys"].dtype.kind != "U":
        raise ValueError(f"keys of trial {index}: expected one text for each query")
    for name in ("ranks", "starts", "candidates"):
        if name in mine and mine[name].dtype.kind not in "iu":
            raise ValueError(f"{name} of trial {index}: expected integers")
    queries = Samples(**columns)
    candidates = mine["candidates"].astype(np.int64) if "candidates" in mine else None
    ranks, cmc = None, None
    if "ranks" in mine and candidates is not None:
        ranks = Ranks(mine["ranks"].astype(np.int64), mine["starts"].astype(np.int64), candidates)
    if "cmc_bytes" in mine:
        cmc = np.ascontiguousarray(mine["cmc_bytes"].T).view("<f8").reshape(-1, CURVE_LENGTH)
    outcomes = Outcomes(ranks, cmc, candidates)
    check_found(outcomes)
    if not np.array_equal(outcomes.valid, mine["valid"]) or len(queries) != len(outcomes.valid):
        raise ValueError(f"queries and outcomes of trial {index} do not match")
    return TrialOutcomes(index, queries, outcomes)


def _small(counts: NDArray[np.int64]) -> NDArray[np.integer[Any]]:
    """The same numbers from 0 upwards in the smallest type."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))

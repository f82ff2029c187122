"""Outcomes beside a result: whole or refused, and every score follows from them to the last bit."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from evaluation.strategies import cases
from hypothesis import given, settings
from result_facts import facts_of

from crbench import evaluate
from crbench.errors import DataError
from crbench.protocol import EvalProtocol
from crbench.results import ProtocolFacts, Result, TrialScores, from_json
from crbench.results.folder import find_result, result_path, write_result
from crbench.results.outcomes import (
    TrialOutcomes,
    check_outcomes,
    content_sha256,
    read_outcomes,
    recomputed,
    scores_of,
    write_outcomes,
)
from crbench.testing import random_features

GOLDEN = (Path(__file__).parents[1] / "golden" / "result-2.json").read_text(encoding="utf-8")


def made(case: Any, index: int = 0, metrics: tuple[str, ...] = ()) -> tuple[TrialScores, TrialOutcomes, Any]:
    """Scores and outcomes of one trial, and its evaluation."""
    found = evaluate(case.query, case.gallery, case.protocol, metrics=metrics)
    scores = TrialScores(index=index, split="1" * 64, **scores_of(found))
    return scores, TrialOutcomes(index, case.query.rows, found.outcomes), found


def result_of(protocol: EvalProtocol, trials: list[TrialScores], found: Any) -> Result:
    """A result with these trials."""
    from crbench.harness.record import metric_facts

    base = from_json(GOLDEN, "golden")
    kept = {field.name: getattr(base, field.name) for field in attrs.fields(Result) if field.init}
    del kept["metrics"], kept["by_rate"]
    facts = ProtocolFacts.of(protocol)
    own: dict[str, Any] = {"rate_source": protocol.split.rate_source, "outcomes": None, "intervals": None}
    own["metric_facts"] = metric_facts(found.selection)
    return Result(**{**kept, **facts_of("mlr-synthetic", facts), **own, "trials": trials})


@attrs.frozen(eq=False)
class Split:
    query: Any
    gallery: Any
    protocol: EvalProtocol


def some(**rules: Any) -> Split:
    query = random_features(persons=6, images=3, rates=(2, 3, 4), seed=1)
    gallery = random_features(persons=6, images=4, rates=(1,), seed=2)
    return Split(query, gallery, EvalProtocol.of(**rules))


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Result]:
    """A folder with a result of two trials and its outcomes."""
    case = some(shot="multi")
    (first, one, found), (second, other, _) = made(case), made(case, index=1)
    result = write_result(tmp_path, result_of(case.protocol, [first, second], found), [one, other])
    return result_path(tmp_path, result).parent, result


@settings(max_examples=60)
@given(case=cases(ap_gallery="all"))
def test_every_score_follows_from_what_is_kept_to_the_last_bit(
    case: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("outcomes")
    scores, outcomes, found = made(case, metrics=("nDCG",))
    result = result_of(case.protocol, [scores], found)
    result = attrs.evolve(result, outcomes=write_outcomes(folder / "a.npz", [outcomes]))
    check_outcomes(folder, result)
    (read,) = read_outcomes(folder, result)
    again = recomputed(result, read)
    for camera in np.unique(case.query.rows.camids):
        mask = case.query.rows.camids == camera
        if (found.per_query.counted & mask).any():
            one, other = (per_query.scores(mask) for per_query in (found.per_query, again.per_query))
            assert (one.cmc.tolist(), one.means) == (other.cmc.tolist(), other.means)


@pytest.mark.parametrize("shot", ["multi", "single:exact", "single:mc:3"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean", "sqeuclidean"])
def test_queries_and_outcomes_come_back_as_they_were(tmp_path: Path, shot: str, distance: str) -> None:
    case = some(shot=shot, distance=distance)
    scores, outcomes, found = made(case)
    result = result_of(case.protocol, [scores], found)
    result = attrs.evolve(result, outcomes=write_outcomes(tmp_path / "a.npz", [outcomes]))
    (read,) = read_outcomes(tmp_path, result)
    for name in ("keys", "pids", "camids", "rates", "native_rates"):
        assert np.array_equal(getattr(read.queries, name), getattr(case.query.rows, name))
    one, other = read.outcomes, found.outcomes
    assert np.array_equal(one.candidates, other.candidates)
    assert np.array_equal(one.curves(), other.curves(), equal_nan=True)
    assert (one.ranks is None) == (other.ranks is None) == (shot != "multi")
    check_outcomes(tmp_path, result)


def test_a_reader_needs_numpy_only(kept: tuple[Path, Result]) -> None:
    folder, result = kept
    with np.load(folder / result.outcomes.file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    ranks, starts = arrays["1.ranks"], arrays["1.starts"]
    assert float(np.mean(ranks[starts[:-1]] == 1)) == result.trials[1].cmc[0]
    assert content_sha256(arrays) == result.outcomes.sha256


def test_curves_are_read_as_the_page_says(tmp_path: Path) -> None:
    case = some(shot="single:exact")
    _, outcomes, found = made(case)
    write_outcomes(tmp_path / "a.npz", [outcomes])
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        curves = np.ascontiguousarray(archive["0.cmc_bytes"].T).view("<f8").reshape(-1, 50)
    assert np.array_equal(curves, found.per_query.cmc)


def test_reading_imports_no_torch() -> None:
    code = "import sys, crbench.results.outcomes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["0.keys", "0.ranks", "1.starts", "1.valid", "1.candidates"])
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_is_named(kept: tuple[Path, Result], name: str, bit: int) -> None:
    folder, result = kept
    path = folder / result.outcomes.file
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
    content = bytearray(path.read_bytes())
    names, extra = (int.from_bytes(content[member.header_offset + at :][:2], "little") for at in (26, 28))
    content[member.header_offset + 30 + names + extra + member.compress_size // 2] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{path}: "):
        read_outcomes(folder, result)


def test_another_array_of_the_same_file_is_named(kept: tuple[Path, Result]) -> None:
    """What the archive itself cannot notice: a file that is whole, but not the one of this result."""
    folder, result = kept
    path = folder / result.outcomes.file
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["0.camids"] = arrays["0.camids"] + 1
    np.savez_compressed(path, **arrays)
    with pytest.raises(DataError, match=rf"^{path}: not the outcomes that its result names"):
        read_outcomes(folder, result)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path, other: path.unlink(), "no such file; the outcomes of a result lie beside it"),
        (lambda path, other: path.write_bytes(b"PK"), "damaged, or no outcomes"),
        (lambda path, other: path.write_bytes(path.read_bytes()[:-30]), "damaged, or no outcomes"),
        (lambda path, other: write_outcomes(path, [other, attrs.evolve(other, index=1)]), "not the outcomes that"),
        (lambda path, other: write_outcomes(path, [other]), "damaged, or no outcomes"),
    ],
)
def test_missing_damaged_and_foreign_outcomes_are_named(kept: tuple[Path, Result], spoil: Any, message: str) -> None:
    folder, result = kept
    path = folder / result.outcomes.file
    spoil(path, made(some(shot="multi", ties="optimistic", normalise="none", distance="euclidean"))[1])
    with pytest.raises(DataError, match=rf"^{path}: {message}"):
        read_outcomes(folder, result)


def test_scores_that_do_not_follow_are_named(kept: tuple[Path, Result]) -> None:
    folder, result = kept
    check_outcomes(folder, result)
    first, second = result.trials
    fields = {field.name: getattr(result, field.name) for field in attrs.fields(Result) if field.init}
    del fields["metrics"], fields["by_rate"]
    edited = attrs.evolve(second, scores={**second.scores, "mAP": second.scores["mAP"] + 1e-15})
    with pytest.raises(DataError, match="the scores of trial 1 of cell 00c0ffee0001 do not follow"):
        check_outcomes(folder, Result(**{**fields, "trials": (first, edited)}))


def test_a_result_without_outcomes_says_so(tmp_path: Path) -> None:
    result = attrs.evolve(from_json(GOLDEN, "golden"), outcomes=None)
    with pytest.raises(DataError, match="kept no outcomes; run it again without --no-outcomes"):
        read_outcomes(tmp_path, result)


def test_names_may_be_hashed_and_are_told_apart_still() -> None:
    _, outcomes, _ = made(some(shot="multi"))
    hashed = outcomes.hashed()
    assert len(set(hashed.queries.keys)) == len(set(outcomes.queries.keys))
    assert not set(hashed.queries.keys) & set(outcomes.queries.keys)
    assert np.array_equal(hashed.queries.pids, outcomes.queries.pids)


def test_a_finished_cell_needs_whole_outcomes_only_where_they_are_kept(kept: tuple[Path, Result]) -> None:
    folder, result = kept
    output, told = folder.parents[1], []
    find = {"output": output, "cell_id": result.cell_id, "scores": {}, "warn": told.append}
    assert find_result(**find, outcomes=True) == result
    path = folder / result.outcomes.file
    path.write_bytes(path.read_bytes()[:100])
    assert find_result(**find, outcomes=True) is None
    assert len(told) == 1
    assert told[0].startswith(f"{path}: damaged")
    assert told[0].endswith("; the cell is run again")
    assert find_result(**find, outcomes=False) == result


def test_equal_outcomes_are_equal_files(tmp_path: Path) -> None:
    _, outcomes, _ = made(some(shot="single:exact"))
    facts = [write_outcomes(tmp_path / name, [outcomes]) for name in ("a.npz", "b.npz")]
    assert facts[0].sha256 == facts[1].sha256
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()

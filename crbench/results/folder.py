"""Where results lie, and whether a cell has one already."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from crbench.errors import DataError, SystemFaultError
from crbench.results import SCHEMA_VERSION, Evidence, Level, Result, from_json, load_results, to_json
from crbench.results.evidence import keep_evidence
from crbench.results.files import as_written, read_content, stated_version
from crbench.results.outcomes import TrialOutcomes, check_outcomes, read_outcomes, write_outcomes
from crbench.results.search import read_each, read_text, result_files
from crbench.store.files import write_text

WORKING = ".crbench"
"""Folder in a folder of results where runs say what they are at; there are no results in it."""

_LONGEST = 40
"""Characters of the name of a folder of the user's."""

_NAME = re.compile(r"[0-9]{8}T[0-9]{6}(\.[0-9]+)?Z_[0-9a-f]{12}\.json")


def result_path(output: Path, result: Result) -> Path:
    """``OUTPUT/<dataset>-<protocol>/<backbone>__<aligner>/<UTC time>_<cell id>.json``."""
    method, folder = result.method, result.data.folder
    # a name may end in whatever the user wrote after its colon
    kind, colon, content = result.dataset.partition(":")
    dataset = f"{kind}{colon}{folder[:_LONGEST]}-{content}" if folder else result.dataset
    parts: list[tuple[str, str | None]] = [(dataset, result.protocol.name)]
    parts += [(component.name, component.preset) for component in (method.backbone, method.aligner)]
    name, *methods = [re.sub(r"[^\w.-]+", "-", "-".join(filter(None, some))) for some in parts]
    time = result.created.replace("-", "").replace(":", "").partition("+")[0]
    return output / name / "__".join(methods) / f"{time}Z_{result.cell_id}.json"


def written_results(output: Path) -> list[Path]:
    """The files that runs wrote to a folder, by their names; sorted. Other files that lie there are none of them."""
    return sorted(path for path in output.glob("*/*/*.json") if _NAME.fullmatch(path.name))


def write_result(output: Path, result: Result, outcomes: Sequence[TrialOutcomes] = ()) -> Result:
    """Write a result to its place in a folder of results, see `write_result_file`."""
    return write_result_file(result_path(output, result), result, outcomes)


def write_result_file(path: Path, result: Result, outcomes: Sequence[TrialOutcomes] = ()) -> Result:
    """Write a result, its outcomes beside it and before it; gives the result as it is read again."""
    if outcomes:
        result = attrs.evolve(result, outcomes=write_outcomes(path.with_suffix(".npz"), outcomes))
    write_text(path, to_json(result))
    return as_written(result).read_from(str(path), result.unknown)


def noted(result: Result, level: Level, compared: str, largest_difference: float = 0.0) -> Result:
    """The result with what was verified of it just now, which is kept; see `crbench.results.evidence.Evidence`.

    Args:
        result: as it was read or written.

    Raises:
        SystemFaultError: it cannot be kept.
    """
    evidence = Evidence(
        content_sha256=str(result.content_sha256),
        level=level,
        compared=compared,
        largest_difference=largest_difference,
    )
    return result.read_from(result.origin, result.unknown, keep_evidence(evidence))


def noted_as_made(result: Result, level: Level, made_by: str, warn: Callable[[str], None]) -> Result:
    """The result with a note of what made it on this machine; that it cannot be kept stops nothing.

    Args:
        made_by: see `Evidence.compared`.
        warn: is told where it cannot be kept.
    """
    try:
        return noted(result, level, made_by)
    except SystemFaultError as error:
        warn(f"{error}; the leaderboard will show this result as reported")
        return result


def find_result(
    output: Path,
    cell_id: str,
    scores: Mapping[str, str | None],
    *,
    outcomes: bool,
    hashed: bool = False,
    warn: Callable[[str], None],
) -> Result | None:
    """The newest finished result of a cell that will do, if there is one; failed ones are tried again.

    Args:
        scores: those that it must have, with the `MetricFacts.code_sha256` of each.
        outcomes: it must have outcomes, and they must be whole.
        hashed: no names of images may be in these.
        warn: is told of results that are damaged, and of outcomes that are damaged, missing or hold names.
    """
    finished = [
        (result, path)
        for path in sorted(output.glob(f"*/*/*_{cell_id}.json"))
        for result in _whole(path, cell_id, warn)
        if result.status == "ok" and _has(result, scores)
    ]
    for result, path in sorted(finished, key=lambda found: found[0].created, reverse=True):
        if not outcomes:
            return result
        if result.outcomes is None:
            continue
        try:
            found = read_outcomes(path.parent, result)
        except DataError as error:
            warn(f"{error}; the cell is run again")
            continue
        if not hashed or all(trial.is_hashed for trial in found):
            return result
        warn(
            f"{path.parent / result.outcomes.file}: an earlier run kept names of images there; the cell is run again "
            "with --hash-keys, and this file and its result stay: delete both before you share the folder"
        )
    return None


def _has(result: Result, scores: Mapping[str, str | None]) -> bool:
    facts = result.metric_facts
    return all(name in facts and facts[name].code_sha256 == code for name, code in scores.items())


def _whole(path: Path, cell_id: str, warn: Callable[[str], None]) -> list[Result]:
    try:
        (result,) = load_results([path])
    except DataError as error:
        warn(f"{error}; the cell is run again")
        return []
    if result.cell_id != cell_id:
        warn(f"{path}: holds cell {result.cell_id}, not that of its name; the cell is run again")
        return []
    return [result]


def upgrade_files(paths: Iterable[str | Path], *, strict: bool = False) -> tuple[int, int]:
    """Rewrite result files of earlier schema versions in the newest one; the others stay as they are.

    Args:
        paths, strict: as for `crbench.load_results`.

    Returns:
        How many results there are, and how many of them were rewritten.

    Raises:
        DataError: see `crbench.load_results`; where it is because of `strict`, the results are rewritten all the same.
    """
    rewritten = read_each(result_files(paths), _upgrade_file, strict=strict)
    return len(rewritten), sum(rewritten)


def _upgrade_file(path: Path) -> bool:
    """Whether it was of an earlier schema version, and so was rewritten."""
    text = read_text(path, "result")
    result = from_json(text, str(path))
    earlier = (stated_version(read_content(text, str(path), kind="result")) or 0) < SCHEMA_VERSION
    if earlier:
        write_text(path, to_json(result))
    return earlier


def damaged_results(files: Iterable[Path], also: Callable[[Result], None]) -> Iterator[str]:
    """A line for each result that cannot be read, does not agree with itself, or not with its outcomes.

    Args:
        also: see `validate_file`.
    """
    for path in files:
        try:
            validate_file(path, also)
        except DataError as error:
            if path.exists():
                yield str(error)


def validate_file(path: Path, also: Callable[[Result], None]) -> bool:
    """Check a result file and its outcomes; False = it kept none, so its scores are as it states them.

    Args:
        also: checks what rooms above compute from outcomes, such as `crbench.statistics.check_intervals`.

    Raises:
        DataError: the file, or its scores, or its outcomes are not what they should be.
    """
    result = from_json(read_text(path, "result"), str(path))
    if result.outcomes is None:
        return False
    check_outcomes(path.parent, result)
    also(result)
    return True

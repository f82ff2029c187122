"""What became of each query as a CSV file: a line for each, of given features or of all cells of a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crbench.evaluation import Evaluation
    from crbench.records import Samples
    from crbench.results import Result

_CELL = ("dataset", "protocol", "backbone", "aligner", "cell_id", "trial")
_QUERY = ("row", "key", "pid", "camid", "rate", "has_match")


def write_outcomes(path: Path, rows: Samples, found: Evaluation, ranks: Sequence[int]) -> None:
    """Write one line per query, with the CMC at some ranks.

    Raises:
        SystemFaultError: the file cannot be written.
    """
    _write_lines(path, (), found.selection.names, ranks, _query_lines(rows, found, ranks))


def write_all_outcomes(path: Path, results: Iterable[Result], ranks: Sequence[int]) -> None:
    """Write one line per cell, trial and query, from the outcomes beside results that were read or written.

    Raises:
        DataError: see `crbench.results.outcomes.read_outcomes`.
        SystemFaultError: the file cannot be written.
    """
    from crbench.results.labels import with_distinct_folders

    results = with_distinct_folders(list(results))
    metrics = dict.fromkeys(name for result in results for name in result.metric_facts)
    _write_lines(path, _CELL, metrics, ranks, (line for result in results for line in _cell_lines(result, ranks)))


def _cell_lines(result: Result, ranks: Sequence[int]) -> Iterator[dict[str, Any]]:
    from crbench.results.labels import component_label, dataset_label
    from crbench.results.outcomes import read_outcomes, recomputed

    method = result.method
    cell = {
        "dataset": dataset_label(result),
        "protocol": result.protocol.name,
        "backbone": component_label(method.backbone),
        "aligner": component_label(method.aligner),
        "cell_id": result.cell_id,
    }
    for trial in read_outcomes(Path(str(result.origin)).parent, result):
        own = _query_lines(trial.queries, recomputed(result, trial), ranks)
        yield from ({**cell, "trial": trial.index, **line} for line in own)


def _query_lines(rows: Samples, found: Evaluation, ranks: Sequence[int]) -> Iterator[dict[str, Any]]:
    from crbench.results.labels import inert

    scores = found.per_query
    measures = {**{f"R{rank}": scores.cmc[:, rank - 1] for rank in ranks}, **scores.values}
    for row in range(len(rows)):
        own, valid = rows.row(row), bool(scores.valid[row])
        yield {
            **dict(zip(_QUERY, (row, inert(own.key), own.pid, own.camid, f"{own.rate:g}", int(valid)), strict=True)),
            **{name: repr(float(column[row])) if valid else "" for name, column in measures.items()},
        }


def _write_lines(
    path: Path, first: Sequence[str], metrics: Iterable[str], ranks: Sequence[int], lines: Iterable[Mapping[str, Any]]
) -> None:
    from crbench.store.files import write_text

    text = io.StringIO()
    names = (*first, *_QUERY, *(f"R{rank}" for rank in ranks), *metrics)
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(path, text.getvalue())

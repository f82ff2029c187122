"""The columns of the leaderboard, each a record (`crbench.leaderboard.column.Column`).

`measured_columns` gives those of measured methods. A new column is one more record in `_BEFORE`, `_AFTER` or
`_TIMINGS`; scores (`crbench.leaderboard.score_columns`) and speeds make theirs from what the results hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from crbench.leaderboard import formats
from crbench.leaderboard.board import Row, View, trial_list
from crbench.leaderboard.column import MISSING, Column
from crbench.leaderboard.marks import aligner_marks, backbone_marks, marked
from crbench.leaderboard.score_columns import gain_column, gap_columns, score_column, trainings_column
from crbench.leaderboard.scores import Score
from crbench.leaderboard.speeds import Speed
from crbench.results import Component, Result, TrialScores
from crbench.results.evidence import MEANING
from crbench.results.labels import clean, dataset_label

_DEFAULT = View()
_PLACES = (
    "places: those that the row may have among these; all together are right with a probability of 95 %. ≈: the data "
    "do not tell it apart from the row of the highest R1 (paired test over people, for these trainings, corrected for "
    "the number of pairs)."
)


def _of_cell(key: str, get: Callable[[Result], str]) -> Column[Row]:
    """A fact about the cell itself, for programs; where a row comes from several, each once."""

    def texts(row: Row) -> str:
        return clean("; ".join(dict.fromkeys(get(result) for result in row.results)))

    return Column(key=key, of_cell=True, numeric=False, get=texts)


def _cost(
    key: str, title: str, get: Callable[[Component], int | None], footnote: str
) -> tuple[Column[Row], Column[Row]]:
    """What backbone and aligner cost: a number of each for programs, and both in one column for people."""

    def both(row: Row) -> tuple[int | None, int | None]:
        return get(row.result.method.backbone), get(row.result.method.aligner)

    def text(row: Row) -> str:
        found = both(row)
        return MISSING if found == (None, None) else " + ".join("?" if n is None else formats.short(n) for n in found)

    def total(row: Row) -> int | None:
        backbone, aligner = both(row)
        return None if backbone is None or aligner is None else backbone + aligner

    return (
        Column(key=f"backbone_{key}", get=lambda row: both(row)[0]),
        Column(key=key, title=title, get=lambda row: both(row)[1], label=text, number=total, footnotes=(footnote,)),
    )


def _places(row: Row) -> str:
    """``1-3 ≈``, or ``4`` where there is no doubt."""
    if row.places is None:
        return MISSING
    return "-".join(map(str, dict.fromkeys(row.places))) + (" ≈" if row.like_best else "")


def _is_transductive(row: Row) -> bool:
    method = row.result.method
    return method.backbone.transductive or method.aligner.transductive


def counts(numbers: Sequence[int]) -> str:
    """The numbers that occur, for people: ``3,368``, ``310-316``, or empty.

    Example:
        >>> counts((15913,)), counts((310, 312, 316))
        ('15,913', '310-316')
    """
    return "-".join(f"{number:,}" for number in dict.fromkeys((*numbers[:1], *numbers[-1:])))


def _per_trial(key: str, get: Callable[[TrialScores], int | None]) -> Column[Row]:
    """A number of each trial, for programs: one where all agree, else a range; None where it is not known."""

    def number(row: Row) -> int | str | None:
        found = sorted({count for trial in row.joined.trials if (count := get(trial)) is not None})
        return found[0] if len(found) == 1 else "-".join(map(str, (found[0], found[-1]))) if found else None

    return Column(key=key, get=number)


_BEFORE: tuple[Column[Row], ...] = (
    Column(key="rank", title="rank", ranked=True, kept=True, get=lambda row: row.rank),
    Column(
        key="rank_low",
        title="places",
        ranked=True,
        get=lambda row: row.places and row.places[0],
        label=lambda row: _places(row),
        footnotes=(_PLACES,),
    ),
    Column(key="rank_high", get=lambda row: row.places and row.places[1]),
    Column(key="like_best", get=lambda row: row.like_best),
    _of_cell("dataset", lambda result: result.dataset),
    _of_cell("title", dataset_label),
    _of_cell("protocol", lambda result: result.protocol.name),
    _of_cell("fingerprint", lambda result: result.fingerprint),
    _of_cell("rate_source", lambda result: result.rate_source),
    Column(
        key="backbone",
        title="backbone",
        numeric=False,
        kept=True,
        of_cell=True,
        get=lambda row: row.backbone,
        label=lambda row: marked(row.backbone, backbone_marks(row)),
    ),
    Column(
        key="aligner",
        title="aligner",
        numeric=False,
        kept=True,
        of_cell=True,
        get=lambda row: row.aligner,
        label=lambda row: marked(row.aligner, aligner_marks(row)),
    ),
    Column(key="baseline", get=lambda row: row.baseline),
)
"""Columns to the left of the scores: place, data, method."""

_AFTER: tuple[Column[Row], ...] = (
    *_cost(
        "parameters",
        "params",
        lambda part: part.parameter_count,
        "params: learned parameters, of the backbone + of the aligner.",
    ),
    *_cost(
        "macs",
        "MACs",
        lambda part: part.macs,
        "MACs: multiply-accumulate operations, of the backbone for one image + of the aligner for one sample; "
        "?: not known.",
    ),
    Column(key="columns", get=lambda row: row.result.method.columns),
    Column(key="evidence", title="evidence", numeric=False, get=lambda row: row.level, footnotes=(MEANING,)),
    Column(key="trials", get=lambda row: len(row.joined.trials)),
    Column(key="trial_indices", get=lambda row: trial_list([trial.index for trial in row.joined.trials]) or None),
    _per_trial("queries", lambda trial: trial.n_query),
    _per_trial("gallery", lambda trial: trial.n_gallery),
    _per_trial("persons", lambda trial: trial.n_persons),
    Column(key="deviations", get=lambda row: clean("; ".join(row.result.data.deviations)) or None),
    Column(key="transductive", get=_is_transductive),
    Column(key="weights_known", get=lambda row: all(one.known for one in row.weights)),
    Column(key="conflict", get=lambda row: row.doubtful),
    _of_cell("files", lambda result: result.origin or ""),
    _of_cell("created", lambda result: result.created),
    _of_cell("crbench", lambda result: result.environment.crbench),
    _of_cell("cell_id", lambda result: result.cell_id),
    _of_cell("command", lambda result: result.command),
    Column(key="warnings", get=lambda row: clean("; ".join(row.warnings)) or None),
)
"""Columns to the right of scores and gain: cost, origin. None depends on the moment at which a run was made."""

_TIMINGS: tuple[Column[Row], ...] = (
    Column(
        key="unchecked_fit_s",
        title="fit s (unchecked)",
        better="lower",
        get=lambda row: row.fit_s,
        text=formats.seconds,
        footnotes=("fit s: seconds of one fit.",),
    ),
    Column(
        key="unchecked_samples_per_s",
        title="samples/s (unchecked)",
        better="higher",
        get=lambda row: row.samples_per_s,
        text=formats.short,
        footnotes=(
            "samples/s: features aligned per second. unchecked: as the run took, on a machine that may have been busy; "
            "`crbench bench` measures speeds that can be compared.",
        ),
    ),
)
"""What runs took."""


def measured_columns(
    scores: Iterable[Score],
    speeds: Iterable[Speed] = (),
    machines: Sequence[str] = (),
    *,
    view: View = _DEFAULT,
    rows: Sequence[Row] = (),
) -> list[Column[Row]]:
    """The columns of measured methods, from left to right.

    Args:
        scores: those to show, in order.
        speeds: one for each column of speeds, in order.
        machines: of all speeds of the board; headings name them by their place here.
        view: says which ranks people get, and whether what runs took is there.
        rows: what is in them; footnotes say no more than it needs.
    """
    asked = {*view.columns, view.sort}
    own = (score_column(score, view, rows) for score in scores)
    taken = (column for column in _TIMINGS if view.timings or asked & {column.key, column.title})
    compared = any(row.places is not None for row in rows)
    before = (column if compared or column.key != "rank_low" else attrs.evolve(column, title="") for column in _BEFORE)
    return [
        *before,
        *own,
        gain_column(view, rows),
        *gap_columns(rows),
        trainings_column(rows),
        _passes_column(rows),
        *_AFTER,
        *taken,
        *(_speed_column(speed, machines) for speed in speeds),
    ]


def _passes_column(rows: Sequence[Row]) -> Column[Row]:
    """How often gallery images were encoded; people get it where a method asks for more than once."""
    more = any((row.result.method.gallery_passes or 1) > 1 for row in rows)
    return Column(
        key="gallery_passes",
        title="passes" if more else "",
        get=lambda row: row.result.method.gallery_passes,
        text=lambda passes: f"{passes:.3g}",
        footnotes=("passes: how often a gallery image goes through the backbone.",),
    )


def _speed_column(speed: Speed, machines: Sequence[str]) -> Column[Row]:
    return Column(
        key=f"{speed.title} @ {speed.machine}",
        title=f"{speed.title} [M{machines.index(speed.machine) + 1}]",
        better="higher",
        get=lambda row: next((own.per_second for own in row.speeds if own.key == speed.key), None),
        text=formats.rate,
    )

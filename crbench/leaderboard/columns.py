"""The columns of the leaderboard, each a record (`crbench.leaderboard.column.Column`).

`measured_columns` gives those of measured methods, `published_columns` those of numbers from papers. A new column is
one more record in `_BEFORE`, `_AFTER`, `_TIMINGS` or `published_columns`; scores and speeds make theirs from what the
results hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from crbench.leaderboard import formats
from crbench.leaderboard.board import Pair, Row, View, trial_list
from crbench.leaderboard.column import MISSING, Column
from crbench.leaderboard.marks import aligner_marks, backbone_marks, marked
from crbench.leaderboard.scores import Score, Spread, SpreadKind
from crbench.leaderboard.speeds import Speed
from crbench.published import Published, as_printed
from crbench.results import Component, Result, TrialScores
from crbench.results.evidence import MEANING
from crbench.results.labels import clean, dataset_label

_DEFAULT = View()
_PLACES = (
    "places: those that the row may have among these; all together are right with a probability of 95 %. ≈: the data "
    "do not tell it apart from the row of the highest R1 (paired test over people, corrected for the number of pairs)."
)
_TRAININGS = (
    "trainings: with other seeds, all else equal; scores are means over them. ±: standard deviation of R1 between "
    "trainings. --expand shows each."
)
_PER_CENT = "Scores in per cent, means over the trials; ranked by R1, then mAP, as printed, and only within one table."
_STD = "±: standard deviation over trials, which differ by the protocol's draws only."
_INTERVAL = (
    "[low, high]: 95 % interval for other people like these: people are drawn anew, each with all its queries in all "
    "trials."
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
    Column(key="rank", title="rank", ranked=True, get=lambda row: row.rank),
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
        of_cell=True,
        get=lambda row: row.backbone,
        label=lambda row: marked(row.backbone, backbone_marks(row)),
    ),
    Column(
        key="aligner",
        title="aligner",
        numeric=False,
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
    Column(key="conflict", get=lambda row: row.joined.disputed),
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
    own = (_score_column(score, view, rows) for score in scores)
    taken = (column for column in _TIMINGS if view.timings or asked & {column.key, column.title})
    compared = any(row.places is not None for row in rows)
    before = (column if compared or column.key != "rank_low" else attrs.evolve(column, title="") for column in _BEFORE)
    return [
        *before,
        *own,
        _gain_column(view, rows),
        _trainings_column(rows),
        _passes_column(rows),
        *_AFTER,
        *taken,
        *(_speed_column(speed, machines) for speed in speeds),
    ]


def pair_columns() -> list[Column[Pair]]:
    """The columns of pairs of rows, from left to right."""
    return [
        Column(key="first", title="row", numeric=False, get=lambda pair: pair.first),
        Column(key="second", title="other row", numeric=False, get=lambda pair: pair.second),
        Column(
            key="difference",
            title="difference",
            spread=True,
            get=lambda pair: pair.difference,
            text=lambda one: one.text(formats.per_cent, "interval", first=formats.signed),
            footnotes=("difference: R1 points of the row minus the other row, on the same queries.", _INTERVAL),
        ),
        Column(key="p", title="p", get=lambda pair: pair.p, text=formats.probability),
        Column(
            key="p_holm",
            title="p (Holm)",
            get=lambda pair: pair.p_holm,
            text=formats.probability,
            footnotes=(
                "p: paired permutation test over people; Holm: corrected for the number of pairs of the table.",
            ),
        ),
    ]


def published_columns(scores: Iterable[Score]) -> list[Column[Published]]:
    """The columns of published numbers, from left to right; CSV puts them below measured ones of the same key."""
    return [
        Column(
            key="aligner", title="method", numeric=False, get=lambda row: row.method, label=lambda r: f"{r.method}†"
        ),
        Column(key="backbone", title="backbone", numeric=False, get=lambda row: row.backbone or None),
        Column(key="year", title="year", get=lambda row: row.year),
        *map(_published_score, scores),
        Column(key="evidence", get=lambda row: "published"),
        Column(key="dataset", get=lambda row: row.dataset),
        Column(
            key="protocol",
            title="protocol",
            numeric=False,
            get=lambda row: row.protocol,
            label=lambda row: ", ".join(filter(None, (row.protocol, row.rates, row.setting))),
        ),
        Column(key="rates", get=lambda row: row.rates),
        Column(key="setting", get=lambda row: row.setting),
        Column(
            key="source",
            title="source",
            numeric=False,
            get=lambda row: row.source,
            label=lambda row: "; ".join(filter(None, (row.source, row.also))),
        ),
        Column(key="also", get=lambda row: row.also),
        Column(key="note", get=lambda row: "; ".join(filter(None, (row.remark, row.note)))),
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


def _score_column(score: Score, view: View, rows: Sequence[Row]) -> Column[Row]:
    """A score; people get the ranks of their view only."""
    spreads = [row.scores[score.key] for row in rows if score.key in row.scores]
    kind = _spread_kind(view, rows, score.key == "R1")
    hidden = score.rate is None and score.cmc_rank not in (None, 1, *view.ranks)
    return Column(
        key=score.key,
        title="" if hidden else score.title,
        better="lower" if score.lower_is_better else "higher",
        spread=True,
        get=lambda row: row.scores.get(score.key),
        text=lambda spread: spread.text(score.text, kind, first=score.text),
        footnotes=(
            *((_PER_CENT,) if score.fraction else (f"{score.title}: not in per cent.",)),
            *_explained(kind, spreads),
        ),
    )


def _trainings_column(rows: Sequence[Row]) -> Column[Row]:
    """How often a row was trained, and how far R1 moves between trainings; people get it where it tells something."""
    several = any(len(row.trainings) > 1 for row in rows)
    return Column(
        key="trainings",
        title="trainings" if several else "",
        get=lambda row: len(row.trainings),
        label=_trained,
        footnotes=(_TRAININGS,) if several else (),
    )


def _trained(row: Row) -> str:
    between = row.scores["R1"].between if "R1" in row.scores else None
    return str(len(row.trainings)) + (f" ± {formats.per_cent(between)}" if between is not None else "")


def _gain_column(view: View, rows: Sequence[Row]) -> Column[Row]:
    kind = _spread_kind(view, rows, True)
    return Column(
        key="gain",
        title="gain",
        better="higher",
        spread=True,
        ranked=True,
        get=lambda row: row.gain,
        text=lambda gain: gain.text(formats.per_cent, kind, first=formats.signed),
        footnotes=(
            "gain: R1 points over the aligner 'none' with the same backbone and weights, trial by trial.",
            *_explained(kind, [row.gain for row in rows if row.gain is not None]),
        ),
    )


def _spread_kind(view: View, rows: Sequence[Row], leading: bool) -> SpreadKind:
    """What stands beside the means of a column.

    By default intervals, where any row has one, but only of the `leading` columns, by which rows are ranked: tables
    stay as wide as a terminal.
    """
    if view.spread != "auto":
        return view.spread
    if any(row.scores["R1"].low is not None for row in rows if "R1" in row.scores):
        return "interval" if leading else "none"
    return "std"


def _explained(kind: SpreadKind, spreads: Sequence[Spread]) -> Iterator[str]:
    """Footnotes of what `Spread.text` prints."""
    if kind == "interval" and any(one.low is not None for one in spreads):
        yield _INTERVAL
    if kind == "std" and any(one.std is not None for one in spreads):
        yield _STD


def _published_score(score: Score) -> Column[Published]:
    return Column(
        key=score.key,
        title=score.title,
        better="higher",
        get=lambda row: row.scores.get(score.key),
        text=as_printed,
        footnotes=("Published scores in per cent, as the source prints them.",),
    )


def _speed_column(speed: Speed, machines: Sequence[str]) -> Column[Row]:
    return Column(
        key=f"{speed.title} @ {speed.machine}",
        title=f"{speed.title} [M{machines.index(speed.machine) + 1}]",
        better="higher",
        get=lambda row: next((own.per_second for own in row.speeds if own.key == speed.key), None),
        text=formats.rate,
    )

"""What a reader asks to see of a board: some data sets and methods, some columns, an order, the first rows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from crbench.errors import ConfigError
from crbench.evaluation.selection import Selection
from crbench.leaderboard.board import Board, Row, View
from crbench.leaderboard.column import Column, score_name
from crbench.leaderboard.columns import measured_columns
from crbench.leaderboard.scores import cmc_rank
from crbench.protocol import EVALUATION_VERSION, EvalProtocol
from crbench.results import BASELINE, Component, Result
from crbench.results.labels import clean, dataset_name


@attrs.frozen(kw_only=True)
class Choice:
    """The results that a board is about, by names as people ask for them; empty = all.

    A name without a preset stands for all presets, and one without an argument (``timm``) for every argument.
    Rows have their places among those that are chosen.

    Attributes:
        datasets: names of data sets; of a folder its own name or its content, with all results of that content.
        backbones, aligners: ``NAME`` or ``NAME/PRESET``.
    """

    datasets: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    aligners: tuple[str, ...] = ()

    def of(self, results: Sequence[Result]) -> list[Result]:
        """The results that are chosen, and those of the baseline, over which their gain is.

        Raises:
            ConfigError: a name that no result has.
        """
        for option, names, wanted in (
            ("--dataset", _without_paths(self.datasets), _dataset_names),
            ("--backbone", self.backbones, lambda result: _names(result.method.backbone)),
            ("--aligner", self.aligners, lambda result: _names(result.method.aligner)),
        ):
            known = dict.fromkeys(name for result in results for name in wanted(result))
            for name in names:
                if name not in known:
                    raise ConfigError(_no_result(option, name, known))
        asked = set(_without_paths(self.datasets))
        datasets = {result.dataset for result in results if not asked.isdisjoint(_dataset_names(result))}
        return [
            result
            for result in results
            if (not asked or result.dataset in datasets)
            and _any(self.backbones, result.method.backbone)
            and (self.shows(result) or result.method.aligner.name == BASELINE)
        ]

    def shows(self, result: Result) -> bool:
        """Whether the aligner of a result is chosen."""
        return _any(self.aligners, result.method.aligner)

    def facts(self) -> tuple[str, ...]:
        """What a table says of it: ``only backbone resnet50``."""
        parts = (("backbone", self.backbones), ("aligner", self.aligners))
        return tuple(clean(f"only {part} {' or '.join(names)}") for part, names in parts if names)


EVERYTHING = Choice()


def _dataset_names(result: Result) -> list[str]:
    """What a data set may be asked for as."""
    return list(dict.fromkeys((dataset_name(result), result.dataset)))


def _without_paths(names: Iterable[str]) -> tuple[str, ...]:
    """Names of data sets with the last part alone of a path, as results have no more of it."""
    parts = (name.partition(":") for name in names)
    return tuple(
        kind + colon + (argument.rstrip("/").rpartition("/")[2] or argument) for kind, colon, argument in parts
    )


def _names(part: Component) -> list[str]:
    """What a component may be asked for as."""
    name = part.name.partition(":")[0]
    return list(dict.fromkeys((name, part.name, *([f"{name}/{part.preset}"] if part.preset else []))))


def _any(names: Sequence[str], part: Component) -> bool:
    return not names or not set(names).isdisjoint(_names(part))


def asked_ranks(view: View) -> tuple[int, ...]:
    """The ranks of the CMC that a view needs: those that it names, and those of columns that it chooses."""
    named = (cmc_rank(name) for name in (*map(score_name, view.columns), view.sort))
    return tuple(sorted({*view.ranks, *(rank for rank in named if rank is not None)}))


def check_view(board: Board, view: View, results: Sequence[Result]) -> None:
    """Refuse a column that no table of a board has.

    Raises:
        ConfigError: with the names of those that there are.
    """
    everything = attrs.evolve(view, timings=True)
    rows = [row for block in (*board.blocks, *board.partial) for row in block.rows]
    columns = measured_columns(board.scores, board.speeds(), board.machines, view=everything, rows=rows)
    names = list(dict.fromkeys(column.name for column in columns))
    sorting = {name for column in columns for name in _names_of(column)}
    showing = sorting | {key for column in columns for key in column.keys}
    asked = (*(("--columns", name, showing) for name in view.columns), ("--sort", view.sort, sorting))
    for option, name, known in asked:
        if name and name not in known:
            why = why_undefined(score_name(name), results)
            raise ConfigError(_unknown(f"{option} {name}: no such column{why and f', as {why}'}", name, names))


def why_undefined(metric: str, results: Iterable[Result]) -> str:
    """Why the protocol of results that do not have a metric does not define it; empty where it does."""
    reasons = (Selection.of(EvalProtocol.of(**rules)).undefined.get(metric, "") for rules in _each_rules(results))
    reason = next(filter(None, reasons), "")
    return reason and f"{metric} is undefined: {reason}"


def _each_rules(results: Iterable[Result]) -> Iterable[Mapping[str, Any]]:
    """The rules of each protocol once."""
    done = [result for result in results if result.evaluation_version == EVALUATION_VERSION]
    return {result.fingerprint: result.protocol.rules for result in done}.values()


def _names_of(column: Column[Any]) -> set[str]:
    """What a column may be asked for by: its name, its key or its heading."""
    return {column.name, column.key, column.title} - {""}


def _no_result(option: str, name: str, known: Iterable[str]) -> str:
    """The message on a name that no result has, where it may be the path of what results call by its content."""
    kind, colon, _ = name.partition(":")
    alike = [other for other in known if colon and other.startswith(kind + colon)]
    by_content = [other for other in alike if re.fullmatch("[0-9a-f]{12}", other.removeprefix(kind + colon))]
    what = f"{option} {name}: no result has it"
    if by_content and by_content == alike:
        return f"{what}; a file or folder is called by 12 digits of its content in results: {', '.join(by_content)}"
    return _unknown(what, name, known)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f"; did you mean {by_lower[close[0]]!r}?" if close else ";"
    return clean(f"{what}{hint} known: {', '.join(by_lower.values()) or 'none'}")


def chosen_columns(columns: Sequence[Column[Any]], view: View) -> list[Column[Any]]:
    """The columns that a view names, in its order; those with a title where it names none."""
    if not view.columns:
        return [column for column in columns if column.title]
    found = [column for name in view.columns for column in columns if name in _names_of(column) or name in column.keys]
    return [attrs.evolve(column, title=column.title or column.key) for column in dict.fromkeys(found)]


def chosen_rows(rows: Sequence[Row], columns: Sequence[Column[Row]], view: View) -> list[Row]:
    """The first rows in the order of a view; rows that are equal keep theirs, and rows without a value come last."""
    column = next((one for one in columns if view.sort and view.sort in _names_of(one)), None)
    ordered = rows if column is None else sorted(rows, key=lambda row: _place(column, row))
    return list(ordered[: view.top])


def _place(column: Column[Row], row: Row) -> tuple[bool, float, str]:
    cell = column.cell(row)
    if not column.numeric:
        return False, 0.0, cell.text
    value = cell.value
    return value is None, (-1 if column.better == "higher" else 1) * (value or 0.0), ""

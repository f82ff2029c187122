"""How scores of given features are shown: tables, CSV, JSON, and a CSV file of the scores of each query."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from crbench.cli.names import PluginName
from crbench.cli.options import OUTPUT, Decorator, format_option, option_group
from crbench.numerals import parse_integer

if TYPE_CHECKING:
    from crbench.api.metric import Metric
    from crbench.evaluation import Evaluation, Scores
    from crbench.evaluation.selection import Selection
    from crbench.protocol import EvalProtocol
    from crbench.records import Samples


_GRIDS = {"table": "simple", "github": "pipe", "latex": "latex_booktabs"}
_LINE = {"table": "{}", "github": "<sub>{}</sub>", "latex": "% {}"}
FORMATS = (*_GRIDS, "csv", "json")
"""What `show` can give."""


metric_option = click.option(
    "--metric",
    type=PluginName("metric"),
    multiple=True,
    metavar="NAME",
    help="Another score, e.g. nDCG; CMC, mAP, mINP and the scores of plugins are always given. See crbench plugins.",
)


per_query_option = click.option(
    "--per-query", "per_query", type=OUTPUT, help="Write the scores of each query to this CSV file."
)


def _ranks(_: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, ...]:
    from crbench.metrics.cmc import CURVE_LENGTH

    try:
        ranks = sorted({parse_integer(part) for part in text.split(",")})
    except ValueError:
        ranks = []
    if not ranks or ranks[0] < 1 or ranks[-1] > CURVE_LENGTH:
        raise click.BadParameter(f"{text!r} is not a list of ranks from 1 to {CURVE_LENGTH}; expected e.g. 1,5,10,20")
    return tuple(ranks)


def ranks_option(default: Sequence[int], shown: str) -> Decorator:
    """The option --ranks; `shown` ends its help."""
    return click.option(
        "--ranks",
        default=",".join(map(str, default)),
        show_default=True,
        callback=_ranks,
        metavar="LIST",
        help=f"Ranks of the CMC, from 1 to 50, that {shown}",
    )


output_options = option_group(
    metric_option,
    click.option("--group-by", metavar="COLUMN", help="Scores per value of a column of the queries, e.g. camid."),
    per_query_option,
    ranks_option((1, 5, 10, 20), "tables and --per-query show; JSON has the whole curve."),
    format_option(FORMATS),
)
"""What of the scores is shown, written and how."""


def groups(queries: Samples, name: str | None, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Rows of each value of a column, bool[q], in order of the values; none without a column.

    Rates are named by six digits, as in results.

    Args:
        more: further columns by name.

    Raises:
        ConfigError: no such column.
    """
    import numpy as np

    from crbench.errors import ConfigError

    if name is None:
        return {}
    columns = {"pid": queries.pids, "camid": queries.camids, "rate": queries.rates, **(more or {})}
    if name not in columns:
        raise ConfigError(f"--group-by {name}: the queries have no such column; known: {', '.join(columns)}")
    column = columns[name]
    labels = np.array([f"{value:g}" if name == "rate" else str(value) for value in column.tolist()])
    in_order = labels[np.argsort(column, kind="stable")]
    return {label: labels == label for label in dict.fromkeys(in_order.tolist())}


def show(
    found: Evaluation,
    protocol: EvalProtocol,
    form: str,
    ranks: Sequence[int],
    group_by: str | None,
    masks: Mapping[str, Any],
    accepted: Mapping[float, float],
    *,
    curve: int | None = None,
) -> str:
    """The scores as text.

    Args:
        form: one of `FORMATS`.
        ranks: of the CMC that a table shows.
        group_by, masks: name of a column, and the queries of each of its values.
        accepted: TPR by FPR.
        curve: show the CMC at each rank up to this one, in a table of its own, or in place of `ranks` in CSV.
    """
    counted = found.per_query.counted
    by_group = {value: found.per_query.scores(mask) for value, mask in masks.items() if (counted & mask).any()}
    if form == "json":
        return _as_json(found, protocol, group_by, by_group, accepted)
    parts = {
        "all": found.scores,
        **({f"rate {rate:g}": scores for rate, scores in found.by_rate.items()} if len(found.by_rate) > 1 else {}),
        **{f"{group_by} {value}": scores for value, scores in by_group.items()},
    }
    if form == "csv":
        return _as_csv(parts, ranks if curve is None else range(1, curve + 1), found.selection)
    lines = [
        *(f"TPR at FPR {fpr:g}: {_per_cent(tpr)}" for fpr, tpr in accepted.items()),
        *_undefined(found.selection),
        _legend(found.selection, protocol),
    ]
    tables = [_table(parts, ranks, found.selection, form)]
    if curve is not None:
        tables.append(_curve_table(parts, curve, form))
    gap = "\n" if form == "table" and curve is None else "\n\n"
    return gap.join([*tables, "\n".join(_LINE[form].format(line) for line in lines)])


def _as_json(
    found: Evaluation,
    protocol: EvalProtocol,
    group_by: str | None,
    by_group: Mapping[str, Scores],
    accepted: Mapping[float, float],
) -> str:

    content = {
        **_plain(found.scores),
        "by_rate": {f"{rate:g}": _plain(scores) for rate, scores in found.by_rate.items()},
        **({} if group_by is None else {"by_group": {value: _plain(scores) for value, scores in by_group.items()}}),
        **({"tpr_at_fpr": {f"{fpr:g}": tpr for fpr, tpr in accepted.items()}} if accepted else {}),
        "protocol": protocol.flat(),
        "fingerprint": protocol.fingerprint(),
        **({"undefined": dict(found.selection.undefined)} if found.selection.undefined else {}),
        "engine": found.engine,
        "precision": found.precision,
        "ambiguous": found.ambiguous,
    }
    return json.dumps(content, indent=2)


def _plain(scores: Scores) -> dict[str, Any]:
    return {
        "cmc": scores.cmc.tolist(),
        **dict.fromkeys(scores.undefined),
        **scores.means,
        "n_query": scores.n_query,
        "n_valid": scores.n_valid,
    }


def _table(parts: Mapping[str, Scores], ranks: Sequence[int], selection: Selection, form: str) -> str:
    """One row for each part of the queries."""
    metrics = [one.metric for one in selection.metrics]
    rows = [
        (
            name,
            *(_per_cent(scores.rank(rank)) for rank in ranks),
            *(_shown(scores.means[metric.name], metric) for metric in metrics),
            scores.n_query,
            scores.n_valid,
        )
        for name, scores in parts.items()
    ]
    titles = (metric.name if metric.higher_is_better else f"{metric.name} (lower is better)" for metric in metrics)
    headers = ("queries", *(f"R{rank}" for rank in ranks), *titles, "number", "with a match")
    return _grid(headers, rows, form)


def _curve_table(parts: Mapping[str, Scores], length: int, form: str) -> str:
    """One row for each rank, a column for each part of the queries."""
    rows = [(rank, *(_per_cent(scores.rank(rank)) for scores in parts.values())) for rank in range(1, length + 1)]
    return _grid(("rank", *parts), rows, form)


def _grid(headers: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> str:
    from tabulate import tabulate

    if form == "github":  # a bar would end the cell
        headers, *rows = [[str(cell).replace("|", r"\|") for cell in row] for row in (headers, *rows)]
    return tabulate(
        rows,
        headers=headers,
        tablefmt=_GRIDS[form],
        disable_numparse=True,
        colalign=("left", *["right"] * (len(headers) - 1)),
    )


def _as_csv(parts: Mapping[str, Scores], ranks: Sequence[int], selection: Selection) -> str:
    """One line for each part of the queries; scores are fractions, as in JSON."""
    metrics = [one.name for one in selection.metrics]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["queries", *(f"R{rank}" for rank in ranks), *metrics, "n_query", "n_valid"])
    for name, scores in parts.items():
        values = [*(scores.rank(rank) for rank in ranks), *(scores.means[metric] for metric in metrics)]
        writer.writerow([name, *values, scores.n_query, scores.n_valid])
    return text.getvalue()


def _legend(selection: Selection, protocol: EvalProtocol) -> str:
    """How to read the table, and by which rules."""
    plain = (one.metric.name for one in selection.metrics if one.metric.unit == "number")
    return f"per cent{''.join(f', {name} as it is' for name in plain)}; protocol fingerprint {protocol.fingerprint()}"


def _undefined(selection: Selection) -> list[str]:
    """One line for each reason why scores are undefined."""
    names: dict[str, list[str]] = {}
    for name, reason in selection.undefined.items():
        names.setdefault(reason, []).append(name)
    return [f"undefined: {', '.join(alike)}: {reason}" for reason, alike in names.items()]


def _shown(value: float, metric: Metric) -> str:
    return _per_cent(value) if metric.unit == "fraction" else f"{value:.4g}"


def _per_cent(value: float) -> str:
    return f"{100 * value:.2f}"

"""A gallery of mixed rates: how the rate of the image that is searched for matters, beside that of the query.

A cell of the table is Rank-1 of the queries of one rate where of their own person only the gallery images of one rate
are there; all images of other people stay. So cells of a line have the same opponents, and differ by the match alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.analysis.offsets import Estimate
from crbench.analysis.subject import Subject
from crbench.analysis.tables import Table, as_json, as_text, per_cent
from crbench.api.context import RunContext
from crbench.config.run_spec import RunSpec
from crbench.errors import ConfigError
from crbench.evaluation import evaluate
from crbench.harness.opened import OpenedTrial
from crbench.harness.ranked import RankedTrial, ranked
from crbench.protocol import EvalProtocol
from crbench.records import Features, Samples
from crbench.statistics import TrialQueries, intervals

ALL = "all"
"""In place of a rate of the gallery: all images of the person."""

Cells = Mapping[str, Mapping[str, Estimate]]
"""Rank-1 by the rate of the query, then by that of the gallery, both as ``f"{rate:g}"``, or `ALL`."""


@attrs.frozen
class MixedReport:
    """Rank-1 by the rates of query and match, by aligner; `images` counts gallery images (or tracklets) by rate."""

    subject: Subject
    images: Mapping[str, int]
    methods: Mapping[str, Cells]

    def render(self, form: str = "table", width: int | None = None) -> str:
        """As text or JSON, see `FORMATS` and `as_text` of `crbench.analysis.tables`."""
        if form == "json":
            return as_json({"subject": self.subject, "images": self.images, "rank1": self.methods})
        return as_text(str(self.subject), list(self._tables()), (), form, width)

    def _tables(self) -> Iterator[Table]:
        note = (
            "In per cent, with 95 % intervals over people. Of the query's own person only the images of the column are "
            "in the gallery; of all others, all are."
        )
        for name, cells in self.methods.items():
            known = {column for line in cells.values() for column in line}
            columns = [column for column in (ALL, *self.images) if column in known]
            heads = (f"match as it is ({self.images[c]})" if c == "1" else _head(c, self.images) for c in columns)
            rows = tuple(
                (f"query x{rate}", *(per_cent(line[column]) if column in line else "-" for column in columns))
                for rate, line in cells.items()
            )
            yield Table(f"{name}: Rank-1 by the rates of query and match", ("", *heads), rows, note)


def _head(column: str, images: Mapping[str, int]) -> str:
    return "any match" if column == ALL else f"match x{column} ({images[column]})"


def mixed_of(spec: RunSpec, *, context: RunContext | None = None) -> MixedReport:
    """Rank-1 by the rates of query and match, of the first trial of a run, for all aligners; nothing is recorded.

    Raises:
        ConfigError: all gallery images have one rate, or a rule that other cells cannot follow.
        CrbenchError: see `crbench.harness.run.run`.
    """
    opened = OpenedTrial.of(spec, context=context or RunContext())
    rates, counts = np.unique(opened.trial.split.ranked.gallery.rates, return_counts=True)
    _check(opened.job.protocol, len(rates))
    return MixedReport(
        subject=Subject.of(opened, tuple(aligner.name for aligner in opened.job.aligners)),
        images={f"{rate:g}": int(count) for rate, count in zip(rates.tolist(), counts.tolist(), strict=True)},
        methods={aligner.name: by_gallery_rate(ranked(opened, aligner)) for aligner in opened.job.aligners},
    )


def _check(protocol: EvalProtocol, rates: int) -> None:
    if rates == 1:
        raise ConfigError(
            f"the gallery of protocol {protocol.name} has one rate; give e.g. --set protocol.gallery_rates=[1,2,3,4]"
        )
    if protocol.scoring.ignored_cameras != "none" or protocol.scoring.rerank != "none":
        raise ConfigError("the table of gallery rates takes no ignored_cameras and no rerank")


def by_gallery_rate(trial: RankedTrial) -> Cells:
    """Rank-1 of the queries of each rate, by the rate of the gallery images of their person."""
    rates = trial.split.gallery.rates
    found: dict[str, dict[str, Estimate]] = {}
    for column, mask in (
        (ALL, np.ones(len(rates), dtype=np.bool_)),
        *((f"{r:g}", rates == r) for r in np.unique(rates)),
    ):
        queries = _queries(trial, mask)
        if queries is None:
            continue
        known = intervals([queries])
        for rate in sorted(set(queries.rates.tolist()), key=float):
            own = None if known is None else known.by_rate.get(rate, {}).get("R1")
            ends = (np.nan, np.nan) if own is None else (own.low, own.high)
            value = float(queries.values["R1"][queries.rates == rate].mean())
            found.setdefault(rate, {})[column] = Estimate(value, *ends)
    return found


def _queries(trial: RankedTrial, matches: NDArray[np.bool_]) -> TrialQueries | None:
    """The queries that have a match among some gallery images, with their scores where it has no others; None = none.

    Args:
        matches: bool[g], in the order of the gallery that is ranked.
    """
    rules = trial.protocol.changed(same_camera="ignore", unmatched="ignore")
    parts = [
        TrialQueries.of(trial.trial.index, query.rows, evaluate(query, gallery, rules).per_query)
        for query, gallery in _hidden(trial, matches)
    ]
    if not parts:
        return None
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("keys", "pids", "camids", "rates", "matched")
    }
    values = {"R1": np.concatenate([part.values["R1"] for part in parts])}
    return TrialQueries(trial.trial.index, **columns, values=values)


def _hidden(trial: RankedTrial, matches: NDArray[np.bool_]) -> Iterator[tuple[Features, Features]]:
    """Pairs of queries and gallery that the same-camera rule keeps from all matches but some.

    A gallery image in the query's own camera is left out if it shows the query's person, and stays as an opponent if it
    does not. So all images that must not be matches get the camera of the query.
    """
    for query, gallery in trial.compared:
        rows: Samples = gallery.rows
        here = 1 + max(query.rows.camids.max(initial=0), rows.camids.max(initial=0))
        for camera in np.unique(query.rows.camids):
            own = (rows.camids == camera) & (trial.protocol.scoring.same_camera == "ignore")
            asked = query.take(query.rows.camids == camera)
            cameras = np.where(own | ~matches, here, rows.camids)
            if not np.isin(asked.rows.pids, rows.pids[cameras != here]).any():
                continue
            yield (
                attrs.evolve(asked, rows=attrs.evolve(asked.rows, camids=np.full(len(asked), here))),
                attrs.evolve(gallery, rows=attrs.evolve(rows, camids=cameras)),
            )

"""All figures of a run, as PNG and SVG in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.analysis.distances import RatePairs, pairs_by_rate
from crbench.analysis.figures import histograms, ranked_lists, sizes, tsne
from crbench.analysis.figures.style import check_drawable, style, write_figure
from crbench.analysis.subject import Subject
from crbench.analysis.tables import per_cent
from crbench.api.context import RunContext
from crbench.config.run_spec import RunSpec
from crbench.errors import ConfigError, EvaluationError
from crbench.evaluation.pairs import check_pairs_have_distances
from crbench.harness.opened import OpenedTrial
from crbench.harness.ranked import RankedTrial, ranked
from crbench.results import BASELINE
from crbench.store.files import check_writable
from crbench.wording import suggestion


@attrs.frozen
class Drawn:
    """Figures that were written, and what they show in words."""

    paths: tuple[Path, ...]
    findings: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class PlotOptions:
    """What figures show.

    Attributes:
        people: of t-SNE, drawn by the seed.
        queries: of ranked lists, drawn by the seed.
        blur: blur the tops of their images.
        usable: Rank-1, as a fraction, from which on images are of use.
    """

    people: int = 10
    queries: int = 3
    blur: bool = False
    usable: float = 0.5


@attrs.define(eq=False, slots=False)
class _Trial:
    """An opened trial, and what several figures need of it, computed once."""

    opened: OpenedTrial
    folder: Path
    options: PlotOptions

    @cached_property
    def ranked(self) -> dict[str, RankedTrial]:
        """The trial as each aligner ranks it."""
        return {aligner.name: ranked(self.opened, aligner) for aligner in self.opened.job.aligners}

    @cached_property
    def pairs(self) -> dict[str, dict[float, RatePairs]]:
        """Distances of each aligner by rate."""
        check_pairs_have_distances(self.opened.job.protocol)
        return {name: pairs_by_rate(trial) for name, trial in self.ranked.items()}

    @cached_property
    def heights(self) -> NDArray[np.int64]:
        """i64[q], heights of the queries' images, as the protocol shows them."""
        query, found = self.opened.trial.split.ranked.query, []
        with self.opened.facts.run.progress(len(query), "measure images", "image") as bar:
            for place in range(len(query)):
                found.append(self.opened.read(query.row(place)).height)
                bar.advance()
        return np.array(found, dtype=np.int64)

    def write(self, figure: object, name: str) -> tuple[Path, ...]:
        """Write a figure, with what it is of below it."""
        subject = Subject.of(self.opened, tuple(aligner.name for aligner in self.opened.job.aligners))
        facts = [subject.dataset, subject.protocol, f"trial {subject.trial}", subject.backbone, f"seed {subject.seed}"]
        facts += [] if subject.limit is None else [f"limited to {subject.limit} identities"]
        foot = ", ".join(facts)
        return tuple(write_figure(figure, self.folder, name, foot))  # type: ignore[arg-type]


def plots_of(
    spec: RunSpec,
    folder: Path,
    figures: Sequence[str] = (),
    *,
    options: PlotOptions | None = None,
    context: RunContext | None = None,
) -> list[Drawn]:
    """Draw figures of the first trial of a run; nothing else is recorded.

    Args:
        spec: one data set, one backbone and aligners.
        folder: where they go, as PNG and SVG.
        figures: names from `FIGURES`; none = all that the run has, with a warning for each that it has not.
        options: what they show.

    Raises:
        ConfigError: an unknown figure, or matplotlib or scikit-learn is not installed.
        CrbenchError: see `crbench.harness.run.run`, `crbench.harness.opened.OpenedTrial.pairs` and
            `crbench.evaluation.pairs.pair_blocks`.
    """
    wanted = tuple(dict.fromkeys(figures)) or FIGURES
    if unknown := [name for name in wanted if name not in _DRAW]:
        raise ConfigError(
            f"unknown figure {unknown[0]!r}{suggestion(unknown[0], FIGURES)}; known: {', '.join(FIGURES)}"
        )
    check_drawable(*(["sklearn"] if "tsne" in wanted else []))
    check_writable(folder)
    trial = _Trial(OpenedTrial.of(spec, context=context or RunContext()), folder, options or PlotOptions())
    drawn = []
    with style():
        for name in wanted:
            try:
                drawn.append(_DRAW[name](trial))
            except (ConfigError, EvaluationError) as error:
                if figures:
                    raise
                trial.opened.facts.run.logger.warning("no %s: %s", name, error)
    return drawn


def _tsne(trial: _Trial) -> Drawn:
    opened = trial.opened
    hr = opened.hr_rows(opened.people)
    hr = hr.take(np.isin(hr.pids, tsne.drawn_people(hr.pids, trial.options.people, opened.facts.run.seed)))
    pairs = opened.pairs(hr, training=opened.people == "train")
    sources = {BASELINE: {rate: pair.source for rate, pair in pairs.items()}}
    for aligner in opened.job.aligners:
        if aligner.name != BASELINE:
            sources[aligner.name] = opened.mapped(aligner, opened.runner(aligner).fit(opened.rows), pairs)
    target = next(iter(pairs.values())).target
    views = {}
    for name, rates in sources.items():
        sides = [target, *rates.values()]
        views[name] = tsne.View(
            x=np.concatenate([side.x.cpu().numpy() for side in sides]),
            pids=np.concatenate([side.rows.pids for side in sides]),
            keys=np.concatenate([side.rows.keys for side in sides]),
            rates=np.concatenate([side.rows.rates for side in sides]),
        )
    return Drawn(trial.write(tsne.draw(views, opened.facts.run.seed), "tsne"))


def _ranked(trial: _Trial) -> Drawn:
    first = next(iter(trial.ranked.values()))
    queries = ranked_lists.drawn_queries(first, trial.options.queries, trial.opened.facts.run.seed)
    figure = ranked_lists.draw(trial.ranked, queries, blur=trial.options.blur)
    terms = "the images are those of your data; `crbench data info NAME` tells the terms"
    return Drawn(trial.write(figure, "ranked"), (f"ranked lists: {terms}",))


def _rate(trial: _Trial) -> Drawn:
    found = {name: sizes.by_rate(one) for name, one in trial.ranked.items()}
    return Drawn(trial.write(sizes.draw(found, "queries shrunk by; number of queries", rising=True), "rate"))


def _height(trial: _Trial) -> Drawn:
    found = {name: sizes.by_height(one, trial.heights) for name, one in trial.ranked.items()}
    least = trial.options.usable
    figure = sizes.draw(found, "height of the query's image in pixels; number of queries", rising=False, least=least)
    return Drawn(trial.write(figure, "height"), tuple(_usable(name, own, least) for name, own in found.items()))


def _usable(name: str, found: Sequence[sizes.Size], least: float) -> str:
    size = sizes.usable_down_to(found, least)
    if size is None:
        return f"{name}: no height has a Rank-1 of {100 * least:g} %"
    return (
        f"{name}: usable (Rank-1 from {100 * least:g} % on) down to a height of {size.label} pixels, where it is "
        f"{per_cent(size.rank1)}"
    )


def _distances(trial: _Trial) -> Drawn:
    figure = histograms.draw(trial.pairs, trial.opened.job.protocol.scoring.distance)
    return Drawn(trial.write(figure, "distances"))


_DRAW: dict[str, Callable[[_Trial], Drawn]] = {
    "tsne": _tsne,
    "ranked": _ranked,
    "rate": _rate,
    "height": _height,
    "distances": _distances,
}
FIGURES = tuple(_DRAW)
"""Names of all figures."""

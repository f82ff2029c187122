"""Analyses of a run: from what a user asks for to features, and what they say."""

from __future__ import annotations

from crbench.analysis.directions import SameImages, directions
from crbench.analysis.report import DirectionsReport
from crbench.analysis.subject import Subject
from crbench.api.context import RunContext
from crbench.api.pairing import Pairs
from crbench.config.run_spec import RunSpec
from crbench.harness.opened import OpenedTrial, People
from crbench.records import Features
from crbench.results import BASELINE


def directions_of(
    spec: RunSpec, *, people: People | None = None, permutations: int = 20, context: RunContext | None = None
) -> DirectionsReport:
    """The directions from LR to HR features of the first trial of a run, and what its aligners make of them.

    Features come from the cache or from given files (``features:FOLDER``); what is not there is extracted. Nothing is
    recorded.

    Args:
        spec: one data set, one backbone and aligners. An aligner ``none`` is left out.
        people: whose images; None = the people of the gallery, and those of the training where features are given.
        permutations: see `crbench.analysis.directions.directions`.

    Raises:
        CrbenchError: see `crbench.harness.run.run` and `crbench.harness.opened.OpenedTrial.pairs`.
    """
    run = context or RunContext()
    opened = OpenedTrial.of(spec, context=run)
    whose = people or opened.people
    pairs = opened.pairs(opened.hr_rows(whose), training=whose == "train")
    aligners = [one for one in opened.job.aligners if one.name != BASELINE]
    mapped = {one.name: opened.mapped(one, opened.runner(one).fit(opened.rows), pairs) for one in aligners}
    rates = {rate: same_images(pair, {name: own[rate] for name, own in mapped.items()}) for rate, pair in pairs.items()}
    found = directions(rates, seed=spec.seed, permutations=permutations, progress=run.progress)
    return DirectionsReport(Subject.of(opened, tuple(mapped), whose), found)


def same_images(pair: Pairs, mapped: dict[str, Features]) -> SameImages:
    """Pairs as arrays."""
    return SameImages(
        lr=pair.source.x.cpu().numpy(),
        hr=pair.target.x.cpu().numpy(),
        pids=pair.source.rows.pids,
        mapped={name: feats.x.cpu().numpy() for name, feats in mapped.items()},
    )

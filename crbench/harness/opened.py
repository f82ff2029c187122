"""One trial with a ready backbone and the features of its rows, for all that looks at features and records nothing.

Features, weights and fits come from the cache and the weights folder, as in any run; what is not there is made anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import attrs
import numpy as np

from crbench.api.capabilities import GalleryByRate
from crbench.api.context import RunContext
from crbench.api.interfaces import Precomputed, Reader
from crbench.api.pairing import Pairs, TrainFeatures
from crbench.config.run_spec import RunSpec
from crbench.errors import ConfigError, DataError
from crbench.harness.backbone import ReadyBackbone
from crbench.harness.cell import CellRunner, Fitted
from crbench.harness.environment import pick_device
from crbench.harness.facts import JobFacts
from crbench.harness.features import Encoded, add_features
from crbench.harness.job import OpenedJob
from crbench.harness.plan import Job, make_plan
from crbench.harness.rows import IdentifiedRows, TrialRows
from crbench.harness.run import open_cache
from crbench.harness.transform import transformed
from crbench.harness.trial import TrialData
from crbench.records import Features, Samples
from crbench.registry.resolve import Resolved
from crbench.store.features import FeatureTable

People = Literal["test", "train"]
"""Whose images are looked at: those that are searched for, or those that backbone and aligner learned from."""


@attrs.frozen(eq=False)
class OpenedTrial:
    """A trial whose training, query and gallery rows all have features.

    Attributes:
        facts: what the cells of its job share.
        ready: the backbone.
        rows: the rows of the trial, the gallery as the backbone wants it.
        encoded: the features of its rows.
    """

    facts: JobFacts
    ready: ReadyBackbone
    rows: TrialRows
    encoded: Encoded

    @classmethod
    def of(cls, spec: RunSpec, *, context: RunContext) -> Self:
        """The first trial of a spec that gives one job; a bound that it asks for is left out.

        Raises:
            ConfigError: several jobs: data sets, backbones, or data sets to fit on.
            CrbenchError: see `crbench.harness.run.run`.
        """
        plan = make_plan(attrs.evolve(spec, bound=False))
        _check_one(plan.jobs)
        for note in plan.notes:
            context.logger.info("%s", note)
        job = attrs.evolve(plan.jobs[0], trials=plan.jobs[0].trials[:1])
        run = attrs.evolve(context, seed=spec.seed, device=pick_device(spec.device))
        opened = OpenedJob.of(job, spec, run, open_cache(spec, run))
        group = opened.backbone(0)
        return cls(opened.facts, group.ready, group.trials[0], opened.encoded(0))

    @property
    def job(self) -> Job:
        """The job that the trial belongs to."""
        return self.facts.job

    @property
    def trial(self) -> TrialData:
        """The split, with the content of its images."""
        return self.rows.trial

    @property
    def table(self) -> FeatureTable:
        """Features by row."""
        return self.encoded.table

    @property
    def read(self) -> Reader:
        """Gives the image of a row, as the protocol shows it."""
        return self.encoded.read

    @property
    def people(self) -> People:
        """Whom to look at unless somebody says otherwise: features that were given are of the rows of a run only."""
        return "train" if isinstance(self.ready.backbone, Precomputed) else "test"

    def add(self, rows: IdentifiedRows) -> None:
        """Put the features of rows into the table; see `crbench.harness.features.add_features`."""
        add_features(self.facts, self.ready.backbone, self.table, rows, self.read)

    def runner(self, aligner: Resolved) -> CellRunner:
        """What fits and applies one of the aligners."""
        return CellRunner(self.facts, aligner, self.ready, self.encoded)

    def hr_rows(self, people: People) -> Samples:
        """HR images: of the training rows, or of the people of the gallery, without distractors and junk."""
        split = self.trial.split
        if people == "train":
            return split.train.take(split.train.rates == 1)
        named = np.isin(split.gallery.pids, split.query.pids) & (split.gallery.pids >= 0)
        return split.gallery.take(named & (split.gallery.rates == 1))

    def pairs(self, hr: Samples, *, training: bool) -> dict[float, Pairs]:
        """Features of HR images, each beside those of its LR copy, by the rate of the copy.

        Args:
            hr: images of the trial at rate 1.
            training: copies at the protocol's training rates; else at those of its queries.

        Raises:
            ConfigError: the protocol has no such rates, or the features vary in length.
            DataError: no HR images, or given features that lack copies.
        """
        rules = self.job.protocol.split
        name, rates = ("train_rates", rules.train_rates) if training else ("query_rates", rules.query_rates)
        if not rates:
            raise ConfigError(
                f"protocol {self.job.protocol.name} shrinks nothing ({name} is empty), so no image is there in LR and "
                f"HR; give e.g. --set protocol.{name}=[2,3,4]"
            )
        if not len(hr):
            raise DataError("no HR images of these people, so there is nothing to pair LR images with")
        copies = Samples.concat([hr.at_rate(rate) for rate in rates])
        views = [IdentifiedRows.of(rows, self.trial) for rows in (copies, hr)]
        self.add(IdentifiedRows.concat(views))
        source, target = (rows.features(self.table, self.facts.run.device) for rows in views)
        if source.dims is not None or target.dims is not None:
            raise ConfigError(
                f"the length of the features of {self.job.backbone.name} varies, so LR and HR features of an image "
                "cannot be set side by side"
            )
        found = TrainFeatures(source=source, target=target).pairs("image")
        return {
            domain.rate: Pairs(found.source.take(np.flatnonzero(mask)), found.target.take(np.flatnonzero(mask)))
            for domain, mask in found.source.rows.domains()
        }

    def mapped(self, aligner: Resolved, fitted: Fitted, pairs: Mapping[float, Pairs]) -> dict[float, Features]:
        """The LR side of pairs as a fitted aligner changes it; see `crbench.harness.transform.transformed`.

        Raises:
            ConfigError: the aligner changes how the gallery is encoded, so LR features alone say nothing of it.
            PluginError: the transform fails.
        """
        if isinstance(fitted.transform, GalleryByRate):
            raise ConfigError(
                f"{aligner.name} asks for a gallery of its own, so what it makes of an LR feature has no HR feature "
                "beside it; name another aligner"
            )
        rows = {rate: IdentifiedRows.of(pair.source.rows, self.trial) for rate, pair in pairs.items()}
        device = self.facts.run.device
        return {rate: transformed(fitted.transform, aligner, (own,), self.table, device) for rate, own in rows.items()}


def _check_one(jobs: Sequence[Job]) -> None:
    if len(jobs) > 1:
        each = (f"{', '.join(one.name for one in job.aligners)} on {_told_apart(job)}" for job in jobs)
        raise ConfigError(f"one backbone on one data set is looked at; this asks for {'; '.join(each)}: choose one")


def _told_apart(job: Job) -> str:
    fitted = "" if job.partner is None else f", fitted on {job.partner.dataset.name}"
    return f"{job.backbone.name} ({job.dataset.name}{fitted})"

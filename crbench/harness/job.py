"""Steps 2 to 4 of one job: its data, and its backbones one after the other, each with the features of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from typing import Self

import attrs

from crbench.api.context import RunContext
from crbench.config.run_spec import RunSpec
from crbench.harness.arithmetic import settled_extraction
from crbench.harness.backbone import ReadyBackbone, backbone_key, job_weights, provide_backbone
from crbench.harness.costs import NetworkCost
from crbench.harness.extract.extractor import BatchTooLargeError, with_half_batches
from crbench.harness.facts import JobFacts
from crbench.harness.features import Encoded, Readers, encode
from crbench.harness.paces import Paces, training
from crbench.harness.plan import Job
from crbench.harness.rows import IdentifiedRows, TrialRows
from crbench.harness.trial import TrialData, load_trials, training_rows
from crbench.store.cache import Cache
from crbench.store.features import FeatureTable


@attrs.frozen(eq=False)
class BackboneTrials:
    """A ready backbone with the trials that share it."""

    facts: JobFacts
    ready: ReadyBackbone
    trials: tuple[TrialRows, ...]

    @cached_property
    def network(self) -> NetworkCost:
        """What the backbone costs for one image.

        Raises:
            PluginError: it fails.
        """
        rows = IdentifiedRows.concat([self.trials[0].train, self.trials[0].test])
        owner = self.facts.job.backbone.registered.owner
        return NetworkCost.of(self.ready.backbone, rows.rows, self.facts.run.device, owner)


@attrs.define(eq=False)
class OpenedJob:
    """A job whose data are read and checked; its last backbone and that one's features are kept.

    Attributes:
        facts: what its cells share.
        groups: its trials, those together that share a backbone.
        readers: give its images.
    """

    facts: JobFacts
    groups: Sequence[Sequence[TrialData]]
    readers: Readers
    _table: FeatureTable = attrs.field(factory=lambda: FeatureTable.open(None, {}), init=False)
    _backbone: tuple[int, BackboneTrials] | None = attrs.field(default=None, init=False)
    _encoded: tuple[int, bool, Encoded] | None = attrs.field(default=None, init=False)

    @classmethod
    def of(cls, job: Job, spec: RunSpec, run: RunContext, cache: Cache | None, paces: Paces | None = None) -> Self:
        """Read and check the data of a job, and settle its weights and how features are computed.

        Args:
            paces: where its steps are noted; None = in the cache.

        Raises:
            CrbenchError: see `crbench.harness.run.run`.
        """
        trials = load_trials(job, spec, run)
        weights = job_weights(job, trials, spec, run)
        extraction = settled_extraction(job, trials, weights, spec, run, cache)
        paces = paces or Paces.of(cache, run.device)
        facts = JobFacts.of(job, trials, spec, run, extraction=extraction, weights=weights, cache=cache, paces=paces)
        groups = groupby(facts.trials, lambda trial: backbone_key(job, trial, facts.weights, run))
        return cls(facts, [list(group) for _, group in groups], Readers.of(facts))

    def halve_batches(self, error: BatchTooLargeError) -> None:
        """Go on with half the batch size: features may depend on it, so none of them is kept.

        Raises:
            BatchTooLargeError: see `crbench.harness.extract.extractor.with_half_batches`.
        """
        extraction = with_half_batches(self.facts.extraction, error, self.facts.run)
        self.facts, self._backbone, self._encoded = attrs.evolve(self.facts, extraction=extraction), None, None

    def backbone(self, number: int) -> BackboneTrials:
        """The backbone of a group of trials, by its number from 0, ready; trained first where it has no weights.

        Raises:
            CrbenchError: see `crbench.harness.backbone.provide_backbone`.
        """
        if self._backbone is None or self._backbone[0] != number:
            facts, group = self.facts, self.groups[number]
            self._encoded = self._backbone = None  # freed first, as two large networks may not fit
            ready = provide_backbone(facts.job, group, facts.weights, read=self.readers.own, run=facts.run)
            if ready.seconds is not None:
                facts.paces.add("train", training(facts.job), len(training_rows(facts.job, group[0])), ready.seconds)
            owner = facts.job.backbone.registered.owner
            rows = tuple(TrialRows.of(trial, ready.backbone, owner) for trial in group)
            self._backbone = number, BackboneTrials(facts, attrs.evolve(ready, seconds=None), rows)
            return BackboneTrials(facts, ready, rows)
        return self._backbone[1]

    def encoded(self, number: int, *, learning: bool = True) -> Encoded:
        """The features of all rows of a group of trials, see `crbench.harness.features.encode`.

        Raises:
            CrbenchError: see there.
        """
        found = self.backbone(number)
        if self._encoded is not None and self._encoded[0] == number and (self._encoded[1] or not learning):
            return self._encoded[2].again()
        encoded = encode(self.facts, found.ready, found.trials, self.readers, self._table, learning=learning)
        self._table, self._encoded = encoded.table, (number, learning, encoded)
        return encoded

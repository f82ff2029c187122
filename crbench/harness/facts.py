"""What all cells of a job share once its data are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from crbench.api.context import RunContext
from crbench.config.paths import data_root
from crbench.config.run_spec import RunSpec
from crbench.harness.identity import cell_id, data_digest
from crbench.harness.paces import Paces
from crbench.harness.plan import Job
from crbench.harness.trial import TrialData, copy_deviations
from crbench.protocol import EVALUATION_VERSION
from crbench.registry.resolve import Resolved
from crbench.results import Extraction, ProtocolFacts, block_fingerprint
from crbench.store.cache import Cache


@attrs.frozen(eq=False)
class JobFacts:
    """What the cells of one job share.

    Attributes:
        extraction: how features are computed; a batch size left to ``auto`` is settled here.
        weights: the file behind ``spec.weights``, or the released weights that are used; None = trained ones.
        digests: of the data of each trial by its index, see `crbench.harness.identity.data_digest`.
        fingerprint: of data set and rules, see `crbench.results.block_fingerprint`.
        run_cache: where the run keeps features; None = nowhere, as asked for, or as there is no such place.
        paces: where the run notes what its steps took.
        deviations: counts in which the copy of the data set differs from the published ones.
        fitted_deviations: the same of the other data set on which aligners are fitted.
    """

    job: Job
    trials: Sequence[TrialData]
    spec: RunSpec
    run: RunContext
    extraction: Extraction
    weights: Path | None
    digests: Mapping[int, str]
    fingerprint: str
    deviations: tuple[str, ...]
    fitted_deviations: tuple[str, ...]
    run_cache: Cache | None
    paces: Paces

    @classmethod
    def of(
        cls,
        job: Job,
        trials: Sequence[TrialData],
        spec: RunSpec,
        run: RunContext,
        *,
        extraction: Extraction,
        weights: Path | None,
        cache: Cache | None,
        paces: Paces,
    ) -> JobFacts:
        """The facts of a job whose trials are read."""
        digests = {trial.index: data_digest(trial) for trial in trials}
        rules = ProtocolFacts.of(job.protocol).rules
        fingerprint = block_fingerprint(job.dataset.public_name, rules, spec.limit, EVALUATION_VERSION)
        own, fitted = (
            () if one is None else copy_deviations(one, data_root(spec.data_root)) for one in (job, job.partner)
        )
        return cls(job, trials, spec, run, extraction, weights, digests, fingerprint, own, fitted, cache, paces)

    @property
    def cache(self) -> Cache | None:
        """Where features are kept; None = nowhere, as asked for, or as the code behind them cannot be read."""
        return None if None in (self.job.dataset.code_sha256, self.job.backbone.code_sha256) else self.run_cache

    @property
    def fitting(self) -> JobFacts:
        """The facts of the job whose training rows aligners are fitted on."""
        return self if self.job.partner is None else attrs.evolve(self, job=self.job.partner)

    @property
    def skipped(self) -> int:
        """Unreadable test images that were left out, over all trials."""
        return sum(trial.skipped for trial in self.trials)

    def cell_id(self, aligner: Resolved) -> str:
        """The id of an aligner's cell, see `crbench.harness.identity.cell_id`."""
        return cell_id(
            self.job,
            aligner,
            fingerprint=self.fingerprint,
            trials=[(trial.index, trial.split.checksum, self.digests[trial.index]) for trial in self.trials],
            fitted=[
                (trial.partner.split.checksum, data_digest(trial.partner)) for trial in self.trials if trial.partner
            ],
            weights=self.weights,
            extraction=self.extraction,
            run=self.run,
        )

"""Steps 5 to 8 for one aligner and one trial: pair, fit, transform, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

from crbench.api.capabilities import Restorable, Stateful
from crbench.api.interfaces import Aligner, Transform
from crbench.api.pairing import TrainFeatures
from crbench.config.run_spec import RunSpec
from crbench.denormals import denormals_flushed
from crbench.errors import SystemFaultError
from crbench.evaluation import Evaluation, evaluate, joined, prepare
from crbench.harness.backbone import ReadyBackbone
from crbench.harness.cards import make_fit_card, seen_digest, write_card
from crbench.harness.costs import said_parameters, transform_macs
from crbench.harness.distance import check_distance, guarded, naming
from crbench.harness.facts import JobFacts
from crbench.harness.features import Encoded, add_features
from crbench.harness.identity import data_digest, fit_facts, fit_key
from crbench.harness.match import learns
from crbench.harness.paces import fitting
from crbench.harness.plan import Job
from crbench.harness.pooling import pooled
from crbench.harness.rows import IdentifiedRows, TrialRows
from crbench.harness.state import plugin_state
from crbench.harness.timing import Clock, median_seconds
from crbench.harness.transform import check_companions, transformed
from crbench.harness.trial import TrialData
from crbench.harness.unfinished import UnfinishedFit
from crbench.records import Features, TestFeatures
from crbench.registry.guard import Owner, plugin_stage
from crbench.registry.resolve import Resolved
from crbench.results import Timing, TrialScores
from crbench.results.outcomes import TrialOutcomes, scores_of
from crbench.statistics import TrialQueries
from crbench.store.tensors import DamagedFileError, load_state, save_state

_TIMED_ROWS = 1024
"""Rows, at most, on which a transform's throughput is measured."""


@attrs.frozen(eq=False)
class Fitted:
    """A fitted aligner with what it costs.

    Attributes:
        key: equal for fits by the same aligner on the same rows, and only for those.
        seconds: of the fit, even where the transform was restored from the cache.
        cached: the transform was restored.
        samples_per_s: throughput of the transform, measured on `timed` LR training rows, or on queries where nothing
            is learned from any.
        macs: multiply-accumulate operations of the transform for one sample; None = not known.
    """

    key: str
    transform: Transform
    seconds: float
    cached: bool
    samples_per_s: float
    timed: int
    macs: int | None


@attrs.frozen(eq=False, kw_only=True)
class TrialRun:
    """One evaluated trial of a cell.

    Attributes:
        scores, outcomes, queries: what became of it.
        fitted: the aligner.
        seconds: of the evaluation.
        columns, gallery_passes: see `crbench.results.Method`.
    """

    scores: TrialScores
    outcomes: TrialOutcomes
    queries: TrialQueries
    fitted: Fitted
    seconds: float
    columns: int
    gallery_passes: float


@attrs.define(eq=False)
class CellRunner:
    """Runs one aligner over the trials of a backbone; equal training rows are fitted once.

    Attributes:
        ready: the backbone.
        encoded: its features for all rows of these trials.
    """

    facts: JobFacts
    aligner: Resolved
    ready: ReadyBackbone
    encoded: Encoded
    _fitted: dict[str, Fitted] = attrs.field(factory=dict, init=False)
    _checked: set[str] = attrs.field(factory=set, init=False)

    def rows(self, trial: TrialRows, fitted: Fitted) -> tuple[TrialRows, Timing]:
        """The rows of a trial, the gallery as the transform wants it, all in the table; what had to be extracted."""
        own = trial.for_transform(fitted.transform, self._owner)
        if own is trial:
            return own, Timing(seconds=0.0, count=0, unit="images", cached=True)
        return own, add_features(self.facts, self.ready.backbone, self.encoded.table, own.test, self.encoded.read)

    def trial(self, rows: TrialRows, fitted: Fitted) -> TrialRun:
        """Transform and evaluate the rows of one trial."""
        prepare(self.facts.spec.engine, self.facts.run.device)
        with Clock(self.facts.run.device) as clock:
            found = self._evaluated(rows, fitted)
        facts, dim = self.facts, self.ready.backbone.dim
        facts.paces.add_trial(facts.job, self.aligner, dim, facts.spec.engine, rows.pairs, clock.seconds)
        return found

    def _evaluated(self, rows: TrialRows, fitted: Fitted) -> TrialRun:
        new = fitted.key not in self._checked
        self._checked.add(fitted.key)
        if new:
            check_companions(fitted.transform, self.aligner, rows, self.encoded.table, self.facts.run.device)
        compared = self.compared(rows, fitted)
        if new and self.facts.job.distance is not None:
            check_distance(self.facts.job.distance, *compared[0])
        with Clock(self.facts.run.device) as clock:
            evaluation = evaluate_trial(self.facts.job, rows, compared, self.facts.spec)
        index, query = rows.trial.index, rows.trial.split.ranked.query
        return TrialRun(
            scores=self._scores(evaluation, rows.trial),
            outcomes=TrialOutcomes(index, query, evaluation.outcomes),
            queries=TrialQueries.of(index, query, evaluation.per_query),
            fitted=fitted,
            seconds=clock.seconds,
            columns=max(feats.x.shape[1] for pair in compared for feats in pair),
            gallery_passes=rows.gallery_passes,
        )

    def compared(self, rows: TrialRows, fitted: Fitted) -> list[tuple[Features, Features]]:
        """The transformed features of ``rows.compared``, those of a tracklet as one."""
        return [
            (pooled(self._transformed(fitted, (query,))), pooled(self._transformed(fitted, views)))
            for query, views in rows.compared
        ]

    def _scores(self, evaluation: Evaluation, trial: TrialData) -> TrialScores:
        """An evaluation as it stands in a result file."""
        split = trial.split
        return TrialScores(
            index=trial.index,
            split=split.checksum,
            data=self.facts.digests[trial.index],
            fitted=None if trial.partner is None else data_digest(trial.partner),
            skipped=trial.skipped,
            weights_sha256=self.ready.weights_sha256,
            training=self.ready.training,
            n_gallery=len(split.ranked.gallery),
            n_persons=len(np.unique(split.query.pids)),
            **scores_of(evaluation),
        )

    def fit(self, rows: TrialRows) -> Fitted:
        """The aligner fitted on the training rows of a trial, from the cache where it is there."""
        key = fit_key(self.aligner, self.encoded.fitting.origin, rows.training_digest, self.facts.run)
        if key not in self._fitted:
            seen = rows.train if learns(self.aligner) else rows.train.take(np.arange(0))
            with Clock(self.facts.run.device) as clock:
                self._fitted[key] = self._made(key, seen, rows)
            self._note("restore" if self._fitted[key].cached else "fit", len(seen.rows), clock.seconds)
        return self._fitted[key]

    def _made(self, key: str, seen: IdentifiedRows, rows: TrialRows) -> Fitted:
        """The fit of this key on the features of `seen`, restored where it is kept."""
        table, device, rates = self.encoded.fitting, self.facts.run.device, seen.rows.rates
        source, target = (seen.take(mask).features(table, device) for mask in (rates > 1, rates == 1))
        timed = source if len(source) else rows.queries.features(self.encoded.table, device)
        content = table.content(seen.ids)
        if (restored := self._restored(key, content, timed)) is not None:
            return restored
        return self._fresh(key, content, TrainFeatures(source=source, target=target), timed, rows.trial)

    def _note(self, step: str, count: int, seconds: float) -> None:
        self.facts.paces.add(step, fitting(self.aligner, self.ready.backbone.dim), count, seconds)

    @property
    def _owner(self) -> Owner:
        return self.aligner.registered.owner

    def _transformed(self, fitted: Fitted, views: Sequence[IdentifiedRows]) -> Features:
        return transformed(fitted.transform, self.aligner, views, self.encoded.table, self.facts.run.device)

    def _restored(self, key: str, content: str, timed: Features) -> Fitted | None:
        """The kept fit, unless its file is damaged or it was fitted on features of other content."""
        aligner, path = self.aligner.build(), self._path(key)
        if path is None or not isinstance(aligner, Restorable):
            return None
        try:
            kept = load_state(path, self.facts.run.device)
        except DamagedFileError as error:
            self.facts.run.logger.warning("cache file %s: %s is fitted anew", error, self.aligner.name)
            return None
        except SystemFaultError as error:
            self.facts.run.logger.warning("%s; %s is fitted anew", error, self.aligner.name)
            return None
        if kept is None:
            return None
        state, facts = kept
        if (facts.get("key"), facts["features"]) != (key, content):
            self.facts.run.logger.warning(
                "%s is fitted anew: %s is of other features, or of another fit", self.aligner.name, path
            )
            return None
        with plugin_stage(self._owner, "restore", passing=()):
            transform = aligner.restore(state)
        return self._timed(key, transform, timed, float(facts["fit_seconds"]), cached=True)

    def _fresh(self, key: str, content: str, train: TrainFeatures, timed: Features, trial: TrialData) -> Fitted:
        aligner: Aligner = self.aligner.build()
        cache, path = self.facts.cache, self._path(key)
        made_by = fit_facts(self.aligner, self.encoded.fitting.origin)
        unfinished = UnfinishedFit(self._path(key, "fits"), key, cache, made_by, content, self.facts.run)
        run = attrs.evolve(self.facts.run, session=attrs.evolve(self.facts.run.session, fit=unfinished))
        with Clock(self.facts.run.device) as clock, plugin_stage(self._owner, "fit", passing=()), denormals_flushed():
            transform = aligner.fit(train, run=run)
        if cache and path and isinstance(aligner, Restorable) and isinstance(transform, Stateful):
            kept = {"key": key, "fit_seconds": clock.seconds, "features": content, "made_by": made_by}
            state = plugin_state(transform, self._owner)
            card = make_fit_card(self.facts.job.fitting, trial.fitting, self.facts.run, self.aligner)
            # The card comes first: a fit without a card looks like one of unknown origin.
            cache.keep(lambda: write_card(path, card))
            cache.keep(lambda: save_state(path, state, {**kept, "card": seen_digest(card)}))
        unfinished.delete()
        with Clock(self.facts.run.device) as timing:
            fitted = self._timed(key, transform, timed, clock.seconds, cached=False)
        self._note("time", len(train.source) + len(train.target), timing.seconds)
        return fitted

    def _timed(self, key: str, transform: Transform, feats: Features, seconds: float, *, cached: bool) -> Fitted:
        some = feats.take(np.arange(min(len(feats), _TIMED_ROWS)))
        rows = TestFeatures.of(some, self.aligner.needs)
        with plugin_stage(self._owner, "transform", passing=()), denormals_flushed():
            per_s = len(rows) / median_seconds(lambda: transform(rows), self.facts.run.device) if len(rows) else 0.0
        macs = transform_macs(transform, rows, self._owner)
        return Fitted(key, transform, seconds=seconds, cached=cached, samples_per_s=per_s, timed=len(rows), macs=macs)

    def _path(self, key: str, folder: str = "transforms") -> Path | None:
        return fit_path(self.facts, self.aligner, key, folder)


def fit_path(facts: JobFacts, aligner: Resolved, key: str, folder: str = "transforms") -> Path | None:
    """Where a fit of this `crbench.harness.identity.fit_key` is kept; None = nowhere."""
    if facts.cache is None or aligner.code_sha256 is None:
        return None
    return facts.cache.root / folder / f"{aligner.registered.entry.name}-{key}.safetensors"


def evaluate_trial(
    job: Job, rows: TrialRows, compared: Sequence[tuple[Features, Features]], spec: RunSpec
) -> Evaluation:
    """Step 8: the evaluation of one trial, its queries in the order of the split's ranked ones.

    Args:
        compared: features of ``rows.compared``: of queries, and of the gallery that they are compared with.
    """
    custom = job.distance
    with naming(custom):
        evaluations = [
            evaluate(
                query,
                gallery,
                job.protocol,
                engine=spec.engine,
                precision=spec.precision,
                memory_budget=spec.memory_budget,
                stream=f"{job.source.info.name}|trial {rows.trial.index}|gallery",
                distance=guarded(custom) if custom else None,
                needs=custom.needs if custom else (),
                metrics=spec.metric,
            )
            for query, gallery in compared
        ]
    return joined(evaluations, rows.places, rows.trial.split.ranked.query, job.protocol)


def parameter_count(transform: Transform, owner: Owner) -> int | None:
    """Learned parameters of a transform: what it says, else the size of its state, else not known.

    Raises:
        PluginError: it fails, or says something else than a whole number from 0.
    """
    count = said_parameters(transform, owner)
    if count is not None or not isinstance(transform, Stateful):
        return count
    return sum(int(tensor.numel()) for tensor in plugin_state(transform, owner).values())


def transform_timing(fitted: Fitted) -> Timing:
    """The throughput of a transform, see `Fitted`."""
    seconds = fitted.timed / fitted.samples_per_s if fitted.samples_per_s else 0.0
    return Timing(seconds=seconds, count=fitted.timed, unit="samples")

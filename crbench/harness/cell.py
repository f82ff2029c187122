"""Steps 5 to 8 for one aligner and one trial: pair, fit, transform, evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import RunContext
from crbench.api.interfaces import Aligner, Backbone, Distance, Precomputed, Restorable, Transform
from crbench.api.pairing import TrainFeatures
from crbench.config.run_spec import RunSpec
from crbench.errors import PluginError
from crbench.evaluation import Evaluation, evaluate, joined, prepare
from crbench.harness.galleries import blocks_of
from crbench.harness.plan import Job
from crbench.harness.timing import Clock, median_seconds
from crbench.harness.trial import TrialData
from crbench.protocol.hashing import digest
from crbench.ranking.distance import DISTANCES
from crbench.records import Features, Samples
from crbench.registry.discovery import plugin_stage
from crbench.registry.resolve import Resolved, resolve
from crbench.results import RateScores, Timing, TrialScores
from crbench.store.features import FeatureTable, row_ids
from crbench.store.transforms import load_state, save_state

_TIMED_ROWS = 1024


@attrs.frozen(eq=False)
class Fitted:
    """A fitted aligner with its cost: seconds of the fit (also where the fit itself came from the cache).

    `key` is the same for fits by the same aligner on the same rows, and only for those.
    """

    key: str
    transform: Transform
    seconds: float
    cached: bool
    samples_per_s: float
    timed: int


@attrs.define(eq=False)
class CellRunner:
    """Runs one aligner over the trials of an encoder; equal training rows are fitted once.

    Attributes:
        table, origin: features of the encoder, and all that they depend on beside the images (JSON values).
        cache: folder of the cache, None = keep nothing.
        spec: says how the evaluation is computed.
    """

    job: Job
    backbone: Backbone | Precomputed
    aligner: Resolved
    table: FeatureTable
    origin: Mapping[str, Any]
    cache: Path | None
    spec: RunSpec
    run: RunContext
    _fitted: dict[str, Fitted] = attrs.field(factory=dict, init=False)

    def trial(self, trial: TrialData) -> tuple[TrialScores, Fitted, float]:
        """Scores of one trial, the fitted aligner, and the seconds of the evaluation."""
        fitted = self._fit(trial)
        blocks = [
            (
                self._transformed(fitted, self.features(trial, query)),
                self._transformed(fitted, self.features(trial, own)),
            )
            for query, own in blocks_of(self.backbone, trial.split)
        ]
        prepare(self.spec.engine, self.run.device)
        with Clock(self.run.device) as clock:
            scores = self.score(trial, blocks)
        return scores, fitted, clock.seconds

    def score(self, trial: TrialData, blocks: Sequence[tuple[Features, Features]]) -> TrialScores:
        """Scores of one trial for blocks of query and gallery features that are ready to be compared."""
        parts = [
            evaluate(
                query,
                gallery,
                self.job.protocol,
                engine=self.spec.engine,
                precision=self.spec.precision,
                memory_budget=self.spec.memory_budget,
                stream=f"{self.job.source.info.name}|trial {trial.index}|gallery",
                distance=self._distance(),
                metrics=self.spec.metrics,
            )
            for query, gallery in blocks
        ]
        return trial_scores(trial.index, joined(parts))

    def features(self, trial: TrialData, rows: Samples) -> Features:
        """Features of rows, from the table."""
        x, dims = self.table.gather(row_ids(rows, trial.digests(rows)), self.run.device)
        return Features(x=x, rows=rows, dims=dims)

    def _fit(self, trial: TrialData) -> Fitted:
        rows = trial.train_all
        key = self._fit_key(row_ids(rows, trial.digests(rows)), rows)
        if key not in self._fitted:
            lr = rows.take(rows.rates > 1)
            source = self.features(trial, lr)
            train = TrainFeatures(source=source, target=self.features(trial, rows.take(rows.rates == 1)))
            self._fitted[key] = self._restored(key, source) or self._fresh(key, train)
        return self._fitted[key]

    def _fit_key(self, ids: NDArray[np.bytes_], rows: Samples) -> str:
        return digest(
            {
                "aligner": self.aligner.identity(),
                "features": dict(self.origin),
                "rows": sorted(zip([i.tobytes().hex() for i in ids], rows.pids.tolist(), strict=True)),
                "seed": self.run.seed,
            }
        )

    def _restored(self, key: str, source: Features) -> Fitted | None:
        aligner = self.aligner.build()
        if self.cache is None or not isinstance(aligner, Restorable):
            return None
        kept = load_state(self._path(key), self.run.device)
        if kept is None:
            return None
        state, facts = kept
        return self._timed(key, aligner.restore(state), source, float(facts["fit_seconds"]), cached=True)

    def _fresh(self, key: str, train: TrainFeatures) -> Fitted:
        aligner: Aligner = self.aligner.build()
        with Clock(self.run.device) as clock, plugin_stage(self.aligner.registered.owner, "fit"):
            transform = aligner.fit(train, run=self.run)
        if self.cache is not None and isinstance(aligner, Restorable) and hasattr(transform, "state"):
            save_state(self._path(key), transform.state(), {"fit_seconds": clock.seconds, "aligner": self.aligner.name})
        return self._timed(key, transform, train.source, clock.seconds, cached=False)

    def _timed(self, key: str, transform: Transform, source: Features, seconds: float, *, cached: bool) -> Fitted:
        rows = source.take(np.arange(min(len(source), _TIMED_ROWS)))
        per_s = len(rows) / median_seconds(lambda: transform(rows), self.run.device) if len(rows) else 0.0
        return Fitted(key, transform, seconds=seconds, cached=cached, samples_per_s=per_s, timed=len(rows))

    def _path(self, key: str) -> Path:
        if self.cache is None:
            raise ValueError("no cache folder")
        return self.cache / "transforms" / f"{self.aligner.registered.entry.name}-{key}.safetensors"

    def _transformed(self, fitted: Fitted, feats: Features) -> Features:
        owner = self.aligner.registered.owner
        with plugin_stage(owner, "transform"):
            result = fitted.transform(feats)
        if not isinstance(result, Features) or len(result) != len(feats):
            raise PluginError(f"{owner}: the transform of {self.aligner.name} must return Features with the same rows")
        return result

    def _distance(self) -> Distance | None:
        if self.job.protocol.distance in DISTANCES:
            return None
        distance: Distance = resolve("distance", self.job.protocol.distance).build()
        return distance


def parameter_count(transform: Transform) -> int | None:
    """Learned parameters of a transform: what it says, else the size of its state, else not known."""
    count = getattr(transform, "parameter_count", None)
    if isinstance(count, int):
        return count
    state = getattr(transform, "state", None)
    return sum(tensor.numel() for tensor in state().values()) if state else None


def trial_scores(index: int, evaluation: Evaluation) -> TrialScores:
    """An evaluation as it stands in a result file."""
    scores = evaluation.scores
    return TrialScores(
        index=index,
        cmc=tuple(scores.cmc.tolist()),
        scores=scores.means,
        n_query=scores.n_query,
        n_valid=scores.n_valid,
        by_rate={
            f"{rate:g}": RateScores(
                cmc=tuple(part.cmc.tolist()), scores=part.means, n_query=part.n_query, n_valid=part.n_valid
            )
            for rate, part in evaluation.by_rate.items()
            if part.n_valid
        },
    )


def transform_timing(fitted: Fitted) -> Timing:
    """The throughput of a transform, measured on LR training rows."""
    seconds = fitted.timed / fitted.samples_per_s if fitted.samples_per_s else 0.0
    return Timing(seconds=seconds, count=fitted.timed, unit="samples")

"""One trial of a cell once more, for those who want to see which images it ranks for a query.

Features, weights and fits come from the cache and the weights folder, as in any run; what is not there is made anew.
Nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import RunContext
from crbench.api.interfaces import Reader
from crbench.config.paths import data_root
from crbench.config.run_spec import RunSpec
from crbench.evaluation import Evaluation
from crbench.evaluation.nearest import nearest
from crbench.harness.backbone import job_weights, provide_backbone
from crbench.harness.cell import CellRunner, evaluate_trial
from crbench.harness.environment import pick_device
from crbench.harness.extract.extractor import extraction_for
from crbench.harness.facts import JobFacts
from crbench.harness.features import add_features, feature_table
from crbench.harness.plan import make_plan
from crbench.harness.rows import TrialRows
from crbench.harness.run import open_cache
from crbench.harness.trial import TrialData, load_trials, make_reader
from crbench.protocol import EvalProtocol
from crbench.records import Features
from crbench.store.features import FeatureTable


@attrs.frozen(eq=False)
class RankedTrial:
    """A trial as a cell ranks it.

    Attributes:
        trial: its split.
        protocol: its rules.
        evaluation: scores, also of each query in the order of the split.
        compared: features of queries, and of the gallery that they are compared with.
        places: which of the split's queries each of these pairs has, intp[b].
        read: gives the image of a row, as the protocol shows it.
    """

    trial: TrialData
    protocol: EvalProtocol
    evaluation: Evaluation
    compared: Sequence[tuple[Features, Features]]
    places: Sequence[NDArray[np.intp]]
    read: Reader

    def nearest(self, queries: NDArray[np.intp], count: int) -> dict[int, NDArray[np.intp]]:
        """Rows of the split's gallery that are nearest to some queries intp[n] of the split, nearest first.

        Raises:
            EvaluationError: see `crbench.evaluation.nearest.nearest`.
        """
        found: dict[int, NDArray[np.intp]] = {}
        for (query, gallery), places in zip(self.compared, self.places, strict=True):
            own = np.flatnonzero(np.isin(places, queries))
            if len(own):
                rows = nearest(query, gallery, self.protocol, own, count)
                found |= dict(zip(places[own].tolist(), rows, strict=True))
        return found


def ranked_trial(spec: RunSpec, *, context: RunContext) -> RankedTrial:
    """The first trial of the first cell of a spec.

    Raises:
        CrbenchError: see `crbench.harness.run.run`.
    """
    job = make_plan(spec).jobs[0]
    job = attrs.evolve(job, trials=job.trials[:1])
    run = attrs.evolve(context, seed=spec.seed, device=pick_device(spec.device))
    trials = load_trials(job, spec, run)
    weights = job_weights(job, trials, spec, run)
    facts = JobFacts.of(
        job,
        trials,
        spec,
        run,
        extraction=extraction_for(spec, run.device),
        weights=weights,
        cache=open_cache(spec, run),
    )
    read = make_reader(job, trials[0].digest_of, data_root(spec.data_root))
    ready = provide_backbone(job, trials, weights, read=read, run=run)
    rows = TrialRows.of(trials[0], ready.backbone, job.backbone.registered.owner)
    table = feature_table(facts, ready, FeatureTable.open(None, {}))
    for some in (rows.train, rows.test):
        add_features(facts, ready.backbone, table, some, read)
    runner = CellRunner(facts, job.aligners[0], ready, table, read)
    fitted = runner.fit(rows)
    rows, _ = runner.rows(rows, fitted)
    compared = runner.compared(rows, fitted)
    return RankedTrial(
        trial=trials[0],
        protocol=job.protocol,
        evaluation=evaluate_trial(job, rows, compared, spec),
        compared=compared,
        places=rows.places,
        read=read,
    )

"""One trial of a cell once more, for those who want to see which images it ranks for a query.

Nothing is recorded; see `crbench.harness.opened`.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.api.context import RunContext
from crbench.api.interfaces import Reader
from crbench.config.run_spec import RunSpec
from crbench.evaluation import Evaluation
from crbench.evaluation.nearest import nearest
from crbench.harness.cell import evaluate_trial
from crbench.harness.opened import OpenedTrial
from crbench.harness.trial import TrialData
from crbench.protocol import EvalProtocol
from crbench.records import Features, Split
from crbench.registry.resolve import Resolved


@attrs.frozen(eq=False)
class RankedTrial:
    """A trial as a cell ranks it.

    Attributes:
        trial: its split.
        protocol: its rules.
        evaluation: scores, also of each query in the order of `split`.
        compared: features of queries, and of the gallery that they are compared with.
        places: which queries of `split` each of these pairs has, intp[b].
        read: gives the image of a row, as the protocol shows it.
    """

    trial: TrialData
    protocol: EvalProtocol
    evaluation: Evaluation
    compared: Sequence[tuple[Features, Features]]
    places: Sequence[NDArray[np.intp]]
    read: Reader

    @property
    def split(self) -> Split:
        """What is ranked: tracklets by their first images."""
        return self.trial.split.ranked

    def nearest(self, queries: NDArray[np.intp], count: int) -> dict[int, NDArray[np.intp]]:
        """Rows of the gallery of `split` that are nearest to some of its queries intp[n], nearest first.

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
    opened = OpenedTrial.of(spec, context=context)
    return ranked(opened, opened.job.aligners[0])


def ranked(opened: OpenedTrial, aligner: Resolved) -> RankedTrial:
    """An opened trial as the cell of one of its aligners ranks it.

    Raises:
        PluginError: the aligner fails; or see `crbench.harness.cell.CellRunner`.
    """
    runner = opened.runner(aligner)
    fitted = runner.fit(opened.rows)
    rows, _ = runner.rows(opened.rows, fitted)
    compared = runner.compared(rows, fitted)
    return RankedTrial(
        trial=opened.trial,
        protocol=opened.job.protocol,
        evaluation=evaluate_trial(opened.job, rows, compared, opened.facts.spec),
        compared=compared,
        places=rows.places,
        read=opened.read,
    )

"""Steps 5 to 9: fits, and the evaluation and record of each cell."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
import torch

from crbench.api.capabilities import Restorable
from crbench.api.interfaces import Transform
from crbench.api.pairing import TrainFeatures
from crbench.errors import CrbenchError
from crbench.harness.cell import fit_path
from crbench.harness.facts import JobFacts
from crbench.harness.features import AskedRows, Readers
from crbench.harness.identity import feature_origin, fit_key
from crbench.harness.match import learns
from crbench.harness.paces import evaluating, fitting
from crbench.harness.rows import TrialRows
from crbench.prediction.extraction import Group, extraction_steps
from crbench.prediction.figures import Figures
from crbench.prediction.memory import feature_bytes
from crbench.prediction.rows import KnownRows
from crbench.prediction.steps import Step
from crbench.records import Features
from crbench.registry.guard import plugin_stage
from crbench.registry.resolve import Resolved


@attrs.define(eq=False)
class CellSteps:
    """The steps of one cell.

    Attributes:
        key: begins their keys.
        needs: keys of the steps that its evaluation needs, so far.
    """

    key: str
    facts: JobFacts
    readers: Readers
    aligner: Resolved
    figures: Figures
    known: KnownRows
    needs: list[str] = attrs.field(factory=list, init=False)
    _pairs: list[tuple[int, int, Group]] = attrs.field(factory=list, init=False)
    _fits: set[str] = attrs.field(factory=set, init=False)

    def trials(self, group: Group, before: tuple[str, ...]) -> Iterator[Step]:
        """Fits for the trials of a group, and the features that only this aligner asks for."""
        fit = self._fit(group, before)
        self.needs += [*before, fit.key]
        if fit.tasks:
            yield fit
        rows = [self._seen(group, trial) for trial in group.rows]
        further = [AskedRows(self.facts, own.test, self.readers.own) for own in rows]
        for number, (own, asked) in enumerate(zip(rows, further, strict=True)):
            lacking = self.known.lacking(asked, group.ready, group.trained)
            if len(lacking):
                key = f"{fit.key} gallery {number}"
                yield from extraction_steps(
                    group, lacking, self.figures, key=key, of=f"gallery of {self.aligner.name}", needs=before
                )
                self.needs.append(key)
            self._pairs.append((own.pairs, len(own.test.rows), group))

    def evaluation(self) -> Step:
        """Transform and evaluation of all trials, and the result."""
        seconds: float | None = 0.0
        bases: list[str] = []
        for pairs, _, group in self._pairs:
            dim, engine = group.dim, self.facts.spec.engine
            ofs = [evaluating(self.facts.job, seen, dim, engine) for seen in (self.aligner, None)]
            figure = self.figures.near(pairs, *(("evaluate", of) for of in ofs))
            seconds = _plus(seconds, figure.seconds(pairs))
            bases.append(figure.basis)
        queries = len(self.facts.trials[0].split.ranked.query)
        record = self.figures.near(queries, ("record", {}))
        seconds = _plus(seconds, record.seconds(queries))
        rows, group = max((rows, at) for at, (_, rows, _) in enumerate(self._pairs))[0], self._pairs[0][2]
        return Step(
            key=f"{self.key}.evaluate",
            name="evaluate",
            of=self.aligner.name,
            tasks=1,
            macs=sum(pairs * group.dim for pairs, _, group in self._pairs),
            read_bytes=sum(feature_bytes(rows, group.dim) for _, rows, group in self._pairs),
            memory_bytes=group.base + 2 * feature_bytes(rows, group.dim),
            seconds=seconds,
            longest_s=seconds,
            basis=min([*bases, record.basis], key=lambda basis: basis != "not known"),
            needs=tuple(dict.fromkeys(self.needs)),
        )

    def _fit(self, group: Group, before: tuple[str, ...]) -> Step:
        """The fits that differ; trials with the same training rows share one."""
        kept, new, rows = 0, 0, 0
        seconds: float | None = 0.0
        longest, bases, learning = 0.0, set(), learns(self.aligner)
        for trial in group.rows:
            key = self._fit_key(group, trial)
            if key in self._fits:
                continue
            self._fits.add(key)
            path = None if group.trained is not None else fit_path(self.facts, self.aligner, key)
            found = path is not None and path.exists() and isinstance(self.aligner.build(), Restorable)
            count = len(trial.train.rows) if learning else 0
            kept, new, rows = kept + found, new + (not found), rows + count
            of = fitting(self.aligner, group.dim)
            # what is restored is timed anew, which takes most of it and is known of every fit
            figure = self.figures.near(count, *((("restore", of), ("time", of)) if found else (("fit", of),)))
            one = figure.seconds(count)
            seconds, longest = _plus(seconds, one), max(longest, one or 0.0)
            bases.add(figure.basis)
        apart = isinstance(self.aligner.build(), Restorable) and self.facts.spec.cell_timeout is None
        return Step(
            key=f"{self.key}.fit {group.key}",
            name="fit",
            of=self.aligner.name,
            tasks=kept + new,
            kept=f"{kept} of {kept + new} fits" if kept else "",
            read_bytes=feature_bytes(rows, group.dim),
            memory_bytes=group.base + 2 * feature_bytes(rows, group.dim),
            seconds=seconds,
            longest_s=longest if apart else seconds,
            basis=min(bases, key=lambda basis: basis != "not known", default=""),
            needs=(*before, *(key for key in self.needs if not apart and key.startswith(f"{self.key}.fit "))),
        )

    def _fit_key(self, group: Group, trial: TrialRows) -> str:
        if group.trained is not None:
            return f"{group.trained} {trial.training_digest}"
        facts = self.facts.fitting
        origin = feature_origin(facts.job, group.ready.backbone, group.ready.facts, facts.extraction)
        return fit_key(self.aligner, origin, trial.training_digest, self.facts.run)

    def _seen(self, group: Group, trial: TrialRows) -> TrialRows:
        """The rows with the gallery as the transform wants it, where that is known before a fit."""
        transform = self._unlearned(group, trial)
        return trial if transform is None else trial.for_transform(transform, self.aligner.registered.owner)

    def _unlearned(self, group: Group, trial: TrialRows) -> Transform | None:
        """The transform of an aligner that learns nothing; None where it learns, or fails, as its cell will."""
        if learns(self.aligner):
            return None
        nobody = trial.train.rows.take(np.arange(0))
        none = Features(x=torch.empty(0, group.dim), rows=nobody)
        try:
            with plugin_stage(self.aligner.registered.owner, "fit", passing=()):
                made: Transform = self.aligner.build().fit(TrainFeatures(source=none, target=none), run=self.facts.run)
        except CrbenchError:
            return None
        return made


def _plus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other

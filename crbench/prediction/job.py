"""The steps of one job, as `crbench.harness.job` and `crbench.harness.cells` take them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import attrs

from crbench.evaluation import prepare
from crbench.harness.backbone import untrained_backbone
from crbench.harness.cells import finished_cell
from crbench.harness.features import asked_rows
from crbench.harness.job import OpenedJob
from crbench.harness.match import learns
from crbench.harness.paces import training
from crbench.harness.rows import IdentifiedRows, TrialRows
from crbench.harness.trial import TrialData, training_rows
from crbench.harness.weights import trained_path
from crbench.prediction.cells import CellSteps
from crbench.prediction.extraction import Group, extraction_steps
from crbench.prediction.figures import HERE, Figures
from crbench.prediction.memory import resident_bytes
from crbench.prediction.network import NetworkNeeds
from crbench.prediction.rows import KnownRows
from crbench.prediction.steps import Step
from crbench.registry.resolve import Resolved


@attrs.define(eq=False)
class JobSteps:
    """The steps of a job that is opened.

    Attributes:
        key: begins the keys of its steps.
        opening_s: seconds that opening it took.
    """

    key: str
    opened: OpenedJob
    opening_s: float
    figures: Figures
    known: KnownRows

    def steps(self, before: str) -> Iterator[Step]:
        """All of them, in the order of a run in one process.

        Args:
            before: key of the step that they need.
        """
        facts, started = self.opened.facts, time.perf_counter()
        left = [place for place, one in enumerate(facts.job.aligners) if finished_cell(facts, one) is None]
        done = len(facts.job.aligners) - len(left)
        opened = Step(
            key=f"{self.key}.open",
            name="open",
            of=facts.job.dataset.name,
            kept=f"{done} of {len(facts.job.aligners)} results" if done else "",
            images=len({key for trial in facts.trials for key in trial.digest_of}),
            macs=0,
            basis=HERE,
            needs=(before,),
        )
        yield _measured(opened, self.opening_s + time.perf_counter() - started)
        if left:
            yield from self._unfinished(left)

    def _unfinished(self, left: Sequence[int]) -> Iterator[Step]:
        facts = self.opened.facts
        aligners = [facts.job.aligners[place] for place in left]
        cells = [
            CellSteps(f"{self.key}.{place}", facts, self.opened.readers, aligner, self.figures, self.known)
            for place, aligner in zip(left, aligners, strict=True)
        ]
        started = time.perf_counter()
        prepare(facts.spec.engine, facts.run.device)
        ready = Step(key=f"{self.key}.prepare", name="prepare", of="evaluation", macs=0, basis=HERE)
        yield _measured(attrs.evolve(ready, needs=(f"{self.key}.open",)), time.perf_counter() - started)
        for number, trials in enumerate(self.opened.groups):
            group, loaded = self._load(number, trials)
            yield loaded
            yield from self._features(group, trials[0], aligners, cells)
        for cell in cells:
            cell.needs.append(ready.key)
            yield cell.evaluation()

    def _load(self, number: int, trials: Sequence[TrialData]) -> tuple[Group, Step]:
        facts, started = self.opened.facts, time.perf_counter()
        ready, due = untrained_backbone(facts.job, trials, facts.weights, run=facts.run)
        owner = facts.job.backbone.registered.owner
        rows = tuple(TrialRows.of(trial, ready.backbone, owner) for trial in trials)
        seconds, key = time.perf_counter() - started, f"{self.key}.backbone {number}"
        step = Step(key=f"{key}.load", name="load", of=facts.job.backbone.name, macs=0, basis=HERE)
        trained = trained_path(facts.job, trials[0], facts.run).stem if due else None
        shown = IdentifiedRows.concat([rows[0].train, rows[0].test]).rows
        network = NetworkNeeds.of(ready.backbone, shown, facts.run.device, owner)
        group = Group(key, facts, ready, rows, trained, resident_bytes(), network)
        return group, _measured(attrs.evolve(step, needs=(f"{self.key}.open",)), seconds)

    def _features(
        self, group: Group, trial: TrialData, aligners: Sequence[Resolved], cells: Sequence[CellSteps]
    ) -> Iterator[Step]:
        """Training and extraction of a backbone, then the fits on its features."""
        facts, before = self.opened.facts, f"{group.key}.load"
        if group.trained is not None:
            trained = self._train(group, trial)
            yield trained
            before = trained.key
        started, learning = time.perf_counter(), any(learns(aligner) for aligner in aligners)
        asked = asked_rows(facts, group.rows, self.opened.readers, learning=learning)
        lacking = [self.known.lacking(one, group.ready, group.trained) for one in asked]
        for rows in group.rows:
            _ = rows.training_digest  # of which the keys of fits are made
        of = facts.job.dataset.name
        listed = Step(key=f"{group.key}.list", name="list", of=of, macs=0, basis=HERE, needs=(before,))
        yield _measured(listed, time.perf_counter() - started)
        extracted: list[str] = []
        for number, (one, some) in enumerate(zip(asked, lacking, strict=True)):
            key, of = f"{group.key}.rows {number}", one.facts.job.dataset.name
            yield from extraction_steps(group, some, self.figures, key=key, of=of, needs=(listed.key,))
            extracted.append(key)
        for cell in cells:
            yield from cell.trials(group, tuple(extracted))

    def _train(self, group: Group, trial: TrialData) -> Step:
        job = self.opened.facts.job
        rows = training_rows(job, trial)
        figure = self.figures.near(len(rows), ("train", training(job)))
        seconds = figure.seconds(len(rows))
        return Step(
            key=f"{group.key}.train",
            name="train",
            of=job.backbone.name,
            images=len(rows),
            memory_bytes=group.base,
            seconds=seconds,
            longest_s=seconds,
            basis=figure.basis,
            needs=(f"{group.key}.load",),
        )


def _measured(step: Step, seconds: float) -> Step:
    """A step that was done just now, as the run will do it again."""
    return attrs.evolve(step, seconds=seconds, longest_s=seconds, memory_bytes=resident_bytes())

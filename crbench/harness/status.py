"""What runs say of themselves below the folder of their results, so that others see how far they are.

A run and each cell that is computed has a lease there (`crbench.store.lease`), which says what it is for, and which
ends with its process.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import attrs

from crbench.config.run_spec import RunSpec
from crbench.errors import SystemFaultError
from crbench.harness.facts import JobFacts
from crbench.harness.plan import Job, Plan
from crbench.registry.resolve import Resolved
from crbench.results import Result
from crbench.results.folder import WORKING
from crbench.store.lease import Claim, Holder, Lease, forget_dead, holders

_NOTE_S = 0.5
"""Seconds between two notes of a run on how far it is, at least."""


def cell_name(job: Job, aligner: Resolved) -> str:
    """A cell as people read it: data set, protocol, backbone, aligner."""
    parts = [job.dataset.shown_name, job.protocol.name, job.backbone.name, aligner.name]
    if job.partner is not None:
        parts.append(f"fitted on {job.partner.dataset.shown_name}")
    if not job.protocol.split.query_rates and job.settings.get("protocol.query_rates") == []:
        parts.append("bound")
    return ", ".join(parts)


def cell_claim(facts: JobFacts, aligner: Resolved) -> Claim:
    """A claim on computing a cell for the output folder of its run."""
    name = {"kind": "cell", "name": cell_name(facts.job, aligner)}
    return Claim(facts.spec.output / WORKING / f"{facts.cell_id(aligner)}.lease", name)


def work_claim(output: Path, key: str, name: str) -> Claim:
    """A claim on other work for an output folder.

    Args:
        key: equal for the same work.
        name: as people read it.
    """
    return Claim(output / WORKING / f"{key}.lease", {"kind": "step", "name": name})


@attrs.define(eq=False)
class RunNotes:
    """Tells how far a run is, from its start until it is closed; that this cannot be written stops nothing.

    Attributes:
        cells: how many were planned, computed, taken from the output folder, and how many failed.
    """

    cells: dict[str, int]
    _claim: Claim
    _lease: Lease | None = attrs.field(default=None, init=False)
    _due: float = attrs.field(default=0.0, init=False)

    @classmethod
    def of(cls, spec: RunSpec, plan: Plan) -> Self:
        """Notes of a run that has not begun."""
        cells = {"planned": plan.cells, "computed": 0, "taken": 0, "failed": 0}
        place = spec.output / WORKING / f"run-{secrets.token_hex(4)}.lease"
        name = ", ".join(dict.fromkeys(job.dataset.shown_name for job in plan.jobs))
        return cls(cells, Claim(place, {"kind": "run", "name": name, "cells": cells}))

    def begin(self) -> None:
        """The run is at work: its data are there."""
        if self._lease is None:
            with suppress(SystemFaultError):
                self._lease = self._claim.attempt()
        if self._lease is not None:
            forget_dead(self._claim.place.parent, self._lease)

    def add(self, result: Result, *, earlier: bool) -> None:
        """Count a result that is there now."""
        self.cells["taken" if earlier else "computed" if result.status == "ok" else "failed"] += 1
        if self._lease is not None and time.monotonic() >= self._due:
            self._lease.note({"cells": self.cells})
            self._due = time.monotonic() + _NOTE_S

    def close(self) -> None:
        """The run has ended."""
        if self._lease is not None:
            self._lease.release()


@attrs.frozen
class Working:
    """What runs are at below a folder of results.

    Attributes:
        runs: those that are at work; their facts have `RunNotes.cells`.
        work: what is computed at this moment, and by whom.
    """

    runs: tuple[Holder, ...]
    work: tuple[Holder, ...]

    @classmethod
    def below(cls, output: Path) -> Self:
        """What is known of a folder of results."""
        found = holders(output / WORKING)
        runs = tuple(holder for holder in found if holder.facts.get("kind") == "run")
        return cls(runs, tuple(holder for holder in found if holder not in runs))

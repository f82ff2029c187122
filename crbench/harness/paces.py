"""What the steps of runs took on this machine, kept in the cache by every run, and read by `crbench.prediction`.

A pace belongs to a machine (processor, device, threads, torch), a step and what the step works with. Of each, the last
few samples are kept. Names and parameters of methods count, not their code, as a change of code seldom changes a pace
much.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import attrs
from attrs import validators as v

from crbench.harness.environment import describe_machine
from crbench.harness.plan import Job
from crbench.protocol.hashing import digest
from crbench.registry.resolve import Resolved
from crbench.results import Extraction
from crbench.store.cache import Cache
from crbench.store.files import write_text

MOST = 5
"""Samples of a pace that are kept: others use a machine, too, so one alone may tell much."""

FOLDER = "paces"
"""Folder in the cache, with one file for each machine."""


@attrs.frozen(kw_only=True)
class Sample:
    """One step, done once.

    Attributes:
        count: what it worked on: images, rows, pairs of query and gallery.
        seconds: wall time.
        by: who measured it, ``run`` or ``bench``.
        created: when, ISO 8601 in UTC.
    """

    count: int = attrs.field(validator=[v.instance_of(int), v.ge(0)])
    seconds: float = attrs.field(converter=float, validator=v.ge(0))
    by: str = "run"
    created: str = attrs.field(factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@attrs.define(eq=False)
class Paces:
    """The paces of a machine.

    Attributes:
        cache: where they are kept; None = nowhere.
        machine: see `crbench.harness.environment.describe_machine`.
        by: who measures.
    """

    cache: Cache | None
    machine: Mapping[str, Any]
    by: str = "run"
    _new: list[tuple[str, Mapping[str, Any], Sample]] = attrs.field(factory=list, init=False)
    _read: dict[int, set[str]] = attrs.field(factory=dict, init=False)

    @classmethod
    def of(cls, cache: Cache | None, device: str, by: str = "run") -> Self:
        """The paces of this machine with a device."""
        return cls(cache, describe_machine(device), by)

    def add(self, step: str, of: Mapping[str, Any], count: int, seconds: float) -> None:
        """Note a step; it is kept by `keep`.

        Args:
            of: what the step works with (JSON values).
        """
        self._new.append((step, of, Sample(count=count, seconds=seconds, by=self.by)))

    def add_trial(self, job: Job, aligner: Resolved, dim: int, engine: str, pairs: int, seconds: float) -> None:
        """Note transform and evaluation of a trial, for this aligner and for those that were never seen here."""
        for seen in (aligner, None):
            self.add("evaluate", evaluating(job, seen, dim, engine), pairs, seconds)

    def keep(self) -> None:
        """Write what was noted, beside what other processes wrote since; that this fails stops nothing."""
        if self.cache is None or not self._new:
            self._new.clear()
            return
        kept = self._kept()
        for step, of, sample in self._new:
            entry = kept.setdefault(_key(step, of), {"step": step, "of": dict(of), "samples": []})
            entry["samples"] = [*map(attrs.asdict, _samples(entry)), attrs.asdict(sample)][-MOST:]
        text = json.dumps({"machine": dict(self.machine), "paces": kept}, indent=1, sort_keys=True)
        self.cache.keep(partial(write_text, self._path(self.cache), text + "\n"))
        self._new.clear()

    def find(self, step: str, of: Mapping[str, Any]) -> tuple[Sample, ...]:
        """The samples of a pace, oldest first; those that cannot be read do not count."""
        return _samples(self._kept().get(_key(step, of)))

    def read_before(self, job: Job, keys: Iterable[str]) -> bool:
        """Whether most of these images were read before; notes that they are now.

        A data set may remember what it has read or drawn, so that it is quicker the second time.
        """
        known, asked = self._read.setdefault(id(job.source), set()), set(keys)
        before = len(asked & known)
        known |= asked
        return 2 * before > len(asked)

    def _path(self, cache: Cache) -> Path:
        return cache.root / FOLDER / f"{digest(dict(self.machine))}.json"

    def _kept(self) -> dict[str, Any]:
        if self.cache is None:
            return {}
        try:
            found = json.loads(self._path(self.cache).read_text(encoding="utf-8"))["paces"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        entries = found.items() if isinstance(found, dict) else ()
        return {key: entry for key, entry in entries if isinstance(entry, dict)}


def _samples(entry: Any) -> tuple[Sample, ...]:
    """Those of a pace as it is kept; none where they cannot be read."""
    try:
        return tuple(Sample(**sample) for sample in entry["samples"])
    except (TypeError, ValueError, KeyError):
        return ()


def _key(step: str, of: Mapping[str, Any]) -> str:
    return digest([step, dict(of)])


def decoding(job: Job, *, again: bool) -> dict[str, Any]:
    """What reading images works with: the data set; `again`: it has read them in this process before."""
    return {"dataset": job.dataset.label, "again": again}


def network(backbone: Resolved, extraction: Extraction, *, flip: bool) -> dict[str, Any]:
    """What a network's pace depends on; its weights and the batch size are left out."""
    how = {"amp": extraction.amp, "compile": extraction.compile, "flip": flip}
    return {"backbone": _method(backbone), **how}


def training(job: Job) -> dict[str, Any]:
    """What the pace of a training depends on."""
    return {"backbone": _method(job.backbone)}


def looking_up(job: Job) -> dict[str, Any]:
    """What looking features up works with: the plugin that has them, whatever they are."""
    return {"backbone": job.backbone.registered.entry.name}


def fitting(aligner: Resolved, dim: int) -> dict[str, Any]:
    """What a fit works with, beside its rows."""
    return {"aligner": _method(aligner), "dim": dim}


def evaluating(job: Job, aligner: Resolved | None, dim: int, engine: str) -> dict[str, Any]:
    """What transform and evaluation of a trial work with; `aligner` None = any."""
    of = None if aligner is None else _method(aligner)
    return {"aligner": of, "dim": dim, "scoring": attrs.asdict(job.protocol.scoring), "engine": engine}


def _method(method: Resolved) -> dict[str, Any]:
    return {"name": method.label, "parameters": method.parameters}


def pace(samples: Sequence[Sample]) -> float:
    """Seconds for one of what was counted: the median over samples, in which a larger one weighs more.

    Example:
        >>> pace([Sample(count=10, seconds=1.0), Sample(count=10, seconds=1.2), Sample(count=10, seconds=9.0)])
        0.12
    """
    ordered = sorted((sample.seconds / max(1, sample.count), max(1, sample.count)) for sample in samples)
    half, weight = sum(weight for _, weight in ordered) / 2, 0
    for value, own in ordered:
        weight += own
        if weight >= half:
            return value
    raise ValueError("no samples")

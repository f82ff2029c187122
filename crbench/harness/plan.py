"""Step 1: from a `RunSpec` to cells, every name and parameter resolved; what does not fit stops it before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from crbench.api.entry import Kind
from crbench.api.interfaces import Dataset
from crbench.config.protocol_changes import change_protocol
from crbench.config.run_spec import RunSpec
from crbench.config.settings import PARTS
from crbench.errors import ConfigError
from crbench.evaluation import ENGINES, PRECISIONS, Selection
from crbench.harness.match import check_lengths, learns, pair, with_preset
from crbench.protocol import EvalProtocol
from crbench.ranking.distance import DISTANCES
from crbench.registry.discovery import installed
from crbench.registry.request import Request
from crbench.registry.resolve import Resolved, resolve
from crbench.registry.targets import load_target
from crbench.results import BASELINE
from crbench.wording import suggestion


@attrs.frozen
class Job:
    """All cells with one data set, protocol and backbone; they share features.

    Attributes:
        dataset, backbone, aligners: the resolved methods; one cell per aligner.
        source: the data set itself.
        distance: where it is a plugin's; None = one of crbench's own.
        trials: trial numbers, sorted.
        settings: the changes by ``part.name`` that lead to it, as ``--set`` takes them.
        partner: the same job on the data set on whose training rows its aligners are fitted; None = on its own.
    """

    dataset: Resolved
    source: Dataset
    protocol: EvalProtocol
    distance: Resolved | None
    backbone: Resolved
    aligners: tuple[Resolved, ...]
    trials: tuple[int, ...]
    settings: Mapping[str, Any]
    partner: Job | None = None

    @property
    def fitting(self) -> Job:
        """The job whose training rows aligners are fitted on."""
        return self.partner or self


@attrs.frozen
class Plan:
    """The jobs of a run, and notes for the user: what was taken by default, and why."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]

    @property
    def cells(self) -> int:
        """Number of results that the run gives."""
        return sum(len(job.aligners) for job in self.jobs)


def make_plan(spec: RunSpec) -> Plan:
    """Resolve everything that the spec names.

    Raises:
        ConfigError, PluginError: an unknown name, protocol, trial or parameter, or a plugin that does not work.
    """
    jobs: list[Job] = []
    notes = list(installed().slow)
    if spec.engine not in ("auto", *ENGINES):
        raise ConfigError(f"unknown engine {spec.engine!r}; known: auto, {', '.join(ENGINES)}")
    if spec.precision not in ("auto", *PRECISIONS):
        raise ConfigError(f"unknown precision {spec.precision!r}; known: auto, {', '.join(PRECISIONS)}")
    for name in spec.dataset:
        dataset = resolve("dataset", name, _changes(spec, "dataset", name))
        source = dataset.build()
        protocol = choose_protocol(dataset.name, source, spec.protocol, _part(spec, "protocol"))
        Selection.of(protocol, spec.metric)
        distance = choose_distance(protocol.scoring.distance)
        if spec.protocol is None:
            notes.append(f"protocol {protocol.name} (default of {name})")
        trials = _trials(spec, protocol, notes)
        for request, aligners in pair(spec, dataset.registered.entry, notes).items():
            backbone = resolve("backbone", request, _changes(spec, "backbone", request))
            load_target(backbone.registered)
            job = Job(
                dataset=dataset,
                source=source,
                protocol=protocol,
                distance=distance,
                backbone=backbone,
                aligners=tuple(_aligner(spec, dataset, name, notes) for name in aligners),
                trials=trials,
                settings=spec.set,
            )
            for aligner in job.aligners:
                check_lengths(backbone, aligner)
            jobs += by_partner(job, spec)
    if spec.fit_on and not any(learns(aligner) for job in jobs for aligner in job.aligners):
        raise ConfigError(f"--fit-on {', '.join(spec.fit_on)}: none of the aligners learns anything")
    _check_parts(spec, jobs)
    if spec.bound:
        jobs += _bounds(jobs, notes)
    return Plan(jobs=tuple(jobs), notes=tuple(dict.fromkeys(notes)))


def by_partner(job: Job, spec: RunSpec) -> list[Job]:
    """A job for each data set that aligners are fitted on (``--fit-on``); those that learn nothing stay with their own.

    Raises:
        ConfigError: no such data set or parameter, or it lacks a trial of the job.
        PluginError: an aligner does not say whether it learns.
    """
    if not spec.fit_on:
        return [job]
    partners = [_partner(job, name, spec) for name in spec.fit_on]
    others = tuple(aligner for aligner in job.aligners if learns(aligner))
    rest = tuple(aligner for aligner in job.aligners if aligner not in others)
    own = [attrs.evolve(job, aligners=job.aligners if job in partners else rest)]
    elsewhere = [attrs.evolve(job, aligners=others, partner=partner) for partner in partners if partner is not job]
    return [one for one in (*own, *elsewhere) if one.aligners]


def _partner(job: Job, name: str, spec: RunSpec) -> Job:
    """`job` on another data set: its split, with the images and, if both have some, the training rates of the job."""
    shared = _part(spec, "partner")
    try:
        dataset = resolve("dataset", name, {**_part(spec, Request.parse(name).name), **shared})
    except ConfigError as error:
        if not shared or len(spec.fit_on) == 1:
            raise
        raise ConfigError(
            f"--fit-on {name}: {error}; partner.X is for all data sets of --fit-on, NAME.X for the one of that name"
        ) from error
    if dataset.identity() == job.dataset.identity():
        return job
    source = dataset.build()
    own = source.protocols.get(job.protocol.name) or next(iter(source.protocols.values()))
    if max(job.trials) >= own.split.trials:
        known = "trial 0" if own.split.trials == 1 else f"trials 0-{own.split.trials - 1}"
        raise ConfigError(
            f"--fit-on {name}: it has {known} only, not {max(job.trials)}; give --trial {known.partition(' ')[2]}"
        )
    rates = job.protocol.split.train_rates if own.split.train_rates else ()
    split = attrs.evolve(own.split, train_rates=rates or own.split.train_rates)
    return attrs.evolve(
        job, dataset=dataset, source=source, protocol=attrs.evolve(own, split=split, images=job.protocol.images)
    )


def _bounds(jobs: Sequence[Job], notes: list[str]) -> list[Job]:
    """For each job whose protocol shrinks queries, the baseline on the same queries unshrunk.

    Raises:
        ConfigError: there is no such job.
    """
    shrunk = {  # one for all that its aligners are fitted on
        (job.dataset.name, job.protocol.name, job.backbone.name): attrs.evolve(job, partner=None)
        for job in jobs
        if job.protocol.split.has_bound
    }
    others = dict.fromkeys(
        f"protocol {job.protocol.name} of {job.dataset.name}" for job in jobs if not job.protocol.split.has_bound
    )
    texts = [f"{name} has no bound: it does not shrink its queries, or not them alone" for name in others]
    if not shrunk:
        raise ConfigError(f"--bound: {'; '.join(texts)}")
    notes.extend(texts)
    notes.append(f"aligner {BASELINE} on unshrunk queries (--bound)")
    baseline = resolve("aligner", BASELINE)
    return [
        attrs.evolve(
            job,
            protocol=change_protocol(job.protocol, {"query_rates": []}),
            aligners=(baseline,),
            settings={**job.settings, "protocol.query_rates": []},
        )
        for job in shrunk.values()
    ]


def choose_protocol(dataset: str, source: Dataset, request: str | None, changes: Mapping[str, Any]) -> EvalProtocol:
    """A protocol of a data set (its first by default) with fields changed.

    Args:
        dataset: what the user asked for.

    Raises:
        ConfigError: no such protocol or field, or a value that is out of range or of the wrong type.
    """
    name = request or next(iter(source.protocols))
    if name not in source.protocols:
        raise ConfigError(f"data set {dataset!r} has no protocol {name!r}{suggestion(name, source.protocols)}")
    return change_protocol(source.protocols[name], changes)


def choose_distance(name: str) -> Resolved | None:
    """The distance of a plugin; None = one of crbench's own.

    Raises:
        ConfigError: nobody offers it.
    """
    if name in DISTANCES:
        return None
    try:
        return resolve("distance", name)
    except ConfigError as error:
        raise ConfigError(f"{error}; crbench's own are {', '.join(DISTANCES)}") from error


def _all(protocol: EvalProtocol) -> str:
    """The trials of a protocol: ``0-9``, or ``0`` alone."""
    return f"0-{protocol.split.trials - 1}" if protocol.split.trials > 1 else "0"


def _trials(spec: RunSpec, protocol: EvalProtocol, notes: list[str]) -> tuple[int, ...]:
    if spec.trial is None:
        notes.append(f"trials {_all(protocol)} (all of protocol {protocol.name})")
        return tuple(range(protocol.split.trials))
    if max(spec.trial) >= protocol.split.trials:
        raise ConfigError(f"trial {max(spec.trial)} is not one of {_all(protocol)} of protocol {protocol.name}")
    return spec.trial


def _aligner(spec: RunSpec, dataset: Resolved, request: str, notes: list[str]) -> Resolved:
    changes = {} if request == BASELINE else _changes(spec, "aligner", request)
    resolved = resolve("aligner", with_preset(request, dataset.registered.entry, notes), changes)
    resolved.build()
    return resolved


def _changes(spec: RunSpec, kind: Kind, request: str) -> dict[str, Any]:
    return {**_part(spec, kind), **_part(spec, Request.parse(request).name)}


def _part(spec: RunSpec, part: str) -> Mapping[str, Any]:
    return {key.partition(".")[2]: value for key, value in spec.set.items() if key.partition(".")[0] == part}


def _check_parts(spec: RunSpec, jobs: list[Job]) -> None:
    methods = {
        method.registered.entry.name
        for job in jobs
        for method in (job.dataset, job.fitting.dataset, job.backbone, *job.aligners)
    }
    for key in spec.set:
        part, dot, name = key.partition(".")
        if part == "partner" and not spec.fit_on:
            raise ConfigError(f"set {key!r}: partner is the data set of --fit-on, and there is none")
        if not (dot and name and part in {*PARTS, *methods}):
            raise ConfigError(f"set {key!r}: expected PART.NAME{suggestion(part, [*PARTS, *sorted(methods)])}")

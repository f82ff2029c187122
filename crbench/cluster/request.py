"""Which workers are asked for, and what is sent to them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from crbench._version import __version__
from crbench.config.paths import cache_root, data_root, evidence_root, weights_root
from crbench.config.run_spec import RunSpec
from crbench.config.units import parse_budget
from crbench.errors import ConfigError
from crbench.harness.plan import Job, Plan, make_plan
from crbench.numerals import parse_integer
from crbench.protocol.hashing import digest
from crbench.wording import plain_fault


@attrs.frozen(kw_only=True)
class ClusterSpec:
    """The workers of a run.

    Attributes:
        scheduler: address of a Dask scheduler, such as ``tcp://node1:8786``; None = workers on this machine.
        workers: how many, on this machine; None = two, or one on a machine of one processor.
        memory_limit: bytes for each worker on this machine, beyond which it is ended and its task done again; None = an
            equal share of the machine's.
        resources: what a task takes of its worker's abstract resources, such as ``{"GPU": 1}``.
        retries: how often a task is done again whose worker died, or which the system refused something.
    """

    scheduler: str | None = None
    workers: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    memory_limit: int | None = None
    resources: Mapping[str, float] = attrs.field(factory=dict)
    retries: int = attrs.field(default=3, validator=attrs.validators.ge(0))


def build_cluster(values: Mapping[str, Any]) -> ClusterSpec:
    """A `ClusterSpec` from options of the command line; a limit may have a unit, and resources are ``GPU=1``.

    Raises:
        ConfigError: a bad value, or one that workers of a scheduler have been given at their start.
    """
    own = [name for name in ("workers", "memory_limit") if name in values]
    if own and "scheduler" in values:
        raise ConfigError(
            f"--{own[0].replace('_', '-')}: the workers of a scheduler are started with their own; leave it out"
        )
    given = dict(values)
    if "memory_limit" in given:
        given["memory_limit"] = parse_budget(given["memory_limit"])
    if "resources" in given:
        given["resources"] = dict(parse_resource(text) for text in given["resources"])
    try:
        return ClusterSpec(**given)
    except ValueError as error:
        raise ConfigError(f"run: {plain_fault(error)}") from error


def parse_resource(text: str) -> tuple[str, float]:
    """``GPU=1`` as name and amount.

    Raises:
        ConfigError: it is something else.
    """
    name, _, amount = text.partition("=")
    try:
        count = parse_integer(amount)
    except ValueError:
        count = 0
    if not name or count < 1:
        raise ConfigError(f"resource {text!r}: expected NAME=AMOUNT with an amount from 1, e.g. GPU=1")
    return name, float(count)


@attrs.frozen
class AskedJob:
    """A job of a run as it is sent to workers, which make its plan again.

    Attributes:
        spec: of the run; its folders are absolute.
        number: of the job in the plan, from 0.
        methods: digest of all methods of the plan and their code, see `methods_digest`.
        folders: variables of the environment that name the other folders.
    """

    spec: RunSpec
    number: int
    methods: str
    folders: Mapping[str, str]

    @property
    def key(self) -> str:
        """12 hex digits that tell it from other jobs."""
        return digest([repr(self.spec), self.number, self.methods])

    def job(self) -> Job:
        """The job, as it is planned here.

        Raises:
            ConfigError: other methods or another version of crbench are installed here.
            CrbenchError: see `crbench.harness.plan.make_plan`.
        """
        os.environ.update(self.folders)
        key = digest([repr(self.spec), self.methods])
        if key not in _plans:
            plan = make_plan(self.spec)
            if methods_digest(plan) != self.methods:
                raise ConfigError(
                    f"worker {os.getpid()} has another crbench, other plugins or other files than who asks; install "
                    "the same versions on all machines, and start the workers again"
                )
            _plans.clear()
            _plans[key] = plan
        return _plans[key].jobs[self.number]


_plans: dict[str, Plan] = {}
"""The last plan of this process: a worker makes it once for all jobs of a run."""


def asked_jobs(spec: RunSpec, plan: Plan) -> list[AskedJob]:
    """The jobs of a plan, as workers understand them."""
    whole = attrs.evolve(
        spec,
        data_root=data_root(spec.data_root).absolute(),
        cache_dir=cache_root(spec.cache_dir).absolute(),
        output=spec.output.absolute(),
        weights=_absolute(spec.weights),
    )
    folders = {"CRBENCH_WEIGHTS": weights_root(), "CRBENCH_EVIDENCE": evidence_root()}
    sent = {name: str(folder.absolute()) for name, folder in folders.items()}
    methods = methods_digest(plan)
    return [AskedJob(whole, number, methods, sent) for number in range(len(plan.jobs))]


def methods_digest(plan: Plan) -> str:
    """Digest of what computes the cells of a plan: methods with their code and files, rules, trials, our version."""
    jobs = [
        [job.protocol.flat(), job.trials]
        + [method.identity() for method in (job.dataset, job.fitting.dataset, job.backbone, *job.aligners)]
        for job in plan.jobs
    ]
    return digest([__version__, jobs])


def _absolute(weights: Path | None) -> Path | None:
    """A file here by its whole path; a name in the weights folder, or one of a hub, as it is."""
    return weights.absolute() if weights is not None and weights.exists() else weights

"""Options that say who computes: this process, or the workers of a Dask cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from crbench.cli.numbers import INTEGER
from crbench.cli.options import option_group

if TYPE_CHECKING:
    from crbench.cluster.request import ClusterSpec

EXECUTORS = ("local", "dask")
CLUSTER = ("executor", "scheduler", "workers", "memory_limit", "resources", "retries")
"""Names of the parameters of `cluster_options`."""

cluster_options = option_group(
    click.option("--executor", type=click.Choice(EXECUTORS), default="local", show_default=True, help="Who computes."),
    click.option("--scheduler", metavar="ADDRESS", help="With dask: of a scheduler; default: workers on this machine."),
    click.option("--workers", type=INTEGER, help="With dask: how many, on this machine; default: 2."),
    click.option(
        "--memory-limit", help="With dask: of each worker on this machine, e.g. 8GB; default: an equal share."
    ),
    click.option(
        "--resource",
        "resources",
        multiple=True,
        metavar="NAME=N",
        help="With dask: what a task takes of a worker, GPU=1.",
    ),
    click.option(
        "--retries", type=INTEGER, help="With dask: how often a task is done again whose worker died; default: 3."
    ),
)
"""--executor and what goes with it."""


def asked_cluster(executor: str, **cluster: Any) -> ClusterSpec | None:
    """The workers that are asked for; None = this process.

    Args:
        cluster: values of the other options, by the names in `CLUSTER`.

    Raises:
        ConfigError: options of a cluster without one, bad values, or Dask is not installed.
    """
    from crbench.errors import ConfigError

    given = {name: value for name, value in cluster.items() if value is not None and value != ()}
    if executor == "local":
        if given:
            option = {"resources": "resource"}.get(name := next(iter(given)), name)
            raise ConfigError(f"--{option.replace('_', '-')}: only with --executor dask")
        return None
    from crbench.cluster.connect import check_installed
    from crbench.cluster.request import build_cluster

    check_installed()
    return build_cluster(given)

"""Workers: those of a scheduler that runs, or some on this machine for as long as the run takes."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crbench.cluster.request import ClusterSpec
from crbench.errors import ConfigError, SystemFaultError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_ANSWER_S = "30s"
"""How long a scheduler may take to answer."""


def check_installed() -> None:
    """Refuse what needs Dask where it is not there.

    Raises:
        ConfigError: it is not.
    """
    if importlib.util.find_spec("distributed") is None:
        raise ConfigError("--executor dask: Dask is not installed; install it with: pip install 'crbench[dask]'")


@contextmanager
def connected(cluster: ClusterSpec, logger: logging.Logger, *, share_out: bool = True) -> Iterator[Client]:
    """A client of the workers.

    Args:
        share_out: see `started`; those of a scheduler do as that was told.

    Raises:
        ConfigError: Dask is not installed.
        SystemFaultError: no scheduler answers at the address, or workers cannot be started.
    """
    check_installed()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it would log each worker that comes and goes
    if cluster.scheduler is not None:
        with _client(cluster.scheduler) as client:
            yield client
        return
    with started(cluster, share_out=share_out) as local, _client(local) as client:
        logger.info("%d workers on this machine%s", len(local.workers), _dashboard(client))
        yield client


def started(cluster: ClusterSpec, *, share_out: bool = True) -> LocalCluster:
    """Workers on this machine; tried again where one of them dies before it is there.

    Args:
        share_out: workers that are idle take tasks over from others that have some left.

    Raises:
        SystemFaultError: they cannot be started.
    """
    import dask
    import distributed  # noqa: F401  its import sets its defaults, and inside `set` these would be undone afterwards

    settings = {
        "distributed.scheduler.allowed-failures": cluster.retries,
        "distributed.scheduler.work-stealing": share_out,
        "distributed.worker.profile.enabled": False,  # it samples the stack a hundred times a second
    }
    count = local_workers(cluster)
    with dask.config.set(settings):
        for left in reversed(range(cluster.retries + 1)):
            try:
                return _local(cluster, count)
            except (OSError, RuntimeError, TimeoutError) as error:
                if not left:
                    raise SystemFaultError(f"cannot start {count} workers: {' '.join(str(error).split())}") from error
    raise AssertionError("there is at least one attempt")


def local_workers(cluster: ClusterSpec) -> int:
    """How many workers this machine gets."""
    return cluster.workers or min(2, _processors())


def _local(cluster: ClusterSpec, count: int) -> LocalCluster:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=count,
        threads_per_worker=1,  # crbench has its own threads
        processes=True,
        memory_limit=cluster.memory_limit or "auto",
        resources=dict(cluster.resources) or None,
        env=_environment(count),
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    )


@contextmanager
def _client(where: Any) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(where, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise SystemFaultError(
            f"no Dask scheduler answers at {where} ({' '.join(str(error).split())}); start one with: dask scheduler"
        ) from error
    with client:
        yield client


def _dashboard(client: Client) -> str:
    if importlib.util.find_spec("bokeh") is None:
        return ""  # there are no pages without it
    port = client.scheduler_info(n_workers=0).get("services", {}).get("dashboard")
    return f", dashboard at http://127.0.0.1:{port}/status" if port else ""


def _environment(workers: int) -> dict[str, str]:
    """Threads of each worker: as many as the user says, else an equal share of the processors."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, _processors() // workers))
    return dict.fromkeys(_THREADS, threads)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

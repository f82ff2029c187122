"""Workers that are threads of this process, so that they know the fakes of the harness's tests and start at once."""

from __future__ import annotations

import logging

import pytest
from fake_plugins import fakes, offer, spec

from crbench.api.context import RunContext
from crbench.cluster import tasks
from crbench.cluster.request import ClusterSpec

__all__ = ["fakes", "offer", "spec"]


@pytest.fixture(scope="session")
def scheduler():
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        dashboard_address="127.0.0.1:0",  # else a port that another scheduler may have
        resources={"GPU": 1},
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def cluster(scheduler):
    """Asks for these workers, which know no job yet."""
    tasks._opened.clear()
    yield ClusterSpec(scheduler=scheduler)
    tasks._opened.clear()


@pytest.fixture
def context():
    return RunContext(logger=logging.getLogger("run"))

"""A run is killed at any moment and given again: its scores are those of a run that nobody disturbs."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time

import pytest
from campaign.form import sampled
from main_job import scores, start

from crbench.cli import invoke

pytestmark = [pytest.mark.campaign, pytest.mark.slow]
MOMENTS = [random.Random(number).random() for number in range(20)]
"""Shares of the time that an undisturbed run takes; operations on files are killed one by one in ``test_disk``."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The scores of a run that nobody disturbs, and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.perf_counter()
    assert start(folder).wait() == 0
    return scores(folder), time.perf_counter() - began


@pytest.mark.parametrize("moment", sampled(MOMENTS, few=3))
def test_killing_and_resuming_changes_no_byte_of_the_scores(moment, undisturbed, tmp_path):
    expected, seconds = undisturbed
    process = start(tmp_path)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=moment * seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start(tmp_path).wait() == 0
    assert scores(tmp_path) == expected
    assert invoke(["cache", "verify", "--cache-dir", str(tmp_path / "cache")]) == 0

"""A cell that takes longer than it may fails, and the others go on."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from crbench.api.entry import Entry
from crbench.config.units import parse_duration
from crbench.errors import ConfigError
from crbench.harness import time_limit as limits
from crbench.harness.run import run
from crbench.harness.time_limit import TimeLimitReached, time_limit
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no alarms here")
OWNER = Owner(plugin="strangers", distribution="strangers", version="1")


def hang() -> None:
    while True:
        time.sleep(0.01)


def over() -> None:
    """The alarm of a limit that is over; how long that takes, and what a busy machine does meanwhile, is not tested."""
    signal.raise_signal(signal.SIGALRM)
    hang()


class Hanging:
    def fit(self, train: Any, *, run: Any) -> Any:
        over()


class Stubborn:
    """Swallows what it can."""

    def fit(self, train: Any, *, run: Any) -> Any:
        with suppress(BaseException):
            over()
        over()


class HangingLater:
    def fit(self, train: Any, *, run: Any) -> Any:
        return lambda feats: over() or feats


@pytest.fixture
def hanging(offer):
    targets = {"hanging": Hanging, "stubborn": Stubborn, "hanging-later": HangingLater}
    offer(*(Registered("aligner", Entry(name, target), OWNER) for name, target in targets.items()))


def test_cells_that_hang_fail_and_the_others_go_on(spec, hanging):
    before = signal.getsignal(signal.SIGALRM)
    names = ["hanging", "stubborn", "hanging-later", "shift"]
    found = run(spec(aligner=names, trial=0, cell_timeout="1h"))
    results = {result.method.aligner.name: result for result in found}
    assert {name: result.status for name, result in results.items()} == {
        "none": "ok",
        "hanging": "failed",
        "stubborn": "failed",
        "hanging-later": "failed",
        "shift": "ok",
    }
    assert "failed at fit: TimeLimitReached: it took more than 3600 s (--cell-timeout)" in results["hanging"].error
    assert "failed at transform: TimeLimitReached" in results["hanging-later"].error
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_it_strikes_again_where_it_was_swallowed(monkeypatch):
    monkeypatch.setattr(limits, "_AGAIN_S", 0.05)

    def swallow() -> None:
        with suppress(TimeLimitReached):
            hang()
        hang()

    with pytest.raises(TimeLimitReached), time_limit(0.01):
        swallow()


def test_what_was_spent_before_counts():
    with pytest.raises(TimeLimitReached), time_limit(1000, spent=1000):
        hang()
    with time_limit(1000, spent=10):
        pass


def test_without_alarms_it_is_refused_before_the_work(spec, fakes):
    raised = []

    def call() -> None:
        with pytest.raises(ConfigError, match="cell_timeout: only the main thread"):
            run(spec(trial=0, cell_timeout=5))
        raised.append(True)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert raised == [True]


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), (90, 90), ("15m", 900), ("1.5h", 5400)])
def test_times(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1", "1d", "s", "", "1_0", "nan", "1 m m", "\u0661s"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected e\.g\. 90, 90s, 15m or 2h"):
        parse_duration(text)

"""Progress where stderr is no terminal: a line now and then, and none for short work."""

from __future__ import annotations

import logging
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.cli import invoke
from crbench.cli.progress import FIRST_LINE_S, LINE_EVERY_S, Lines, progress


def lines_of(caplog, total: int, steps: list[tuple[float, int]], **figures: float) -> list[str]:
    """What is logged where each step takes so many seconds and does so much."""
    now = [0.0]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="crbench"):
        tracker = Lines(total, "extract", "image", clock=lambda: now[0])
        for seconds, count in steps:
            now[0] += seconds
            tracker.advance(count, **figures)
    return caplog.messages


def test_a_line_tells_count_pace_and_time_left(caplog):
    (first, second) = lines_of(caplog, 31_900, [(1.0, 100)] * 10 + [(1.0, 200)] * 30, loss=0.123456)
    assert first == "extract: 1,000 of 31,900 (3 %), 100 image/s, 0:05:09 left, loss 0.1235"
    assert second == "extract: 7,000 of 31,900 (22 %), 200 image/s, 0:02:04 left, loss 0.1235"


def test_short_work_and_the_end_of_work_say_nothing(caplog):
    assert lines_of(caplog, 10, [(FIRST_LINE_S / 11, 1)] * 10) == []
    assert lines_of(caplog, 2, [(1, 1), (FIRST_LINE_S, 1)]) == []


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 5)), max_size=40))
def test_lines_are_far_apart_and_their_numbers_hold(steps):
    said: list[tuple[float, str]] = []
    now = [0.0]

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append((now[0], record.getMessage()))

    logger, handler = logging.getLogger("crbench.cli.progress"), Noting()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        tracker, done = Lines(1000, "fit", "step", clock=lambda: now[0]), 0
        for seconds, count in steps:
            now[0] += seconds
            done, before = done + count, len(said)
            tracker.advance(count)
            if len(said) > before:
                assert said[-1][1].startswith(f"fit: {done:,} of 1,000 (")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    moments = [moment for moment, _ in said]
    assert all(moment >= FIRST_LINE_S for moment in moments[:1])
    assert all(after - before > LINE_EVERY_S - 1e-6 for before, after in pairwise(moments))


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_take_the_place_of_the_bar_where_there_is_no_terminal(terminal, monkeypatch, capsys, caplog):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("crbench.cli.progress.FIRST_LINE_S", 0.0)
    with caplog.at_level(logging.INFO, logger="crbench"), progress(3, "extract", "image") as tracker:
        tracker.advance(1)
        tracker.advance(2)
    assert bool(caplog.messages) == (not terminal)
    assert not re.search(r"extract.*image", capsys.readouterr().err) or terminal


def test_a_command_gives_logging_back_to_the_process_that_called_it(tmp_path, capsys):
    """Fixtures of a session are such callers: a test after them would find nothing of what crbench logs."""
    logger = logging.getLogger("crbench")
    before = logger.handlers[:], logger.propagate, logger.level
    assert invoke(["cite", str(tmp_path / "none.json")]) != 0
    assert (logger.handlers, logger.propagate, logger.level) == before
    assert "none.json" in capsys.readouterr().err

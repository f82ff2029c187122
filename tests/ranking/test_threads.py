from __future__ import annotations

import os
import subprocess
import sys
from threading import get_ident
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation.strategies import cases
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.test_engines import assert_same, run
from threadpoolctl import threadpool_info

from crbench import EvalProtocol, evaluate, features_from_arrays
from crbench.errors import EvaluationError
from crbench.ranking import threads as workers_module
from crbench.ranking.backends import numba
from crbench.ranking.interface import PRECISIONS
from crbench.ranking.threads import WORTH, ScratchBuffer, Workers


@given(threads=st.integers(1, 12), count=st.integers(0, 40), each=st.sampled_from([1, WORTH // 3, WORTH]))
def test_ranges_cover_rows_once(threads, count, each):
    seen = np.zeros(count, dtype=int)

    def mark(start, stop):
        seen[start:stop] += 1

    Workers(threads).share(mark, count, each)
    assert (seen == 1).all()


@given(
    threads=st.integers(1, 12),
    count=st.integers(1, 5000),
    each=st.sampled_from([1, WORTH // 3, WORTH]),
    most=st.integers(1, 700),
)
def test_panels_cover_rows_once(threads, count, each, most):
    panels = Workers(threads).panels(count, each, most)
    assert np.concatenate([np.arange(count)[panel] for panel in panels]).tolist() == list(range(count))
    assert max(panel.stop - panel.start for panel in panels) <= most


def test_each_thread_has_as_many_panels():
    sizes = [panel.stop - panel.start for panel in Workers(3).panels(1000, WORTH, 200)]
    assert sizes == [167, 167, 167, 167, 167, 165]


def test_results_of_several_threads_come_in_the_order_of_the_arguments():
    arguments = [(number, number) for number in range(7)]
    found = Workers(3).run(lambda one, _: (one, get_ident()), arguments)
    assert [one for one, _ in found] == list(range(7))
    assert len({thread for _, thread in found}) > 1


@pytest.mark.parametrize("culprit", [0, 4])
def test_an_error_is_raised_once_every_call_has_ended(culprit):
    done = []

    def work(number, _):
        if number == culprit:
            raise ValueError("culprit")
        done.append(number)

    with pytest.raises(ValueError, match="culprit"):
        Workers(3).run(work, [(number, 0) for number in range(5)])
    assert len(done) == 4


@pytest.mark.parametrize("fails", [False, True])
def test_libraries_are_limited_inside_and_free_again_outside(fails):
    def limits(*_):
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] in ("blas", "openmp")}

    before, own = torch.get_num_threads(), limits()
    torch.set_num_threads(2)
    try:
        workers = Workers(2)
        with pytest.raises(ValueError, match="inside") if fails else workers.alone(), workers.alone():
            assert workers.run(limits, [(0, 0), (1, 1)]) == [{1}, {1}]
            if fails:
                raise ValueError("inside")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert limits() == own


@settings(max_examples=150)
@given(
    case=cases(),
    precision=st.sampled_from(PRECISIONS),
    threads=st.integers(1, 5),
    at_once=st.integers(1, 3),
    uncertain=st.sampled_from([1, 1 << 15]),
)
def test_several_threads_with_short_lists_give_the_reference(case, precision, threads, at_once, uncertain):
    expected = run(case, engine="reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workers, "on", lambda device: Workers(threads))
        patch.setattr(workers_module, "WORTH", 1)
        patch.setattr(numba, "_AT_ONCE", (at_once, at_once))
        patch.setattr(numba, "_UNCERTAIN", uncertain)
        assert_same(run(case, engine="numba", precision=precision), expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_full_list_of_uncertain_pairs_is_handed_over_before_the_next_are_counted(threads, monkeypatch):
    x = np.ones((120, 4))  # all at one distance, so that every pair is uncertain
    query, gallery = features_from_arrays(x[:20], np.arange(20)), features_from_arrays(x, np.arange(120) % 30)
    case = SimpleNamespace(query=query, gallery=gallery, protocol=EvalProtocol.of(shot="multi"))
    expected, handed = run(case, engine="reference"), []
    decide = numba.NumbaBackend.decide

    def watched(self, query_tasks, uncertain, *others):
        handed.append(len(uncertain.query_tasks))
        return decide(self, query_tasks, uncertain, *others)

    monkeypatch.setattr(Workers, "on", lambda device: Workers(threads))
    monkeypatch.setattr(numba.NumbaBackend, "decide", watched)
    monkeypatch.setattr(workers_module, "WORTH", 1)
    monkeypatch.setattr(numba, "_AT_ONCE", (2, 2))
    monkeypatch.setattr(numba, "_UNCERTAIN", 1)
    assert_same(run(case, engine="numba", precision="fp32"), expected)
    assert sum(handed) == 20 * (120 - 4)  # items of the query's label are none of them
    assert max(handed) <= threads * 120, "each list of a thread holds the items of one query"


def test_a_scratch_buffer_is_kept_and_grows():
    scratch = ScratchBuffer()
    first = scratch.take(8)
    assert len(first) == 8
    assert scratch.take(5).data_ptr() == first.data_ptr()
    assert len(scratch.take(9)) == 9


def test_products_last_until_their_uncertain_pairs_are_listed_whichever_thread_goes_on(monkeypatch):
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(40, 16)), 8, axis=0)  # eight of each, so that many pairs are uncertain
    query, gallery = features_from_arrays(x[::8], np.arange(40)), features_from_arrays(x, np.arange(320) % 40)
    case = SimpleNamespace(query=query, gallery=gallery, protocol=EvalProtocol.of(shot="multi"))
    expected = run(case, engine="reference")
    shuffled = Workers(4)
    run_all = shuffled.run

    def another_thread_each_time(work, arguments):
        order = rng.permutation(len(arguments))
        found = run_all(work, [arguments[place] for place in order])
        return [found[place] for place in np.argsort(order)]

    monkeypatch.setattr(shuffled, "run", another_thread_each_time)
    monkeypatch.setattr(Workers, "on", lambda device: shuffled)
    monkeypatch.setattr(workers_module, "WORTH", 1)
    monkeypatch.setattr(numba, "_AT_ONCE", (5, 5))
    monkeypatch.setattr(numba, "_UNCERTAIN", 1)
    assert_same(run(case, engine="numba", precision="int8"), expected)


@pytest.mark.parametrize("row", [0, 4, 9])
def test_nan_of_a_metric_is_found_whichever_thread_looks(row, monkeypatch):
    feats = features_from_arrays(np.arange(10)[:, None] + 0.0, np.arange(10) % 5)  # features that name their row
    distances = np.ones((10, 10))
    distances[:, 3], distances[row, 7] = np.inf, np.nan
    monkeypatch.setattr(Workers, "on", lambda device: Workers(3))
    monkeypatch.setattr(workers_module, "WORTH", 1)

    def measure(query, gallery):
        return distances[query.x[:, 0].long()]

    with pytest.raises(EvaluationError, match=f"the distance gives NaN for query row {row}$"):
        evaluate(feats, feats, EvalProtocol.of(shot="multi"), distance=measure)


def test_threads_are_the_same_ones_each_time_and_a_forked_process_has_its_own():
    workers = Workers.on(torch.device("cpu"))
    assert Workers.on(torch.device("cpu")) is workers
    script = (
        "import os, time, torch; from crbench.ranking.threads import Workers; torch.set_num_threads(3)\n"
        "def work(): return Workers.on(torch.device('cpu')).run(lambda number: number + 1, [(1,), (2,), (3,)])\n"
        "assert work() == [2, 3, 4]\n"
        "time.sleep(0.2)  # until the threads wait for work\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(0 if work() == [2, 3, 4] else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    if hasattr(os, "fork"):
        subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=120)

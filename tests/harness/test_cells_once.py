"""A cell is computed once, however many runs ask for it at once; and again where its result is lost."""

from __future__ import annotations

import logging
import threading

import attrs
import pytest

from crbench.api.context import RunContext
from crbench.harness import cells
from crbench.harness.run import run
from crbench.harness.status import Working
from crbench.results.folder import WORKING, written_results
from crbench.store.lease import Claim, Lease


@pytest.fixture
def taken(spec, tmp_path):
    """The claim on a cell that another process computes, and the lease that it has."""
    (result,) = run(spec(aligner="none"))
    for path in written_results(tmp_path / "results"):
        path.unlink()
    claim = Claim(tmp_path / "results" / WORKING / f"{result.cell_id}.lease", {"kind": "cell", "name": "theirs"})
    lease = claim.attempt()
    assert isinstance(lease, Lease)
    yield lease
    lease.release()


def started(request, caplog):
    """A run in a thread that waits for another process, and what it gives."""
    found: list = []
    caplog.set_level(logging.INFO)
    context = RunContext(logger=logging.getLogger("run"))
    thread = threading.Thread(target=lambda: found.extend(run(request, context=context)))
    thread.start()
    while thread.is_alive() and not any("waits for it" in message for message in caplog.messages):
        thread.join(0.01)
    return thread, found


def test_the_others_go_first_and_its_result_is_taken_when_it_is_there(spec, taken, tmp_path, caplog):
    thread, found = started(spec(aligner="shift"), caplog)
    assert [path.parent.name for path in written_results(tmp_path / "results")] == ["random__shift"]
    assert "tiny, mlr, random, none; this one waits for it (process " in caplog.text
    theirs = run(spec(aligner="none", resume=False))
    taken.release()
    thread.join()
    assert [result.method.aligner.name for result in found] == ["shift", "none"]
    assert found[1] == theirs[0]


def test_it_is_computed_where_its_owner_gives_up(spec, taken, tmp_path, caplog):
    thread, found = started(spec(aligner="none"), caplog)
    taken.release()
    thread.join()
    assert [result.status for result in found] == ["ok"]
    assert list((tmp_path / "results" / WORKING).iterdir()) == []


def test_a_run_that_is_asked_to_compute_waits_for_nobody(spec, taken):
    (result,) = run(spec(aligner="none", resume=False))
    assert result.status == "ok"


def test_who_works_is_told_while_it_works(spec, tmp_path, monkeypatch):
    seen = []
    write = cells._write

    def look(*rest):
        seen.append(Working.below(tmp_path / "results"))
        return write(*rest)

    monkeypatch.setattr(cells, "_write", look)
    run(spec(aligner=["failing", "shift"]))
    first = seen[0]
    assert {holder.facts["name"] for holder in first.work} == {
        "tiny, mlr, random, none",
        "tiny, mlr, random, failing",
        "tiny, mlr, random, shift",
    }
    (at_work,) = first.runs
    assert at_work.facts["cells"] == {"planned": 3, "computed": 0, "taken": 0, "failed": 0}
    assert [len(one.work) for one in seen] == [3, 2, 1]
    assert Working.below(tmp_path / "results") == Working((), ())


def test_leases_are_released_where_a_run_stops(spec, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(spec(aligner="shift"), on_result=stop)
    assert Working.below(tmp_path / "results") == Working((), ())


def stop(*_):
    raise KeyboardInterrupt


def test_equal_names_of_cells_that_differ_are_told_apart(spec):
    from crbench.harness.plan import make_plan
    from crbench.harness.status import cell_name

    plan = make_plan(attrs.evolve(spec(aligner="none"), bound=True))
    assert [cell_name(job, job.aligners[0]) for job in plan.jobs] == [
        "tiny, mlr, random, none",
        "tiny, mlr, random, none, bound",
    ]

"""A run on workers gives what one gives here, and says the same of what fails."""

from __future__ import annotations

import logging
import time

import attrs
import numpy as np
import pytest
import torch
from fakes import Learner

from crbench.api.entry import Entry
from crbench.cluster import tasks
from crbench.cluster.request import ClusterSpec, asked_jobs
from crbench.cluster.run import run_on_cluster
from crbench.errors import ConfigError, DataError, SystemFaultError
from crbench.harness.plan import make_plan
from crbench.harness.run import run
from crbench.harness.status import Working
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.results import Result
from crbench.results.folder import written_results

MEASURED = ("created", "duration_s", "timings", "environment", "outcomes", "content_sha256")
"""Fields of a result that are times or follow from them: names and digests of its files."""


def compared(result: Result) -> dict:
    """All of a result but `MEASURED`."""
    return {f.name: getattr(result, f.name) for f in attrs.fields(Result) if f.eq and f.name not in MEASURED}


def outcomes(result: Result) -> dict:
    """Its outcomes, by array."""
    with np.load(result.origin.replace(".json", ".npz")) as arrays:
        return {name: (arrays[name].dtype.str, arrays[name].tobytes()) for name in arrays.files}


def both(spec, tmp_path, cluster, **values):
    """The results of a spec here, and on workers from an empty store."""
    here = run(spec(**values, output=tmp_path / "here", cache_dir=tmp_path / "cache here"))
    there = run_on_cluster(spec(**values), cluster)
    return here, there


@pytest.mark.parametrize(
    "values",
    [
        {"aligner": ["ridge", "mean-shift", "coral"]},
        {"aligner": ["ridge", "match-rate"], "batch_size": 4, "bound": True},
        {"aligner": "shift", "backbone": ["random", "learner"]},
    ],
)
def test_results_are_those_of_a_run_here(spec, tmp_path, cluster, values):
    here, there = both(spec, tmp_path, cluster, **values)
    assert len(here) == len(there) > 1
    by_id = {result.cell_id: result for result in here}
    for result in there:
        assert compared(result) == compared(by_id[result.cell_id])
        assert outcomes(result) == outcomes(by_id[result.cell_id])
    assert len(written_results(tmp_path / "results")) == len(there)
    assert Working.below(tmp_path / "results") == Working((), ())


def test_finished_cells_are_taken_and_new_ones_added(spec, cluster):
    first = run(spec(aligner="mean-shift"))
    told = []
    again = run_on_cluster(
        spec(aligner=["mean-shift", "ridge"]), cluster, on_result=lambda result, earlier: told.append(earlier)
    )
    assert told == [True, True, False]
    assert again[:2] == first


def test_a_backbone_is_trained_once_for_all_workers(spec, cluster):
    results = run_on_cluster(spec(backbone="learner", aligner=["shift", "ridge"], trial=0), cluster)
    assert len(Learner.trainings) == 1
    assert {result.method.backbone.trained for result in results} == {True}


def test_failing_methods_fail_their_cells_alone(spec, cluster):
    results = run_on_cluster(spec(aligner=["failing", "ridge"]), cluster)
    assert [result.status for result in results] == ["ok", "failed", "ok"]
    assert "ArithmeticError: no fit today" in results[1].error


def test_a_failing_backbone_fails_all_its_cells_after_one_attempt(spec, cluster, monkeypatch):
    attempts = []
    extract = tasks._extract
    monkeypatch.setattr(tasks, "_extract", lambda *rest: (attempts.append(1), extract(*rest)))
    results = run_on_cluster(spec(backbone=["nan", "random"], aligner=["shift", "ridge"], trial=0), cluster)
    assert [result.status for result in results] == ["failed"] * 3 + ["ok"] * 3
    assert all("NaN or infinite features" in result.error for result in results[:3])
    assert len(attempts) == 2, "one for each backbone"


def test_what_stops_a_run_here_stops_it_there(spec, cluster, monkeypatch):
    def missing(*_):
        raise DataError("no images of tiny")

    monkeypatch.setattr("crbench.harness.job.load_trials", missing)
    with pytest.raises(DataError, match="no images of tiny"):
        run_on_cluster(spec(aligner="shift"), cluster)


def test_what_the_system_refused_is_tried_again(spec, cluster, context, monkeypatch, caplog):
    left = [1, 1]
    extract = tasks._extract

    def refused(*rest):
        if left:
            left.pop()
            raise SystemFaultError("cannot read x: Input/output error")
        return extract(*rest)

    monkeypatch.setattr(tasks, "_extract", refused)
    results = run_on_cluster(spec(aligner="shift"), cluster, context=context)
    assert [result.status for result in results] == ["ok", "ok"]
    assert caplog.text.count("cannot read x: Input/output error; once more") == 2
    left[:] = [1] * 9
    with pytest.raises(SystemFaultError, match="cannot read x"):
        run_on_cluster(spec(aligner="shift", batch_size=8), attrs.evolve(cluster, retries=1))


def test_few_cells_are_fitted_apart_and_many_are_not(spec, cluster, monkeypatch):
    fits = []
    fit = tasks._fit
    monkeypatch.setattr(tasks, "_fit", lambda *rest: (fits.append(rest[2:]), fit(*rest)))
    monkeypatch.setattr("crbench.cluster.run._ENOUGH", 1)
    run_on_cluster(spec(aligner="ridge"), cluster)
    assert sorted(fits) == [(1, (0,))] * 2, "of each backbone; an aligner that learns nothing has none"
    fits.clear()
    run_on_cluster(spec(aligner=["coral", "procrustes"], seed=1), cluster)
    run_on_cluster(spec(aligner="ridge", backbone=["random", "learner"], seed=2), cluster)
    assert fits == [], "two workers have a cell or a job each"


def test_workers_take_no_cells_over_where_each_has_jobs_of_its_own(spec, monkeypatch):
    asked = []

    def stop(cluster, *, share_out):
        asked.append(share_out)
        raise SystemFaultError("not started")

    monkeypatch.setattr("crbench.cluster.connect.started", stop)
    four = ["random", "learner", "learner-all", "learner-by-rate"]
    for backbones, workers in ((four[:3], 1), (four, 1), (four, 2)):
        with pytest.raises(SystemFaultError, match="not started"):
            run_on_cluster(spec(aligner="ridge", backbone=backbones), ClusterSpec(workers=workers))
    assert asked == [True, False, True]


def test_tasks_take_resources_and_have_names(spec, cluster, monkeypatch):
    from distributed import Client

    asked = []
    submit = Client.submit

    def note(self, *rest, **options):
        asked.append((options["key"].rpartition(", job ")[0], options["resources"]))
        return submit(self, *rest, **options)

    monkeypatch.setattr(Client, "submit", note)
    run_on_cluster(spec(aligner="shift", baseline=False, trial=0), attrs.evolve(cluster, resources={"GPU": 1.0}))
    gpu = {"GPU": 1.0}
    assert asked == [
        ("open-tiny, mlr, random", None),
        ("train-tiny, mlr, random, backbone 0", gpu),
        ("extract-tiny, mlr, random, backbone 0, rows 0: 0 to 80", gpu),
        ("fit-tiny, mlr, random, shift, backbone 0, trial 0", gpu),
        ("cell-tiny, mlr, random, shift, 0", gpu),
    ]


def test_large_trials_are_extracted_in_blocks_of_whole_batches(spec, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "CHUNK_BATCHES", 1)
    blocks = []
    extract = tasks._extract
    monkeypatch.setattr(tasks, "_extract", lambda *rest: (blocks.append(rest[-1]), extract(*rest)))
    here, there = both(spec, tmp_path, cluster, aligner="ridge", trial=0)
    ends = sorted((block.start, block.end) for block in blocks)
    assert ends[:2] == [(0, 16), (16, 32)]
    assert [start for start, _ in ends[1:]] == [end for _, end in ends[:-1]]
    assert [result.trials for result in here] == [result.trials for result in there]
    assert all(result.timings["extract"].cached for result in there), "cells found all features"


def test_notes_of_workers_are_said_once(spec, cluster, context, caplog):
    caplog.set_level(logging.INFO)
    run_on_cluster(spec(aligner=["ridge", "procrustes"]), cluster, context=context)
    mine = [
        record for record in caplog.records if record.name == context.logger.name
    ]  # workers of the test log here too
    said = [record.getMessage() for record in mine if "image pairs" in record.getMessage()]
    assert len(said) == len(set(said)) <= 1


def test_workers_with_other_methods_are_refused(spec, cluster):
    plan = make_plan(spec(aligner="shift"))
    (asked,) = asked_jobs(spec(aligner="shift"), plan)
    assert asked.job().aligners == plan.jobs[0].aligners
    with pytest.raises(ConfigError, match="has another crbench, other plugins or other files"):
        attrs.evolve(asked, methods="0" * 12).job()


def test_without_a_cache_features_cannot_move(spec, cluster):
    with pytest.raises(ConfigError, match="leave --no-cache out"):
        run_on_cluster(spec(aligner="shift", cache=False), cluster)


def test_a_scheduler_that_does_not_answer_is_named(spec, monkeypatch):
    monkeypatch.setattr("crbench.cluster.connect._ANSWER_S", "0.2s")
    with pytest.raises(SystemFaultError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run_on_cluster(spec(aligner="shift"), ClusterSpec(scheduler="tcp://127.0.0.1:9"))


class Hanging:
    def fit(self, train, *, run):
        while True:
            time.sleep(0.01)


class Careless:
    """Sets something for the whole process."""

    def fit(self, train, *, run):
        torch.set_default_dtype(torch.float64)
        raise ArithmeticError("no fit today")


def test_guards_of_plugins_hold_in_the_threads_of_workers(spec, cluster, offer, context, caplog):
    owner = Owner(plugin="strangers", distribution="strangers", version="1")
    offer(*(Registered("aligner", Entry(one.__name__.lower(), one), owner) for one in (Hanging, Careless)))
    request = spec(aligner=["careless", "hanging", "shift"], trial=0, cell_timeout=5)
    results = run_on_cluster(request, cluster, context=context)
    assert [result.status for result in results] == ["ok", "failed", "failed", "ok"]
    assert "no fit today" in results[1].error
    assert "it took more than 5 s (--cell-timeout)" in results[2].error
    assert torch.get_default_dtype() is torch.float32
    assert "set torch's default dtype to torch.float64 for all methods, which is undone" in caplog.text
    assert "random generator" not in caplog.text

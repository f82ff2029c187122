"""What the steps of runs took is kept for this machine, and harms no run."""

from __future__ import annotations

import json

import pytest

from crbench.harness.paces import FOLDER, MOST, Paces, Sample
from crbench.harness.run import run
from crbench.results import load_results
from crbench.store.cache import Cache

OF = {"aligner": {"name": "ridge", "parameters": {"strength": 1.0}}, "dim": 8}


@pytest.fixture
def paces(tmp_path):
    return Paces(Cache(tmp_path), {"cpu": "here", "threads": 1})


def test_what_was_kept_is_found(paces, tmp_path):
    paces.add("fit", OF, 100, 2.5)
    assert paces.find("fit", OF) == ()
    paces.keep()
    (sample,) = Paces(Cache(tmp_path), dict(paces.machine)).find("fit", OF)
    assert (sample.count, sample.seconds, sample.by) == (100, 2.5, "run")


def test_only_of_the_same_machine_step_and_method(paces, tmp_path):
    paces.add("fit", OF, 100, 2.5)
    paces.keep()
    assert Paces(Cache(tmp_path), {"cpu": "there", "threads": 1}).find("fit", OF) == ()
    assert paces.find("evaluate", OF) == ()
    assert paces.find("fit", {**OF, "dim": 9}) == ()


def test_the_last_samples_are_kept_of_all_who_write(paces, tmp_path):
    beside = Paces(Cache(tmp_path), paces.machine, by="bench")
    for number in range(MOST):
        paces.add("fit", OF, 100, float(number))
    paces.keep()
    beside.add("fit", OF, 100, 9.0)
    beside.keep()
    assert [sample.seconds for sample in paces.find("fit", OF)] == [1.0, 2.0, 3.0, 4.0, 9.0]
    assert paces.find("fit", OF)[-1].by == "bench"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"paces": 3}', "\x00"])
def test_a_damaged_file_counts_as_none_and_is_replaced(paces, tmp_path, text):
    paces.add("fit", OF, 1, 1.0)
    paces.keep()
    (file,) = (tmp_path / FOLDER).iterdir()
    file.write_text(text)
    assert paces.find("fit", OF) == ()
    paces.add("fit", OF, 1, 2.0)
    paces.keep()
    assert [sample.seconds for sample in paces.find("fit", OF)] == [2.0]


@pytest.mark.parametrize("samples", [[{"count": -1, "seconds": 1}], [{"seconds": 1}], 3, [3]])
def test_samples_of_another_form_do_not_count(paces, tmp_path, samples):
    paces.add("fit", OF, 1, 1.0)
    paces.keep()
    (file,) = (tmp_path / FOLDER).iterdir()
    content = json.loads(file.read_text())
    for entry in content["paces"].values():
        entry["samples"] = samples
    file.write_text(json.dumps(content))
    assert paces.find("fit", OF) == ()
    paces.add("fit", OF, 1, 2.0)
    paces.keep()


@pytest.mark.parametrize("cache", [None, "read only"])
def test_nothing_is_written_where_nothing_may_be(tmp_path, cache):
    paces = Paces(None if cache is None else Cache(tmp_path, read_only=True), {})
    paces.add("fit", OF, 1, 1.0)
    paces.keep()
    assert paces.find("fit", OF) == ()
    assert not list(tmp_path.iterdir())


def test_a_run_without_a_cache_keeps_none(spec, tmp_path):
    run(spec(aligner="none", cache=False))
    assert not (tmp_path / "cache").exists()


def test_seconds_are_those_that_the_results_tell(spec, tmp_path):
    run(spec(aligner="ridge", baseline=False, trial=0))
    (result,) = load_results([tmp_path / "results"])
    (file,) = (tmp_path / "cache" / FOLDER).iterdir()
    kept = {entry["step"]: entry["samples"][0] for entry in json.loads(file.read_text())["paces"].values()}
    assert kept.keys() == {"decode", "network", "fit", "time", "evaluate", "record"}
    extraction = result.timings["extract"]
    assert kept["decode"]["seconds"] + kept["network"]["seconds"] == pytest.approx(extraction.seconds)
    assert kept["network"]["count"] == extraction.count
    assert kept["evaluate"]["seconds"] >= result.timings["evaluate"].seconds
    assert kept["fit"]["seconds"] >= result.timings["fit"].seconds + kept["time"]["seconds"]


def test_a_sample_is_checked():
    with pytest.raises(ValueError, match="seconds"):
        Sample(count=1, seconds=-1.0)

"""Faults of the system in a run: the cache stops nothing; weights and results are named; no plugin is to blame."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from fakes import Learner

from crbench.api.context import RunContext
from crbench.api.entry import Entry
from crbench.cli import invoke
from crbench.errors import SystemFaultError
from crbench.harness.extract.extractor import Extractor
from crbench.harness.run import run
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.store import files, tensors
from crbench.store.tensors import open_tensors
from crbench.testing import RandomBackbone


@pytest.fixture
def full(monkeypatch):
    """Makes the disk full below one folder, after some files."""
    real = files.temporary_in

    def fill(folder, after=0):
        written = []

        def temporary_in(parent):
            if folder in (parent, *parent.parents):
                written.append(parent)
                if len(written) > after:
                    raise OSError(28, "No space left on device")
            return real(parent)

        monkeypatch.setattr(files, "temporary_in", temporary_in)

    yield fill
    monkeypatch.setattr(files, "temporary_in", real)


@pytest.fixture
def warned(caplog):
    """The context of a run, and the warnings that it gave."""
    logger = logging.getLogger("test of faults")
    caplog.set_level(logging.WARNING, logger.name)
    return RunContext(logger=logger), lambda: [r.getMessage() for r in caplog.records if r.name == logger.name]


def scores(results):
    return [(r.method.aligner.name, r.status, [trial.scores for trial in r.trials]) for r in results]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_full_cache_is_said_once_and_stops_nothing(spec, full, warned, tmp_path, after):
    expected = scores(run(spec(aligner=["shift", "ridge"], output=tmp_path / "other", cache_dir=tmp_path / "whole")))
    full(tmp_path / "cache", after)
    context, warnings = warned
    assert scores(run(spec(aligner=["shift", "ridge"]), context=context)) == expected
    (warning,) = [text for text in warnings() if "cache" in text]
    assert warning.startswith(f"cannot write {tmp_path / 'cache'}")
    assert warning.endswith(
        ": No space left on device; make room there, or choose another folder; the run goes on and keeps nothing more "
        "in its cache"
    )
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_cache_that_is_a_file_stops_nothing(spec, warned, tmp_path):
    (tmp_path / "cache").write_text("mine")
    context, warnings = warned
    assert [r.status for r in run(spec(aligner="shift", trial=0), context=context)] == ["ok", "ok"]
    assert ["a file is where a folder should be" in text for text in warnings()] == [True]
    assert (tmp_path / "cache").read_text() == "mine"


def test_one_warning_for_all_jobs_of_a_run(spec, full, warned, tmp_path):
    full(tmp_path / "cache")
    context, warnings = warned
    run(spec(backbone=["random", "learner"], aligner="shift", trial=0), context=context)
    assert len([text for text in warnings() if "No space left" in text]) == 1


@pytest.mark.parametrize("after", [1, 2], ids=["card", "weights"])
def test_weights_that_cannot_be_written_are_no_fault_of_the_plugin(spec, full, tmp_path, after):
    full(tmp_path / "weights", after)
    with pytest.raises(SystemFaultError, match=r"cannot write .*weights/trained.*: No space left on device; make room"):
        run(spec(backbone="learner", trial=0))


def test_a_folder_for_weights_that_cannot_be_made_is_named_before_the_training(spec, tmp_path):
    (tmp_path / "weights").touch()
    with pytest.raises(SystemFaultError, match=r"cannot write into .*weights/trained: .*a file is where a folder"):
        run(spec(backbone="learner", trial=0))
    assert Learner.trainings == []


def test_results_that_cannot_be_written_are_refused_before_the_work(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(Extractor, "fill", lambda *_: pytest.fail("the work began"))
    (tmp_path / "results").touch()
    with pytest.raises(SystemFaultError, match=r"cannot write into .*results: .*a file is where a folder should be"):
        run(spec(trial=0))


def test_cells_that_are_done_stay_where_the_disk_fills_up(spec, full, tmp_path):
    full(tmp_path / "results", after=3)
    with pytest.raises(SystemFaultError, match=r"cannot write .*results.*: No space left on device"):
        run(spec(aligner=["shift", "ridge"], trial=0))
    assert len(list((tmp_path / "results").rglob("*.json"))) == 1


HOMELESS = """
import pwd, sys
from crbench.cli import main
def nobody(_): raise KeyError("no account")
pwd.getpwuid = nobody
main(sys.argv[1:])
"""


def test_without_a_home_the_folder_to_give_is_named(tmp_path):
    def call(*arguments):
        command = [sys.executable, "-c", HOMELESS, *arguments]
        environment = {"PYTHONPATH": ":".join(sys.path)}
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)

    done = call("data", "path")
    assert (done.returncode, done.stdout) == (6, "")
    assert "the home folder is not known; set HOME or CRBENCH_DATA" in done.stderr
    assert done.stderr.count("\n") == 1
    assert call("plugins").returncode == 0
    assert call("evaluate", "--query", "~/q.npz", "--gallery", "g.npz").returncode == 3


def test_without_a_home_a_run_goes_on_without_a_cache(spec, warned, monkeypatch):
    def unknown(_):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("crbench.config.paths.platformdirs.user_cache_path", unknown)
    monkeypatch.delenv("CRBENCH_CACHE")
    context, warnings = warned
    assert [r.status for r in run(spec(trial=0, cache_dir=None), context=context)] == ["ok"]
    (warning,) = warnings()
    assert warning == "the home folder is not known; set HOME or CRBENCH_CACHE; the run goes on without a cache"


@pytest.fixture
def exhausted(monkeypatch):
    """Lets no file below a folder be opened for reading: too many are open."""
    real = os.open

    def fill(folder):
        def opened(path, flags, *args, **kwargs):
            if folder in Path(path).parents and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_DIRECTORY):
                raise OSError(24, "Too many open files")
            return real(path, flags, *args, **kwargs)

        monkeypatch.setattr(os, "open", opened)

    yield fill
    monkeypatch.setattr(os, "open", real)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_weights_that_cannot_be_opened_now_are_not_taken_for_damaged(spec, exhausted, tmp_path, monkeypatch):
    run(spec(backbone="learner", trial=0))
    before = contents(tmp_path / "weights")
    with monkeypatch.context() as patch:
        patch.setattr(tensors, "_intact", set())
        exhausted(tmp_path / "weights")
        with pytest.raises(SystemFaultError, match=r"cannot read .*weights.*: Too many open files; raise the limit"):
            run(spec(backbone="learner", trial=0, resume=False))
    assert contents(tmp_path / "weights") == before
    assert len(Learner.trainings) == 1


def test_a_cache_that_cannot_be_read_now_is_kept_and_stops_nothing(spec, exhausted, warned, tmp_path):
    expected = scores(run(spec(aligner="ridge", trial=0)))
    before = contents(tmp_path / "cache")
    exhausted(tmp_path / "cache")
    context, warnings = warned
    assert scores(run(spec(aligner="ridge", trial=0, resume=False), context=context)) == expected
    assert any("Too many open files" in text and "computed anew" in text for text in warnings())
    assert {path: path.read_bytes() for path in before} == before


@pytest.fixture
def heeded():
    """Signals end a process, which whoever runs the tests may have changed."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@attrs.frozen
class Signalled(RandomBackbone):
    """A backbone that gets a signal from elsewhere at its sixth batch."""

    number: int = signal.SIGTERM
    batches: list[int] = attrs.field(factory=list)

    def extract(self, batch):
        self.batches.append(len(batch.inputs))
        if len(self.batches) == 6:
            os.kill(os.getpid(), self.number)
        return super().extract(batch)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_keeps_its_features_and_continues(offer, heeded, tmp_path, capsys, number, code):
    built = []

    def backbone(*, weights=None, device="cpu"):
        built.append(Signalled(number=number) if not built else RandomBackbone())
        return built[-1]

    owner = Owner(plugin="fakes", distribution="crbench-fakes", version="1")
    offer(Registered("backbone", Entry("signalled", backbone), owner))
    folders = ["--output", tmp_path / "results", "--cache-dir", tmp_path / "cache"]
    command = ["run", "--dataset", "tiny", "--backbone", "signalled", "--aligner", "ridge", "--batch-size", "8", "-q"]
    command += map(str, folders)
    assert invoke(command) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    said = f"crbench: stopped by {signal.Signals(number).name}; what is finished is kept, run again to continue"
    assert captured.err.splitlines()[-1] == said
    kept = sum(len(open_tensors(path).tensors["ids"]) for path in (tmp_path / "cache").rglob("*.safetensors"))
    assert kept >= 8 * 3
    assert invoke(command) == 0
    assert not list(tmp_path.rglob("*.part"))

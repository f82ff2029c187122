"""Names of files and folders that are not UTF-8: they work, or one line says which to rename."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import builders
import numpy as np
import pytest

from crbench.cli import invoke

DATA, OUT = (os.fsdecode(name) for name in (b"data\xff", b"out\xff"))
TINY = ["--dataset", "mlr-market1501", "--backbone", "resnet-tiny", "--set", "backbone.epochs=1"]
RUN = ["run", *TINY, "--trial", "0", "-q"]


@pytest.fixture(autouse=True)
def _inputs(tmp_path):
    try:
        (tmp_path / DATA).mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    builders.build_market1501(tmp_path / DATA)
    for name in (os.fsdecode(b"q\xff.npz"), "g.npz"):
        np.savez(tmp_path / name, features=np.eye(3, 4, dtype=np.float32), pids=np.arange(1, 4), camids=[1, 2, 3])


def test_a_run_with_such_data_and_results_works(tmp_path):
    assert invoke([*RUN, "--data-root", DATA, "--output", OUT]) == 0
    assert invoke(["leaderboard", OUT, "--format", "html", "-o", os.fsdecode(b"b\xff.html")]) == 0
    assert (tmp_path / os.fsdecode(b"b\xff.html")).read_text(encoding="utf-8")


def test_such_features_and_outcomes_work(tmp_path):
    command = ["evaluate", "--query", os.fsdecode(b"q\xff.npz"), "--gallery", "g.npz"]
    assert invoke([*command, "--set", "protocol.same_camera=keep", "--per-query", os.fsdecode(b"o\xff.csv")]) in (0, 1)
    assert invoke(["evaluate", "--query", os.fsdecode(b"none\xff.npz"), "--gallery", "g.npz"]) == 3


def call(*arguments, **environment):
    """A command in a process of its own, whose output may be of any bytes."""
    command = [sys.executable, "-m", "crbench", *arguments]
    return subprocess.run(command, capture_output=True, check=False, env={**os.environ, **environment})


@pytest.mark.parametrize("folder", ["cache", "weights"])
def test_a_folder_that_safetensors_cannot_name_is_said(folder):
    done = call(*RUN, "--data-root", DATA, **{f"CRBENCH_{folder.upper()}": OUT})
    assert done.returncode == {"cache": 0, "weights": 3}[folder]
    assert done.stderr.count(b"the name is not UTF-8; rename the file or folder") == 1
    assert b"Traceback" not in done.stderr


def test_an_image_of_such_a_name_is_named(tmp_path):
    folder = tmp_path / DATA / "market1501" / "Market-1501-v15.09.15" / "query"
    image = next(folder.glob("0002_c1*.jpg"))
    shutil.copy(image, folder / (image.stem + os.fsdecode(b"\xff.jpg")))
    done = call(*RUN, "--data-root", DATA)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].endswith(b"\\udcff.jpg: the name is not UTF-8; rename the file or folder")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_such_names_are_printed_byte_by_byte(encoding):
    done = call("data", "path", "--data-root", DATA, PYTHONIOENCODING=f"{encoding}:strict")
    assert (done.returncode, done.stdout) == (0, b"data\xff\n")


def test_what_an_encoding_lacks_is_spelled():
    done = call("data", "path", "--data-root", "日本", PYTHONIOENCODING="latin-1:strict")
    assert (done.returncode, done.stdout) == (0, b"\\u65e5\\u672c\n")

"""The one writer: whole or not at all, permissions, streams, links, and what killed writers leave behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from crbench.errors import SystemFaultError
from crbench.store import temporaries
from crbench.store.files import write_folder, write_tensors, write_text, write_whole

OURS = "*.safetensors", "*.json", "*.npz", "*.csv", "*.png", "*.npy"


def fail_after(content, error):
    def fill(file):
        file.write(content)
        raise error

    return fill


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("bad")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "deep" / "file.json"
    write_text(path, "old")
    expected = SystemFaultError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_whole(path, fail_after(b"half", error))
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_fault_names_the_target_the_reason_and_what_to_do(tmp_path):
    with pytest.raises(SystemFaultError) as caught:
        write_whole(tmp_path / "x.json", fail_after(b"", OSError(28, "No space left on device")))
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'x.json'}: No space left on device; make room there, or choose another folder"
    )


@pytest.mark.parametrize("name", ["x.json", "features.safetensors"])
def test_no_pattern_matches_what_is_half_written(tmp_path, name):
    found = []

    def fill(file):
        file.write(b"half")
        found.extend(path for pattern in OURS for path in tmp_path.rglob(pattern))
        found.extend(tmp_path.glob("[!.]*"))

    write_whole(tmp_path / name, fill)
    assert found == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_permissions_are_the_final_ones_from_the_start(tmp_path):
    seen = []

    def fill(file):
        seen.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
        if (tmp_path / "old").exists():
            seen.append("old is there")

    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", fill)
        write_tensors(tmp_path / "t.safetensors", {"x": torch.ones(3)}, {"sha256": "0"})
        (tmp_path / "old").touch(mode=0o600)
        write_whole(tmp_path / "old", fill)
    finally:
        os.umask(before)
    assert seen == [0o640, 0o600, "old is there"]
    assert stat.S_IMODE((tmp_path / "t.safetensors").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o600
    assert load_file(tmp_path / "t.safetensors")["x"].tolist() == [1, 1, 1]


def test_the_umask_of_the_process_is_not_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("threads share the umask"))
    write_text(tmp_path / "x", "x")


def test_file_and_folder_are_flushed_before_and_after_the_renaming(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, Path.replace

    def fsync(descriptor):
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", lambda path, target: (events.append("rename"), replace(path, target)))
    write_text(tmp_path / "x", "x")
    assert events == ["file", "rename", "folder"]


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path):
    end, link, dangling = tmp_path / "real" / "end.txt", tmp_path / "link.txt", tmp_path / "dangling.txt"
    end.parent.mkdir()
    end.write_text("old")
    link.symlink_to("real/end.txt")
    dangling.symlink_to("real/new.txt")
    write_text(link, "new")
    write_text(dangling, "made")
    assert link.is_symlink()
    assert end.read_text() == "new"
    assert dangling.is_symlink()
    assert (tmp_path / "real" / "new.txt").read_text() == "made"
    assert len(list(end.parent.iterdir())) == 2


def test_a_fifo_is_streamed_to(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_text()))
    reader.start()
    write_text(fifo, "content")
    reader.join()
    assert got == ["content"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert list(tmp_path.iterdir()) == [fifo]


def test_a_device_is_streamed_to_and_stays(tmp_path):
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    write_text(null, "content")
    write_tensors(null, {"x": torch.ones(3)}, {})
    assert stat.S_ISCHR(null.stat().st_mode)
    write_text(Path("/dev/null"), "content")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("target", ["a file", "a pipe"])
def test_the_own_output_gets_what_goes_to_dev_stdout(tmp_path, target):
    code = (
        "from pathlib import Path; from crbench.store.files import write_text; print('first', flush=True);"
        "write_text(Path('/dev/stdout'), 'second\\n'); print('third')"
    )
    if target == "a pipe":
        text = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True).stdout
    else:
        with (tmp_path / "out.txt").open("w") as file:
            subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
        text = (tmp_path / "out.txt").read_text()
    assert text.splitlines() == ["first", "second", "third"]


def refused(tmp_path, path, reason):
    before = sorted(tmp_path.rglob("*"))
    for write in (lambda: write_text(path, "x"), lambda: write_folder(path, lambda folder: (folder / "a").touch())):
        with pytest.raises(SystemFaultError, match=reason) as caught:
            write()
        assert str(caught.value).startswith(f"cannot write {path}: ")
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").touch()
    refused(tmp_path, tmp_path / "file" / "x.json", "a file is where a folder should be")
    refused(tmp_path, tmp_path / "file" / "deep" / "x.json", "a file is where a folder should be")


def test_links_that_lead_back_to_themselves(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path, tmp_path / "loop" / "x.json", "its symbolic links lead back to themselves")
    with pytest.raises(SystemFaultError, match="its symbolic links lead back"):
        write_text(tmp_path / "loop", "x")
    assert (tmp_path / "loop").is_symlink()


def test_a_name_that_is_too_long(tmp_path):
    refused(tmp_path, tmp_path / ("n" * 300), "choose a shorter name")


def test_a_folder_where_a_file_should_be(tmp_path):
    with pytest.raises(SystemFaultError, match="a folder is where a file should be"):
        write_text(tmp_path, "x")


@pytest.fixture
def open_folder():
    """A folder that other users reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


AS_NOBODY = """
import os, sys
from pathlib import Path
from crbench.errors import SystemFaultError
from crbench.store.files import write_text
if os.geteuid() == 0:  # whom no permission stops
    os.setgid(65534)
    os.setuid(65534)
try:
    write_text(Path(sys.argv[1]), "x")
except SystemFaultError as error:
    print(error)
"""


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_may_not_be_written_is_left_alone(open_folder, what):
    folder = open_folder / "folder"
    folder.mkdir()
    path = folder / "x.json"
    if what == "file":
        path.write_text("old")
        path.chmod(0o444)
    folder.chmod(0o777 if what == "file" else 0o555)
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, path], capture_output=True, text=True, check=False)
    folder.chmod(0o755)
    reason = "Permission denied; choose another folder, or change who may write there"
    assert done.stdout == f"cannot write {path}: {reason}\n", done.stderr
    assert [p.read_text() for p in folder.iterdir()] == (["old"] if what == "file" else [])


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def half(folder):
        (folder / "deep").mkdir()
        (folder / "deep" / "a").write_text("a")
        raise OSError(28, "No space left on device")

    with pytest.raises(SystemFaultError, match="make room there"):
        write_folder(tmp_path / "out", half)
    assert list(tmp_path.iterdir()) == []
    link = tmp_path / "link"
    link.symlink_to("out")
    write_folder(link, lambda folder: (folder / "a").write_text("a"))
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def litter(folder, *, machine=None, process=None, age=0.0):
    """What a writer leaves behind."""
    own = temporaries._machine()
    path = folder / f".crbench-{machine or own}-{process or os.getpid()}-{os.urandom(4).hex()}.part"
    path.write_text("half")
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    return path


def test_litter_of_the_dead_is_collected_and_that_of_the_living_is_not(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    day = 2 * 86_400
    dead = [litter(tmp_path, process=ended.pid), litter(tmp_path, machine="0" * 8, age=day)]
    living = [
        litter(tmp_path),
        litter(tmp_path, age=day),
        litter(tmp_path, process=os.getppid(), age=day),
        litter(tmp_path, machine="0" * 8, process=ended.pid),
        litter(tmp_path, machine="0" * 8, age=-day),  # a clock that ran backwards
    ]
    others = [tmp_path / ".crbench-x.part", tmp_path / "mine.part"]
    for path in others:
        path.touch()
        os.utime(path, (0, 0))
    write_text(tmp_path / "x", "x")
    assert [path for path in dead if path.exists()] == []
    assert [path for path in (*living, *others) if not path.exists()] == []


def test_a_killed_writer_leaves_litter_that_the_next_one_collects(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from crbench.store.files import write_whole, write_folder\n"
        "write_whole(Path(sys.argv[1]), lambda f: os.kill(os.getpid(), signal.SIGKILL))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], check=False)
    assert len(list(tmp_path.glob(".crbench-*.part"))) == 1
    write_text(tmp_path / "x", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]

"""What ends a command: its output, the system, signals; each in one line at most and by the documented code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from crbench.cli import invoke
from crbench.cli.guard import guarded
from crbench.errors import PluginError, SystemFaultError

GOLDEN = Path(__file__).parents[1] / "golden" / "result-2.json"
CRBENCH = [sys.executable, "-m", "crbench"]


def run(*arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run([*CRBENCH, *arguments], text=True, check=False, **options)


@pytest.mark.parametrize("arguments", [["--help"], ["data", "rules"], ["data", "info", "mlr-viper"]])
def test_a_full_output_is_one_line_and_exit_code_6(arguments):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = run(*arguments, stdout=full)
    message = "cannot write the output: No space left on device; make room there, or choose another folder"
    assert (done.returncode, done.stderr) == (6, f"crbench: error: {message}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["data", "rules"], ["data", "info", "mlr-viper"]])
def test_an_output_that_nobody_reads_is_no_word_and_exit_code_141(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = run(*arguments, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_output_by_name_that_nobody_reads_is_no_fault_of_the_system():
    reader, writer = os.pipe()
    os.close(reader)
    done = run("leaderboard", GOLDEN, "--output", "/dev/stdout", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_closed_error_output_loses_no_run():
    """As a job without a terminal may have it; progress and notes have nowhere to go then."""
    small = ["--set", "dataset.train_identities=4", "--set", "dataset.test_identities=4", "--trial", "0"]
    done = run(
        *("run", "--dataset", "mlr-synthetic", "--backbone", "random", *small, "--dry-run"),
        stderr=None,
        preexec_fn=lambda: os.close(2),
    )
    assert done.returncode == 0
    assert "mlr-synthetic" in done.stdout


def test_a_closed_error_output_gives_its_number_to_no_file(tmp_path):
    """What libraries print to it would go into a result."""
    program = (
        "import os; from pathlib import Path; from crbench.cli.guard import guarded\n"
        f"guarded(lambda: (open({str(tmp_path / 'file')!r}, 'w').fileno() > 2 and print('apart'), os.write(2, b'x')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: os.close(2),
    )
    assert (done.returncode, done.stdout) == (0, "apart\n")


def test_a_closed_output_is_refused_before_the_work():
    done = run("data", "rules", stdout=None, preexec_fn=lambda: os.close(1))
    message = "the standard output is closed; give it a file or /dev/null"
    assert (done.returncode, done.stderr) == (6, f"crbench: error: {message}\n")


@pytest.mark.parametrize("error_output", ["closed", "full"])
def test_without_a_place_for_messages_the_exit_code_says_it(error_output):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        options = {"stderr": full} if error_output == "full" else {"stderr": None, "preexec_fn": lambda: os.close(2)}
        assert run("evaluate", "--query", "q.npz", "--gallery", "q.npz", **options).returncode == 3
        assert run("data", "rules", **options).returncode == 0


ENDING = """
import atexit, sys
from crbench import cli

class Held:
    def __del__(self):
        print("taken apart")

def invoke(arguments):
    atexit.register(print, "told")
    print("done", end=" ")
    {last}

held = Held()
held.itself = held
cli.invoke = invoke
cli.main({arguments})
"""


@pytest.mark.parametrize(
    ("last", "arguments", "code", "output"),
    [
        ("return 3", "", 3, "done told\n"),
        ("return 3", "[]", 3, "done told\ntaken apart\n"),  # a program that uses the command line ends as it likes
        ("raise KeyError('ours')", "", 1, "done told\ntaken apart\n"),
    ],
)
def test_a_command_ends_without_taking_the_process_apart(last, arguments, code, output):
    text = ENDING.format(last=last, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, output)
    assert ("KeyError: 'ours'" in done.stderr) == (code == 1)


def raising(error):
    def command():
        raise error

    return command


def torch_without_memory():
    torch.empty(2**60)


def numpy_without_memory():
    import numpy as np

    np.empty(2**60, np.uint8)


FAULTS = {
    "disk": (raising(OSError(28, "No space left on device", "/x/y")), "cannot use /x/y: No space left on device; make"),
    "no-name": (raising(OSError(5, "Input/output error")), "the system refused: Input/output error; the disk or"),
    "files": (raising(OSError(24, "Too many open files", "z")), "cannot use z: Too many open files; raise the limit"),
    "denied": (raising(PermissionError(13, "Permission denied", "z")), "cannot use z: Permission denied; choose"),
    "memory": (raising(MemoryError()), "out of memory; free some, raise the limit (ulimit -v), or ask for less"),
    "memory-of-the-system": (raising(OSError(12, "Cannot allocate memory")), "out of memory ([Errno 12] Cannot alloc"),
    "memory-of-torch": (torch_without_memory, "out of memory ("),
    "memory-of-numpy": (numpy_without_memory, "out of memory (Unable to allocate 1.00 EiB"),
    "threads": (raising(RuntimeError("can't start new thread")), "out of memory (can't start new thread); free some"),
    "library": (raising(ImportError("libx.so: failed to map segment from shared object")), "out of memory (libx.so: f"),
    "own": (raising(SystemFaultError("cannot write x: reason")), "cannot write x: reason"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_system_is_one_line_and_exit_code_6(name, capsys):
    command, start = FAULTS[name]
    assert guarded(command) == 6
    message = capsys.readouterr().err
    assert message.startswith(f"crbench: error: {start}")
    assert message.count("\n") == 1
    assert len(message) < 400


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), ImportError("no module x"), ValueError("x"), OSError()]
)
def test_a_fault_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        guarded(raising(error))


def test_without_memory_for_libraries(tmp_path):
    """The limit lets Python start and torch not."""
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20));"
    code = limit + "from crbench.cli import main; main(['evaluate', '--query', 'q.npz', '--gallery', 'q.npz'])"
    (tmp_path / "q.npz").touch()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 6
    assert done.stderr.startswith("crbench: error: out of memory (")
    assert done.stderr.count("\n") == 1


EATING = """
    import resource, sys
    from pathlib import Path
    from crbench.cli.guard import guarded
    def command():
        eaten = []
        for size in (1 << 20, 1 << 12, 1 << 6):
            try:
                while True:
                    eaten.append(bytearray(size))
            except MemoryError:
                pass
        while True:
            eaten.append(object())
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (64 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    sys.exit(guarded(command))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits its memory as Linux does")
def test_there_is_memory_left_to_say_that_none_is_left():
    command = [sys.executable, "-c", textwrap.dedent(EATING)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("crbench: error: out of memory")
    assert done.stderr.count("\n") == 1


WAITING = """
    import sys, time
    from crbench.cli.guard import guarded
    def command():
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            print("cleaning", flush=True)
            {cleaning}
            print("clean", flush=True)
    sys.exit(guarded(command))
"""


def heeded(ignored=()):
    """Undo what the shell or service that runs the tests ignores."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)


def started(cleaning="pass", ignored=()):
    code = textwrap.dedent(WAITING).format(cleaning=cleaning)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code], text=True, preexec_fn=lambda: heeded(ignored), **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_command_in_one_line_after_its_cleaning(number, code):
    process = started()
    process.send_signal(number)
    out, err = process.communicate()
    assert out == "cleaning\nclean\n"
    assert err == f"crbench: stopped by {number.name}; what is finished is kept, run again to continue\n"
    assert process.returncode == code


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_ends_it_at_once(second):
    process = started(cleaning="time.sleep(60)")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "cleaning\n"
    process.send_signal(second)
    assert process.communicate() == ("", "")
    assert process.returncode == -second


def test_signals_that_are_ignored_stay_so():
    """As for a command behind nohup."""
    process = started(ignored=[signal.SIGHUP])
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert "stopped by SIGTERM" in process.communicate()[1]
    assert process.returncode == 143


def test_handlers_of_signals_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert invoke(["data", "rules"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_signal_that_code_in_between_makes_an_error_of_is_still_the_signal(capsys):
    """An import that is interrupted may raise an ImportError of its own."""

    def command():
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt as stop:
            raise PluginError("a plugin failed at import") from stop

    assert guarded(command) == 143
    assert capsys.readouterr().err.startswith("crbench: stopped by SIGTERM")

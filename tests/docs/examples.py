"""The examples of a page: what its fences hold, and how a reader at a shell would do them one after the other.

A comment before a fence says what is to be done with it, where that is not to run it::

    <!-- only read: needs the images of Market-1501 -->    commands are parsed, code is compiled
    <!-- file: g.csv -->                                   the reader has a file of this name and content

A fence ``text`` after commands is what the last of them prints.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import numpy as np
import scipy.io
from main_job import SMALL, TINY_VPFA

from crbench.cli import crbench, invoke

_NO_IMAGES = re.compile(r"crbench (run|train|data export) .*\b(market1501|cuhk03|viper|caviar|dukemtmc|msmt17)\b")
"""Commands that need images of people that nobody may give away: they are parsed."""

_PROGRAMS = {"matlab": ("octave", "--eval"), "r": ("Rscript", "-e"), "julia": ("julia", "-e")}
"""Who runs the fences of other languages, where it is installed; Octave speaks MATLAB."""

_FENCE = re.compile(
    r"(?:^<!-- (?P<note>only read|file): (?P<words>[^\n]*?) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@attrs.frozen
class Example:
    """A fence of a page."""

    place: str
    language: str
    text: str
    only_read: str = ""
    file: str = ""

    @property
    def lines(self) -> list[str]:
        """Commands, without comments; a backslash at the end of a line joins it with the next."""
        whole = self.text.replace("\\\n", " ").splitlines()
        return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in whole) if line]


def examples(page: Path) -> list[Example]:
    """All fences of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Example(
            f"{page.name}:{text.count(chr(10), 0, found.start('language')) + 1}",
            found["language"],
            found["text"],
            **{(found["note"] or "only read").replace(" ", "_"): found["words"] or ""},
        )
        for found in _FENCE.finditer(text)
    ]


def parse(line: str) -> None:
    """Parse a command of crbench as click does, without doing it."""
    command: Any = crbench
    words = shlex.split(line.partition(">")[0].partition("|")[0])[1:]
    while isinstance(command, click.Group) and words and command.get_command(None, words[0]):  # type: ignore[arg-type]
        command, words = command.get_command(None, words[0]), words[1:]  # type: ignore[arg-type]
    assert command is not crbench, line
    command.make_context(line, words, resilient_parsing=False)


def as_small(words: list[str]) -> list[str]:
    """A command on few people and with few steps, so that it takes seconds; it does the same otherwise."""
    if words[0] not in ("run", "train", "analyze", "sweep") or "--config" in words:
        return words
    drawn, text = "mlr-synthetic" in words, " ".join(words)
    small = SMALL[:4] if drawn else [] if {"--trial", "analyze", "sweep"} & {*words} else ["--trial", "0"]
    if "resnet" in text or "transreid" in text or "--backbone" not in words:
        small = [*small, "--set", f"backbone.epochs={4 if 'lrar' in words else 1}"]  # LRAR trains in four phases
    if "--fit-on" in words and drawn:
        small = [*small, *(word.replace("dataset.", "partner.") for word in SMALL[:4])]
    if "inner=vpfa" in text:
        small = [*small, *(word.replace("vpfa.", "match-rate.inner.") for word in TINY_VPFA)]
    elif "vpfa" in text:
        small = [*small, *TINY_VPFA]
    return [*words, *small]


_FINE = {"doctor": (0, 1)}  # what it finds is the machine's


class Session:
    """A reader who follows a page in a folder.

    Args:
        install: called where the page installs one of its new plugins.
    """

    def __init__(self, install: Callable[[], None]) -> None:
        self._install = install
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""

    def follow(self, example: Example) -> None:
        """Do what the example shows."""
        if example.file:
            path = Path(example.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(example.text, encoding="utf-8")
        elif example.only_read:
            if example.language == "python":
                compile(example.text, example.place, "exec")
        elif example.language == "sh":
            for line in example.lines:
                self._do(line, example.place)
        elif example.language in _PROGRAMS:
            self._hand_over(example)
        elif example.language == "python":
            exec(compile(example.text, example.place, "exec"), self._names)
        elif example.language == "text":
            assert _spaced(example.text) in _spaced(self._printed), self._printed

    def _hand_over(self, example: Example) -> None:
        """Let the program of another language do it, if there is one; else write what the page says that it writes."""
        program, option = _PROGRAMS[example.language]
        if found := shutil.which(program):
            done = subprocess.run([found, option, example.text], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{example.place}\n{done.stdout}{done.stderr}"
        else:
            _write_in_place_of(example.language)

    def _do(self, line: str, place: str) -> None:
        for part in line.split(" && "):
            command, _, target = (text.strip() for text in part.partition(">"))
            if _NO_IMAGES.match(command):
                parse(command)
                continue
            words = [found for word in shlex.split(command) for found in _expanded(word)]
            if words[:3] == ["pip", "install", "-e"]:
                self._install()
                continue
            code, output, notes = _done(words)
            self._printed = output + notes
            assert code in _FINE.get(words[1], (0,)), f"{place}: {line}\n{self._printed}"
            if target:
                Path(target).write_text(output, encoding="utf-8")


def _write_in_place_of(language: str) -> None:
    """Files with the names, keys and memory order of those that the page's program writes."""
    sides = {side: np.asfortranarray(np.random.default_rng(0).normal(size=(6, 16))) for side in ("query", "gallery")}
    pids = np.array([1, 1, 2, 2, 3, 3])
    if language == "matlab":
        both = {f"{side}_{key}": value for side, x in sides.items() for key, value in (("f", x), ("label", pids[None]))}
        scipy.io.savemat("features.mat", both | {"query_cam": np.ones((1, 6)), "gallery_cam": np.full((1, 6), 2.0)})
        return
    for camid, (side, x) in enumerate(sides.items(), start=1):
        if language == "julia":
            np.savez(f"fromJulia_{side[0]}.npz", features=x, pids=pids, camids=np.full(6, camid))
        else:
            np.save(f"fromR_{side[0]}.npy", x.astype(np.float32, order="F"))
            lines = ['"pid","camid"', *(f"{pid},{camid}" for pid in pids)]
            Path(f"fromR_{side[0]}.csv").write_text("\n".join(lines) + "\n")


def _done(words: list[str]) -> tuple[int, str, str]:
    """Exit code, output and notes of a command; those of crbench run in this process."""
    if words[0] != "crbench":
        words = [sys.executable if word == "python" else word for word in words]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr
    output, notes = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(notes):
        code = invoke(as_small(words[1:]))
    return code, output.getvalue(), notes.getvalue()


def _expanded(word: str) -> Iterator[str]:
    """What a shell makes of a word: home folders and the names of files."""
    word = os.path.expanduser(word)  # noqa: PTH111
    found = sorted(glob.glob(word)) if "*" in word else []  # noqa: PTH207
    yield from found or [word]


def _spaced(text: str) -> str:
    return " ".join(text.split())

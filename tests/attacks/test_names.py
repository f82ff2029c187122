"""Names and words that mean harm: what a terminal, a shell or a spreadsheet would obey is shown or refused."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from crbench.cli import invoke
from crbench.registry import discovery

NAMES = {
    "terminal": "\x1b[31m\x1b]0;owned\x07",
    "lines": "a\nb\rc",
    "right-to-left": "\u202egpj.exe",
    "option": "-rf",
    "path": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "formula": "=cmd|' /C calc'!A0",
    "long": "x" * 5000,
    "markup": "<script>alert(1)</script>",
}
ROWS, PIDS = np.eye(3, 4, dtype=np.float32), np.array([1, 2, 3])


def said(capsys, arguments, code):
    """What a command printed, whose every character a terminal shows."""
    assert invoke(arguments) == code
    shown = capsys.readouterr()
    assert all(char == "\n" or char.isprintable() for char in shown.out + shown.err), ascii(shown.out + shown.err)
    assert "Traceback" not in shown.err
    return shown


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_keys_of_rows_do_not_harm_who_opens_the_table(capsys, tmp_path, name):
    keys = np.array([name, "b", "c"])
    for side in ("q", "g"):
        np.savez(f"{side}.npz", features=ROWS, pids=PIDS, keys=np.char.add(keys, "" if side == "q" else "2"))
    features = ["evaluate", "--query", "q.npz", "--gallery", "g.npz", "--set", "protocol.same_camera=keep"]
    said(capsys, [*features, "--per-query", "out.csv"], 0)
    with Path("out.csv").open(newline="") as file:
        (key, *_) = [row["key"] for row in csv.DictReader(file)]
    assert key == (f"'{name}" if name[0] in "=-" else name)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_file_of_such_a_name_is_named_in_one_line(capsys, name):
    file = f"{name.replace('/', '_')[:200]}.npz"
    Path(file).write_bytes(b"no archive")
    shown = said(capsys, ["evaluate", f"--query={file}", "--gallery", file], 3)
    assert shown.err.startswith("crbench: error: ")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("name", [*NAMES.values(), ""], ids=[*NAMES, "empty"])
def test_an_entry_point_of_such_a_name_ends_no_command(capsys, tmp_path, monkeypatch, name):
    """In a list as pip would leave it behind, but for names that pip refuses. torch itself cannot be imported then."""
    folder = tmp_path / "site" / "evil-1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(f"[crbench]\n{name} = evil_module_{len(name)}\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    discovery.installed.cache_clear()
    try:
        said(capsys, ["plugins"], 0)
        said(capsys, ["data", "info", "mlr-vipr"], 2)
    finally:
        discovery.installed.cache_clear()


@pytest.mark.parametrize("summary", NAMES.values(), ids=NAMES)
def test_what_a_plugin_says_of_itself_is_shown_and_not_obeyed(capsys, monkeypatch, summary):
    from crbench.api.entry import Entry
    from crbench.registry.discovery import Registered, Registry
    from crbench.registry.guard import Owner

    owner = Owner(plugin=summary, distribution=summary, version=summary)
    registered = Registered("aligner", Entry("evil", dict, summary), owner)
    real = discovery.discover()
    monkeypatch.setattr(discovery, "discover", lambda **_: Registry(entries=(*real.entries, registered), broken=()))
    discovery.installed.cache_clear()
    try:
        said(capsys, ["plugins"], 0)
    finally:
        discovery.installed.cache_clear()


NUL = "a\0b"
TEXTS = {
    "cache folder": ('dataset = "mlr-synthetic"\ncache_dir = "a\\u0000b"\n', 2),
    "output folder": ('dataset = "mlr-synthetic"\noutput = "a\\u0000b"\n', 2),
    "weights": ('dataset = "mlr-synthetic"\nweights = "a\\u0000b"\n', 2),
    "data set": ('dataset = "a\\u0000b"\n', 2),
    "file of a backbone": ('dataset = "mlr-synthetic"\nbackbone = "onnx:a\\u0000b"\n', 2),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_nul_in_a_config_file_is_refused(capsys, case):
    text, code = TEXTS[case]
    Path("run.toml").write_text(text)
    shown = said(capsys, ["run", "--config", "run.toml", "--trial", "0"], code)
    assert shown.err.count("error") == 1


def test_a_result_that_names_paths_writes_nowhere_else(capsys, tmp_path):
    """`upgrade` writes results again, under the name that they have."""
    golden = json.loads((Path(__file__).parents[1] / "golden" / "result-1.json").read_text())
    golden["dataset"] = "../../evil"
    golden["method"]["backbone"]["name"] = "/tmp/evil"
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "r.json").write_text(json.dumps(golden))
    before = sorted(os.walk(tmp_path))
    invoke(["results", "upgrade", "results"])
    assert sorted(os.walk(tmp_path)) == before

"""Lists of plugins and data sets as wide as the terminal."""

from __future__ import annotations

import pytest

from crbench.cli import invoke
from crbench.cli.lists import list_table

HEADERS = ("name", "what it is", "presets")
ROWS = [("one", "words of a line that is long", "a, b"), ("two", "few", "c\x1b[31m")]


def test_text_is_broken_and_columns_go_from_the_right():
    table = list_table(HEADERS, ROWS, kept=HEADERS[:2], text="what it is", width=32)
    assert max(map(len, table.splitlines())) <= 32
    assert table.splitlines()[2:5] == ["one     words of a line that is", "        long", "two     few"]
    said = "columns left out, as lines have 32 characters: presets (--wide shows them)"
    assert " ".join(table.split()).endswith(said)


def test_without_a_width_all_is_on_one_line():
    assert list_table(HEADERS, ROWS, kept=HEADERS[:2], text="what it is", width=None).splitlines()[2:] == [
        "one     words of a line that is long  a, b",
        "two     few                           c\\x1b[31m",
    ]


def test_nothing_to_list_is_a_table_too():
    words = list_table(HEADERS, [], kept=HEADERS, text="what it is", width=20).split()
    assert [word for word in words if word.strip("-")] == ["name", "what", "it", "is", "presets"]


@pytest.mark.parametrize(
    "command",
    ["plugins", "data list", "plugins check ridge", "plugins show vpfa", "plugins show lrar", "published", "doctor"],
)
def test_commands_fit_a_terminal_of_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    # a machine may have faults of its own, which `doctor` ends with
    assert invoke(command.split()) == 0 or command == "doctor"
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("command", [["plugins", "--wide"], ["data", "list", "--wide"], ["published", "--wide"]])
def test_all_is_shown_where_that_is_asked(command, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert invoke(command) == 0
    assert "(--wide" not in capsys.readouterr().out

"""Every command has an example that it understands, and an option means one thing wherever it stands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest

from crbench.cli import crbench as group
from crbench.cli import invoke


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(("crbench", *path)), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*path, name))


COMMANDS = dict(commands(group))


def examples(command: click.Command) -> list[str]:
    """The lines of a command's help that begin with the program's name, without what a shell or a reader takes."""
    lines = [line.strip() for line in (command.help or "").splitlines()]
    return [line.partition("  ")[0].partition(" >")[0] for line in lines if line.startswith("crbench ")]


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_every_command_has_an_example_of_itself(path: str) -> None:
    assert any(example.startswith(path) for example in examples(COMMANDS[path]))


@pytest.mark.parametrize("example", sorted({line for command in COMMANDS.values() for line in examples(command)}))
def test_examples_are_understood(example: str) -> None:
    words = shlex.split(example)[1:]
    command: click.Command = group
    while words and isinstance(command, click.Group):
        inner = command.get_command(click.Context(command), words[0])
        if inner is None:
            break
        command, words = inner, words[1:]
    assert command is not group
    command.make_context("crbench", words)  # which parses, and runs nothing


def options(name: str) -> dict[str, click.Parameter]:
    return {path: one for path, command in COMMANDS.items() for one in command.params if name in one.opts}


def test_o_is_where_a_command_writes() -> None:
    found = options("-o") | options("--output")
    assert {path for path, option in found.items() if sorted(option.opts) != ["--output", "-o"]} == set()
    assert all(isinstance(option.type, click.Path) for option in found.values())


def test_format_is_how_a_command_prints() -> None:
    assert options("--json") == {}
    for path, option in options("--format").items():
        assert isinstance(option.type, click.Choice), path
        assert (option.default or "table") == "table", path  # the leaderboard goes by the ending of its output
        assert {"table", "json"} <= {*option.type.choices} <= {"table", "github", "latex", "csv", "json", "html"}, path
        assert (option.help or "").startswith("What to print."), path  # type: ignore[attr-defined]


def test_help_of_every_command_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for path in COMMANDS:
        assert invoke([*path.split()[1:], "--help"]) == 0
        assert "Usage: crbench" in capsys.readouterr().out

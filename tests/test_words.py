"""Names and prose use the field's words: the private ones that crbench once had must not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

INSTEAD = {
    "doubt": "uncertain",
    "doubts": "uncertain pairs",
    "leap": "count_diffs, a difference array of counts",
    "leaps": "count_diffs, a difference array of counts",
    "asker": "query_task, a query-task pair",
    "askers": "query_tasks, the query-task pairs",
    "shelf": "stream, whose rows are prefetched and fetched",
    "shelves": "streams, whose rows are prefetched and fetched",
    "insane": "sanity_warnings, on rows that are no better than a sanity check",
    "meeting": "rendezvous",
    "meetings": "query_gallery_masks",
    "picture": "image",
    "pictures": "images",
    "tally": "accumulator",
    "wish": "request",
    "tame": "in_safe_range",
}
"""Private words, lower case, and what to say instead."""

PROSE = re.compile(r"\b(doubts|askers|leaps|shelves|meetings|tally|wish)\b", re.IGNORECASE)
"""Words that have no other use in the text of `PACKAGES`; "doubt" and "tame" may be plain English."""

PACKAGES = ("crbench/ranking", "crbench/evaluation", "crbench/harness", "crbench/metrics")


def sources(*folders: str) -> list[Path]:
    found = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert found
    return found


def in_all(paths: list[Path], rule: Callable[[str, str], list[str]]) -> list[str]:
    return [
        line for path in paths for line in rule(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]


def defined(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and names that a module defines: classes, functions, arguments, attributes, variables, imports as another
    name.
    """
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from ((node.lineno, alias.asname) for alias in aliases if alias.asname)


def words(name: str) -> list[str]:
    """The words of a snake_case or CamelCase name, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def private_names(path: str, text: str) -> list[str]:
    """A line for each private word in the name of a module, of its folders, or of what it defines."""
    names = [(1, part) for part in Path(path).with_suffix("").parts] + list(defined(ast.parse(text)))
    return [
        f"{path}:{line}: {word!r} in the name {name!r}; say {INSTEAD[word]!r}"
        for line, name in names
        for word in words(name)
        if word in INSTEAD
    ]


def private_prose(path: str, text: str) -> list[str]:
    """A line for each private word in a text: docstrings, comments, messages and kernels."""
    return [
        f"{path}:{number}: {found!r} in the text; say {INSTEAD[found.lower()]!r}"
        for number, line in enumerate(text.splitlines(), start=1)
        for found in PROSE.findall(line)
    ]


def test_no_name_has_a_private_word():
    assert in_all(sources("crbench", "plugins"), private_names) == []


def test_no_text_has_a_private_word():
    assert in_all(sources(*PACKAGES), private_prose) == []


@pytest.mark.parametrize(
    "source",
    [
        "class LeapCounts: ...",
        "class XLeap: ...",
        "def count_leap(): ...",
        "async def leap(): ...",
        "def count(x, *, leap=0): ...",
        "leap = 1",
        "leap: int = 1",
        "LEAP_SIZE = 1",
        "for item, _leap in []: ...",
        "self.leap = 1",
        "import numpy as leap",
        "with open() as leap: ...",
        "try: ...\nexcept ValueError as leap: ...",
        "match 1:\n    case leap: ...",
        "lambda leap: 0",
        "[leap for leap in ()]",
        "(leap := 1)",
    ],
)
def test_a_private_word_in_any_name_is_found(source):
    (found,) = private_names("crbench/new.py", source)
    line = source.count("\n", 0, source.lower().index("leap")) + 1
    assert found.startswith(f"crbench/new.py:{line}: 'leap' in the name '")
    assert found.endswith("; say 'count_diffs, a difference array of counts'")


def test_a_private_word_in_the_name_of_a_module_or_of_its_folder_is_found():
    assert private_names("crbench/shelf/wish.py", "") == [
        "crbench/shelf/wish.py:1: 'shelf' in the name 'shelf'; say 'stream, whose rows are prefetched and fetched'",
        "crbench/shelf/wish.py:1: 'wish' in the name 'wish'; say 'request'",
    ]


def test_a_private_word_within_another_word_is_none():
    assert private_names("crbench/wished.py", "leapfrog = undoubted = totally = Metamer = 1") == []


TEXTS = ['"""What\nthe askers ask."""', "x = 1\ny = 2  # Askers first", 'X = r"""\n/* askers */"""']


@pytest.mark.parametrize("text", TEXTS)
def test_a_private_word_in_a_text_is_found(text):
    (found,) = private_prose("crbench/ranking/new.py", text)
    assert found.lower() == ("crbench/ranking/new.py:2: 'askers' in the text; say 'query_tasks, the query-task pairs'")

"""Files of a schema version that is yet to come: read, kept whole, and ranked where their evaluation is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from result_facts import resealed

from crbench.errors import DataError
from crbench.leaderboard.build import build
from crbench.protocol import EVALUATION_VERSION
from crbench.protocol.rules import describe_rules, fingerprint_rules
from crbench.results import SCHEMA_VERSION, block_fingerprint, from_json, load_results, to_json

TEXT = (Path(__file__).parents[1] / "golden" / "result-2.json").read_text(encoding="utf-8")
NEWER = SCHEMA_VERSION + 1


def newer() -> dict[str, Any]:
    """The golden result as a later version may write it, with new fields at every depth."""
    content: dict[str, Any] = json.loads(TEXT) | {"schema_version": NEWER, "energy": {"kwh": 1.5}}
    content["method"]["aligner"]["licence"] = "Apache-2.0"
    content["trials"][1]["n_cameras"] = 6
    content["trials"][1]["by_rate"]["2"]["auc"] = 0.5
    content["metrics"]["R1"]["median"] = 0.5
    content["weights"][0]["url"] = "https://example.org"
    content["outcomes"]["bytes"] = 5
    return resealed(content)


def by_evaluation(version: int) -> dict[str, Any]:
    """`newer` by another evaluation version."""
    content = newer()
    rules = content["protocol"]["rules"]
    content["evaluation_version"] = version
    content["protocol"]["describe"] = describe_rules(rules, version)
    content["protocol"]["fingerprint"] = fingerprint_rules(rules, version)
    content["fingerprint"] = block_fingerprint(content["dataset"], rules, None, version)
    return resealed(content)


def write(folder: Path, *contents: dict[str, Any]) -> list[Path]:
    paths = [folder / f"{number}.json" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return paths


def test_a_newer_file_loads_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, *_ = write(tmp_path, newer(), newer(), json.loads(TEXT))
    assert len(load_results([tmp_path])) == 3
    (line,) = caplog.messages
    assert line.startswith(f"{first}: written by a newer crbench (schema version {NEWER}), as 1 others; fields that")


def test_files_of_this_version_load_without_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, json.loads(TEXT))
    load_results([tmp_path])
    assert caplog.messages == []


def test_what_is_not_known_is_kept_where_it_stood() -> None:
    result = from_json(json.dumps(newer()), "newer")
    assert json.loads(to_json(result)) == newer()
    assert result == from_json(to_json(result), "again")
    assert result.schema_version == NEWER


def test_unknown_fields_play_no_role_in_fingerprints() -> None:
    assert from_json(json.dumps(newer()), "newer").fingerprint == from_json(TEXT, "golden").fingerprint


def test_a_newer_file_is_ranked_where_its_evaluation_is_known() -> None:
    contents = newer(), by_evaluation(EVALUATION_VERSION + 1)
    known, unknown = (from_json(json.dumps(content), "newer") for content in contents)
    assert (known.rankable, unknown.rankable) == (True, False)
    assert [row.rank for block in build([known]).blocks for row in block.rows] == [1]
    assert [row.rank for block in build([unknown]).blocks for row in block.rows] == []


def test_a_rule_that_is_not_known_is_kept_where_it_was_not_asked_for() -> None:
    """An option at its default is in no fingerprint, so it is known that it changed nothing."""
    content = newer()
    content["protocol"]["rules"]["gallery_order"] = "none"
    content = resealed(content)
    result = from_json(json.dumps(content), "newer")
    assert "gallery_order" not in result.protocol.rules
    assert json.loads(to_json(result)) == content


def test_a_rule_that_is_not_known_and_was_asked_for_is_refused() -> None:
    content = newer()
    content["protocol"]["rules"]["gallery_order"] = "random"
    content["protocol"]["fingerprint"] = "a" * 12
    with pytest.raises(DataError, match=r"protocol\.fingerprint: .*; a newer crbench wrote it \(schema version 3\)"):
        from_json(json.dumps(content), "newer")


def _lacking(content: dict[str, Any]) -> None:
    del content["trials"][0]["split"]


def _edited(content: dict[str, Any]) -> None:
    content["metrics"]["R1"]["mean"] = 0.9


@pytest.mark.parametrize(("change", "message"), [(_lacking, "lacks split"), (_edited, r"metrics\.R1: mean 0\.9")])
def test_the_known_part_is_checked_as_ever(change: Callable[[dict[str, Any]], None], message: str) -> None:
    content = newer()
    change(content)
    with pytest.raises(DataError, match=rf"^newer: not a valid result: .*{message}.*; a newer crbench wrote it"):
        from_json(json.dumps(content), "newer")


def test_a_newer_file_that_was_edited_is_named() -> None:
    content = newer() | {"energy": {"kwh": 0.5}}
    with pytest.raises(DataError, match=r"^newer: edited after it was written"):
        from_json(json.dumps(content), "newer")


@pytest.mark.parametrize("content", [{}, {"protocol": 1}, {"trials": {"0": 1}}])
def test_what_is_no_result_is_named_in_any_version(content: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^newer: not a valid result: .*lacks"):
        from_json(json.dumps(content | {"schema_version": 99}), "newer")

"""What was verified of a result: kept apart from it, and only for the very content that was verified."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from result_facts import resealed

from crbench._version import __version__
from crbench.config.paths import evidence_root
from crbench.results import LEVELS, Evidence, Result, load_results
from crbench.results.evidence import find_evidence, keep_evidence
from crbench.results.folder import noted

GOLDEN = Path(__file__).parents[1] / "golden" / "result-2.json"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRBENCH_EVIDENCE", str(tmp_path / "evidence"))


def _load(path: Path) -> Result:
    (result,) = load_results([path])
    return result


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    path.write_bytes(GOLDEN.read_bytes())
    return path


def test_a_result_is_reported_until_something_is_verified(file: Path) -> None:
    assert _load(file).level == "reported"
    kept = noted(_load(file), "recomputed", "scores of 2 trials")
    assert (kept.level, _load(file).level) == ("recomputed", "recomputed")
    assert _load(file).evidence == kept.evidence


def test_the_file_of_the_result_is_left_alone(file: Path) -> None:
    before = file.read_bytes()
    noted(_load(file), "run here", "a run")
    assert file.read_bytes() == before


def test_a_level_is_raised_and_never_lowered(file: Path) -> None:
    for level, stands in (("re-evaluated", "re-evaluated"), ("recomputed", "re-evaluated"), ("run here", "run here")):
        assert noted(_load(file), level, "").level == stands
    assert _load(file).level == LEVELS[-1]


def test_content_that_was_edited_afterwards_has_no_level(file: Path) -> None:
    noted(_load(file), "run here", "a run")
    content = json.loads(file.read_text())
    file.write_text(json.dumps(resealed({**content, "command": "another"})))
    assert _load(file).level == "reported"


def test_a_result_cannot_claim_a_level(file: Path) -> None:
    """Neither by a field, which is refused as unknown, nor by a record that lies beside it or is that of another."""
    content = json.loads(file.read_text())
    claimed = noted(_load(file), "run here", "a run").evidence
    other = file.with_name("other.json")
    other.write_text(json.dumps(resealed({**content, "command": "another"})))
    result = _load(other)
    assert claimed is not None
    assert result.content_sha256 is not None
    other.with_suffix(".evidence").write_text(json.dumps({"level": "run here"}))
    place = evidence_root() / result.content_sha256[:2] / f"{result.content_sha256}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(next(evidence_root().rglob(f"{claimed.content_sha256}.json")).read_bytes())
    assert _load(other).level == "reported"
    other.write_text(json.dumps(resealed({**content, "evidence": {"level": "run here"}})))
    assert load_results([file.parent])[0].level == "run here"
    assert "unknown field" in _refused(other)


def test_a_file_that_says_to_be_of_version_1_cannot_claim_the_digest_of_another(file: Path) -> None:
    noted(_load(file), "run here", "a run")
    content = json.loads(file.read_text())
    forged = file.with_name("forged.json")
    forged.write_text(json.dumps({**content, "schema_version": 1, "command": "another"}))
    assert "edited after it was written" in _refused(forged)
    forged.write_text(json.dumps(resealed({**content, "schema_version": 1, "command": "another"})))
    assert _load(forged).level == "reported"


def _refused(path: Path) -> str:
    from crbench.errors import DataError

    with pytest.raises(DataError) as error:
        load_results([path])
    return str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"level": "run here"}', "\x00" * 9])
def test_a_damaged_record_counts_as_none(text: str, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    noted(_load(file), "run here", "a run")
    (record,) = evidence_root().rglob("*.json")
    record.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert _load(file).level == "reported"
    assert str(record) in caplog.text
    assert len(caplog.messages) == 1
    assert "\n" not in caplog.messages[0]


def test_the_record_tells_version_date_and_difference(tmp_path: Path) -> None:
    kept = keep_evidence(Evidence(content_sha256="a" * 64, level="recomputed", compared="x", largest_difference=0.25))
    assert find_evidence("a" * 64, evidence_root()) == kept
    assert kept.created.endswith("+00:00")
    assert kept.summary == f"recomputed: x, largest difference 25 points ({kept.created[:10]}, crbench {__version__})"
    with pytest.raises(ValueError, match="level"):
        Evidence(content_sha256="a" * 64, level="published", compared="")  # type: ignore[arg-type]

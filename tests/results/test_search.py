"""Folders of results in which other files lie too."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from crbench.cli import invoke
from crbench.errors import DataError
from crbench.results import from_json, load_results, to_json
from crbench.results.folder import find_result, result_path

TEXT = (Path(__file__).parents[1] / "golden" / "result-2.json").read_text(encoding="utf-8")

OTHERS: dict[str, bytes] = {
    "empty.json": b"",
    "half.json": TEXT[: len(TEXT) // 2].encode(),
    "package.json": b'{"name": "viewer", "version": "1.0.0"}',
    "list.json": b"[1, 2]",
    "number.json": b"3",
    "marked.json": b"\xef\xbb\xbf{}",
    "marked-empty.json": b"\xef\xbb\xbf",
    "latin.json": b'{"name": "caf\xe9"}',
    "image.json": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "deep.json": b"[" * 100_000,
    "digits.json": b"9" * 10_000,
    "nan.json": b'{"schema_version": NaN}',
    "version.json": b'{"schema_version": "2"}',
    "fields.json": b'{"schema_version": 2, "cell_id": "0"}',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one result and many other files."""
    for name, content in OTHERS.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "sound.json").write_text(TEXT, encoding="utf-8")
    return tmp_path


def test_other_files_are_left_out_and_all_listed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (result,) = load_results([folder])
    assert result == from_json(TEXT, "golden")
    for name in (*OTHERS, "link.json"):
        assert caplog.text.count(str(folder / name)) == 1, name
    assert "folder.json" not in caplog.text
    assert len(caplog.messages) <= 11
    assert all(message.startswith("left out") and "\n" not in message for message in caplog.messages)


def test_strict_refuses_them_in_one_line(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_results([folder], strict=True)
    for name in OTHERS:
        assert str(folder / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert load_results([folder / "sound.json"], strict=True)


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_that_is_named_must_be_a_result(folder: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: "):
        load_results([folder, folder / name])


def test_rules_of_version_1_that_no_protocol_has_are_refused(tmp_path: Path) -> None:
    content = json.loads((Path(__file__).parents[1] / "golden" / "result-1.json").read_bytes())
    content["protocol"]["rules"]["query_rates"] = [None, {}]
    (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.json: not a valid result"):
        load_results([tmp_path / "a.json"])


def test_nothing_is_said_of_deleting_files(folder: Path) -> None:
    for name in OTHERS:
        with pytest.raises(DataError) as caught:
            load_results([folder / name])
        assert "delete" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_results_in_every_encoding_of_json_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_bytes(TEXT.encode(encoding))
    assert load_results([tmp_path]) == [from_json(TEXT, "golden")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_is_not_waited_for(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(folder / "fifo.json")
    assert len(load_results([folder])) == 1
    assert "fifo.json: cannot be read as a result (it is no regular file)" in caplog.text
    with pytest.raises(DataError, match="no regular file"):
        load_results([folder / "fifo.json"])


def test_a_board_in_the_folder_breaks_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sound.json").write_text(TEXT, encoding="utf-8")
    board = ["leaderboard", str(tmp_path), "--format"]
    assert invoke([*board, "json", "-o", str(tmp_path / "board.json")]) == 0
    first = (tmp_path / "board.json").read_text(encoding="utf-8")
    assert invoke([*board, "json", "-o", str(tmp_path / "board.json")]) == 0
    assert (tmp_path / "board.json").read_text(encoding="utf-8") == first
    err = capsys.readouterr().err
    assert err.count("crbench: left out: ") == 1
    assert "board.json: not a crbench result" in err
    assert invoke([*board, "table", "--strict"]) == 3
    assert "board.json" in capsys.readouterr().err
    (tmp_path / "board.json").unlink()
    assert invoke([*board, "table", "--strict"]) == 0


def test_a_damaged_result_does_not_stop_the_run_that_would_find_it(tmp_path: Path) -> None:
    result = from_json(TEXT, "golden")
    path = result_path(tmp_path, result)
    path.parent.mkdir(parents=True)
    path.write_text(to_json(result)[:1000], encoding="utf-8")
    said: list[str] = []
    assert find_result(tmp_path, result.cell_id, {}, outcomes=False, warn=said.append) is None
    (line,) = said
    assert line.startswith(f"{path}: not valid JSON")
    assert line.endswith("; the cell is run again")
    path.write_text(to_json(result), encoding="utf-8")
    assert find_result(tmp_path, result.cell_id, {}, outcomes=False, warn=said.append) == result


def test_other_files_do_not_stop_an_upgrade(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = (Path(__file__).parents[1] / "golden" / "result-1.json").read_bytes()
    (folder / "z.json").write_bytes(old)
    assert invoke(["results", "upgrade", str(folder), "--strict"]) == 3
    assert json.loads((folder / "z.json").read_bytes())["schema_version"] == 2
    (folder / "z.json").write_bytes(old)
    assert invoke(["results", "upgrade", str(folder)]) == 0
    err = capsys.readouterr().err
    assert err.endswith("crbench: 2 results, 1 upgraded\n")
    assert str(folder / "package.json") in err
    assert {name: (folder / name).read_bytes() for name in OTHERS} == OTHERS


def test_a_file_that_was_copied_over_another_cell_is_not_its_result(tmp_path: Path) -> None:
    result = from_json(TEXT, "golden")
    path = tmp_path / "data" / "method" / "20261129T000000Z_00000000000a.json"
    path.parent.mkdir(parents=True)
    path.write_text(to_json(result))
    said: list[str] = []
    assert find_result(tmp_path, "00000000000a", {}, outcomes=False, warn=said.append) is None
    assert said == [f"{path}: holds cell {result.cell_id}, not that of its name; the cell is run again"]

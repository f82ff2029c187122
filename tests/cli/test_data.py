"""``crbench data`` from the user's side: what is printed, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import builders
import pytest

from crbench.cli import invoke

NAMES = {
    "mlr-market1501",
    "mlr-cuhk03",
    "mlr-viper",
    "mlr-caviar",
    "mlr-dukemtmc",
    "mlr-msmt17",
    "market1501",
    "caviar",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    builders.build_market1501(folder, people=4)
    monkeypatch.setenv("CRBENCH_DATA", str(folder))
    return folder


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)
    assert invoke(["data", "list", "--format", "json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} >= NAMES


def test_list_says_what_is_on_disk(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.delenv("CRBENCH_ACCEPT_DUKEMTMC", raising=False)
    assert invoke(["data", "list", "--format", "json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mlr-market1501"]["on_disk"] == "found"
    assert Path(rows["mlr-market1501"]["folder"]).is_relative_to(root)
    assert (rows["mlr-viper"]["on_disk"], rows["mlr-viper"]["folder"]) == ("not found", None)
    assert rows["mlr-dukemtmc"]["on_disk"] == "set CRBENCH_ACCEPT_DUKEMTMC=1 to use it"
    assert (rows["mlr-synthetic"]["on_disk"], rows["mlr-synthetic"]["folder"]) == ("", None), "it is drawn"
    assert invoke(["data", "list", "--data-root", str(root / "elsewhere")]) == 0
    shown = capsys.readouterr()
    assert str(root) not in shown.out
    assert shown.out.count("not found") >= 4
    assert str(root / "elsewhere") in shown.err


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for name in ("ann", "bob", "cem", "dana"):
        for number in range(2):
            builders.save(tmp_path / "people" / name / f"{name}{number}.png")
    return tmp_path / "people"


def test_a_folder_of_the_users(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "list"]) == 0
    assert "folder:PATH" in capsys.readouterr().out
    assert invoke(["data", "info", f"folder:{people}"]) == 0
    assert f"your folder {people}, read as a folder for each person" in capsys.readouterr().out
    assert invoke(["data", "verify", f"folder:{people}"]) == 0
    shown = capsys.readouterr().out
    assert "official" not in shown
    assert "near copies" in shown
    assert shown.endswith("sound\n")
    (people / "ann" / "ann0.png").write_bytes(b"")
    assert invoke(["data", "verify", f"folder:{people}", "--format", "json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert len(found["unreadable"]) == 1
    assert found["card"]["exact duplicates"] == 0
    assert invoke(["data", "path", f"folder:{people}"]) == 0
    assert capsys.readouterr().out == f"{people}\n"


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "info", "mlr-market1501"]) == 0
    shown = capsys.readouterr().out
    for part in ("12,936 train images", "bounding_box_train/", "Zheng", "privacy", "mlr-vpfa-code"):
        assert part in shown
    assert invoke(["data", "info", "mlr-cuhk03", "--format", "json", "--set", "dataset.boxes=labeled"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["counts"]["images"] == 14096
    assert next(iter(facts["protocols"])) == "mlr"


def test_info_of_the_withdrawn_set_tells_the_notice(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "info", "mlr-dukemtmc"]) == 0
    shown = capsys.readouterr().out
    assert "withdrawn by Duke University" in shown
    assert "CRBENCH_ACCEPT_DUKEMTMC=1" in shown


def test_verify_differs_from_the_official_counts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "verify", "mlr-market1501"]) == 3
    shown = capsys.readouterr().out
    assert "differs" in shown
    assert "Thumbs.db" in shown
    assert shown.rstrip().endswith("not as published")
    assert invoke(["data", "verify", "mlr-market1501", "--format", "json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["found"]["train images"] == 12
    assert found["ok"] is False


def test_verify_complete(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builders.build_caviar(root, paired=50, single=22)
    assert invoke(["data", "verify", "caviar"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("complete")


def test_the_embedded_data_set_is_verified_too(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--set", "dataset.train_identities=1", "--set", "dataset.test_identities=1"]
    assert invoke(["data", "verify", "mlr-synthetic", *small]) == 0
    assert capsys.readouterr().out.rstrip().endswith("complete")


def test_missing_data_and_withheld_opt_in_end_with_3(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRBENCH_ACCEPT_DUKEMTMC", raising=False)
    assert invoke(["data", "verify", "mlr-viper"]) == 3
    assert "no copy of VIPeR" in capsys.readouterr().err
    assert invoke(["data", "path", "mlr-dukemtmc"]) == 3
    assert "without the consent" in capsys.readouterr().err


def test_path(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "path"]) == 0
    assert capsys.readouterr().out.strip() == str(root)
    assert invoke(["data", "path", "market1501"]) == 0
    assert capsys.readouterr().out.strip() == str(root / "market1501" / "Market-1501-v15.09.15")
    assert invoke(["data", "path", "--data-root", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path)


def test_export(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    command = ["data", "export", "mlr-market1501", "-o", str(output), "--protocol", "mlrpro", "--trial", "1"]
    assert invoke(command) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(output)
    assert "12 train, 6 query, 12 gallery" in shown.err
    assert (output / "bounding_box_train_7x").is_dir()
    assert invoke(command) == 2
    assert "is not an empty folder" in capsys.readouterr().err


def test_export_with_changed_rules(root: Path, tmp_path: Path) -> None:
    builders.build_viper(root)
    output = tmp_path / "out"
    changed = ["--set", "protocol.identities=random:4/3", "--set", "protocol.query_rates=[4]"]
    assert invoke(["data", "export", "mlr-viper", "-o", str(output), *changed]) == 0
    names = [path.name for path in (output / "query").iterdir()]
    assert len(names) == 3
    assert all(name.endswith("_4x.png") for name in names)


def test_preview(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "sheet.png"
    assert invoke(["data", "preview", "mlr-market1501", "-o", str(output), "--people", "2"]) == 0
    assert output.read_bytes().startswith(b"\x89PNG")
    assert invoke(["data", "preview", "mlr-market1501", "-o", str(tmp_path / "sheet.xyz")]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["info", "mlr-markt1501"], 2, "mlr-market1501"),
        (["info", "mlr-cuhk03", "--set", "dataset.boxes=hand"], 2, "is not one of detected"),
        (["info", "mlr-cuhk03", "--set", "dataset.box=hand"], 2, "boxes"),
        (["info", "mlr-cuhk03", "--set", "aligner.boxes=hand"], 2, "PART one of dataset, protocol, mlr-cuhk03"),
        (["info", "mlr-cuhk03", "--set", "boxes"], 2, "PART.NAME=VALUE"),
        (["export", "mlr-market1501", "-o", "out", "--protocol", "x"], 2, "no protocol 'x'; known: mlr"),
        (["export", "mlr-market1501", "-o", "out", "--trial", "10"], 2, "trial 10 is not one of 0 to 9"),
        (["export", "mlr-market1501", "-o", "out", "--set", "protocol.kernel=cubic"], 2, "kernel"),
        (["export", "mlr-market1501", "-o", "out", "--set", "protocol.kernle=box"], 2, "kernle"),
        (["export", "mlr-market1501", "-o", "out", "--set", "protocol.trials=many"], 2, "trials"),
        (["export", "mlr-market1501"], 2, "--output"),
        (["preview", "mlr-market1501", "-o", "a.png", "--people", "0"], 2, "people"),
    ],
)
def test_bad_wishes(
    arguments: list[str],
    code: int,
    message: str,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(["data", *arguments]) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["list"], ["info", "mlr-cuhk03"], ["path"]])
def test_torch_is_not_imported(arguments: list[str]) -> None:
    code = (
        "import sys; from crbench.cli import invoke\n"
        f"code = invoke(['data', *{arguments!r}])\n"
        "heavy = {'torch', 'timm', 'cupy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def test_a_note_is_a_line_of_crbench(tmp_path, capsys):
    for name in ("ann", "bob", "cem", "dana"):
        for number in range(2):
            builders.save(tmp_path / "people" / name / f"{number}.png")
    assert invoke(["data", "export", f"folder:{tmp_path / 'people'}", "-o", str(tmp_path / "out")]) == 0
    first, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("crbench: ")
    assert "nothing says which camera took an image" in first

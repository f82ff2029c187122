"""The exported folder: Market layout, LR suffixes, the very pixels of the protocol, all or nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import builders
import numpy as np
import pytest
from crbench_mlr import caviar, market1501, viper
from PIL import Image

from crbench.data.degrade import degrade
from crbench.errors import ConfigError, DataError, SystemFaultError
from crbench.images.export import export


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    builders.build_market1501(folder, people=4)
    return folder


def _rows(output: Path) -> list[dict[str, str]]:
    with (output / "manifest.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_layout_and_names(root: Path, tmp_path: Path) -> None:
    dataset, output = market1501.mlr(), tmp_path / "out" / "mlr"
    split = export(dataset, dataset.protocols["mlr"], 0, root=root, output=output)
    names = {
        folder.name: sorted(path.name for path in folder.iterdir()) for folder in output.iterdir() if folder.is_dir()
    }
    assert set(names) == {
        "bounding_box_train",
        "bounding_box_train_2x",
        "bounding_box_train_3x",
        "bounding_box_train_4x",
        "query",
        "bounding_box_test",
    }
    assert len(names["bounding_box_train"]) == len(names["bounding_box_train_3x"]) == len(split.train) == 12
    assert names["bounding_box_train"][0] == "0001_c1s1_000001_00.png"
    assert names["bounding_box_train_3x"][0] == "0001_c1s1_000001_00_3x.png"
    assert len(names["query"]) == len(split.query) == 6
    assert all(name[-7:] in ("_2x.png", "_3x.png", "_4x.png") for name in names["query"])
    assert len(names["bounding_box_test"]) == len(split.gallery) == 12
    assert [path for path in output.parent.iterdir() if path != output] == []


@pytest.mark.parametrize("name", ["mlr", "mlr-vpfa-code"])
def test_files_hold_the_pixels_that_the_protocol_shows(name: str, root: Path, tmp_path: Path) -> None:
    dataset = market1501.mlr()
    protocol = dataset.protocols[name]
    split = export(dataset, protocol, 0, root=root, output=tmp_path / "out")
    rows = _rows(tmp_path / "out")
    assert len(rows) == len(split.train) * 4 + len(split.query) + len(split.gallery)
    for row in rows:
        stored = dataset.read(row["key"], root=root).image
        shown = degrade(stored, float(row["rate"]) / float(row["native_rate"]), protocol.images)
        with Image.open(tmp_path / "out" / row["path"]) as written:
            assert np.array_equal(written, shown)
        assert row["path"].endswith("jpg") == (name == "mlr-vpfa-code")


def test_manifest_and_statement(root: Path, tmp_path: Path) -> None:
    dataset = market1501.mlr()
    protocol = dataset.protocols["mlr"]
    split = export(dataset, protocol, 3, root=root, output=tmp_path / "out")
    query = {row["key"]: row for row in _rows(tmp_path / "out") if row["role"] == "query"}
    for key, pid, rate in zip(split.query.keys, split.query.pids, split.query.rates, strict=True):
        assert query[key]["rate"] == f"{rate:g}"
        assert query[key]["path"].startswith(f"query/{pid:04d}_c1s1_")
    statement = (tmp_path / "out" / "protocol.txt").read_text()
    assert f"split checksum: {split.checksum}\n" in statement
    assert f"fingerprint: {protocol.fingerprint()}\n" in statement
    assert "trial: 3\n" in statement


def test_distractors_and_multi_digit_cameras(root: Path, tmp_path: Path) -> None:
    dataset = market1501.standard()
    export(dataset, dataset.protocols["standard"].changed(junk="keep"), 0, root=root, output=tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out" / "bounding_box_test").iterdir())
    assert names[0].startswith("-1_c1s1_")
    assert sum(name.startswith("0000_c") for name in names) == 3
    assert not any("x." in name for name in names)


def test_native_lr_images_are_written_as_they_are(tmp_path: Path) -> None:
    builders.build_caviar(tmp_path, paired=4, single=0)
    dataset = caviar.mlr()
    protocol = dataset.protocols["mlr"].changed(identities="random:2/2")
    split = export(dataset, protocol, 0, root=tmp_path, output=tmp_path / "out")
    for row in _rows(tmp_path / "out"):
        if row["role"] == "query":
            assert row["path"].endswith("_2x.png")
            with Image.open(tmp_path / "out" / row["path"]) as written:
                assert np.array_equal(written, dataset.read(row["key"], root=tmp_path).image)
    assert len(split.query) == 20


def test_empty_folder_is_filled_others_are_refused(root: Path, tmp_path: Path) -> None:
    dataset = market1501.mlr()
    empty, full, file = tmp_path / "empty", tmp_path / "full", tmp_path / "file"
    empty.mkdir()
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    file.write_text("keep")
    export(dataset, dataset.protocols["mlr"], 0, root=root, output=empty)
    for output in (full, file):
        with pytest.raises(ConfigError, match="is not an empty folder; nothing was written"):
            export(dataset, dataset.protocols["mlr"], 0, root=root, output=output)
    assert [path.name for path in full.iterdir()] == ["mine.txt"]


def test_nothing_is_left_of_a_failed_export(root: Path, tmp_path: Path) -> None:
    image = next((root / "market1501").rglob("query/0002_c1*"))
    image.write_bytes(b"")
    dataset, parent = market1501.mlr(), tmp_path / "exports"
    parent.mkdir()
    with pytest.raises(DataError, match="empty file"):
        export(dataset, dataset.protocols["mlr"], 0, root=root, output=parent / "out")
    assert list(parent.iterdir()) == []


def test_parent_that_is_a_file(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    dataset = market1501.mlr()
    with pytest.raises(SystemFaultError, match="a file is where a folder should be"):
        export(dataset, dataset.protocols["mlr"], 0, root=root, output=tmp_path / "file" / "out")


def test_export_is_the_same_twice(tmp_path: Path) -> None:
    builders.build_viper(tmp_path)
    dataset = viper.mlr()
    protocol = builders.small(dataset.protocols["mlr-vpfa-code"])
    contents = []
    for name in ("a", "b"):
        export(dataset, protocol, 1, root=tmp_path, output=tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append([(path.relative_to(tmp_path / name), path.read_bytes()) for path in files])
    assert contents[0] == contents[1]

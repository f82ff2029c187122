"""Helpers for data sets, on image files in a folder."""

from __future__ import annotations

import re
from pathlib import Path

import PIL.Image
import pytest

from crbench.api import (
    DatasetInfo,
    ImageFile,
    ImageFiles,
    count_images,
    digest_images,
    image_digest,
    list_images,
    match_images,
    no_progress,
    verify_images,
)
from crbench.errors import DataError

NAME = re.compile(r"(?P<pid>\d)_c(?P<camid>\d)\.png")
INFO = DatasetInfo(name="shop", title="Two cameras in a shop", counts={"images": 4, "identities": 2, "cameras": 2})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for pid in (1, 2):
        for camid in (1, 2):
            image = PIL.Image.new("RGB", (8, 16), (50 * pid, 90 * camid, 0))
            image.save(tmp_path / f"{pid}_c{camid}.png")
    return tmp_path


def scan(folder: Path) -> ImageFiles:
    matches, _ = match_images(folder, NAME, "1_c1.png")
    return ImageFiles([ImageFile(path.name, path, int(m["pid"]), int(m["camid"])) for path, m in matches])


def test_other_files_are_listed_apart(folder: Path) -> None:
    for name in ("Thumbs.db", "._1_c1.png", "holiday.png"):
        (folder / name).write_bytes(b"")
    (folder / "more").mkdir()
    found, others = list_images(folder)
    assert [path.name for path in found] == ["1_c1.png", "1_c2.png", "2_c1.png", "2_c2.png", "holiday.png"]
    assert [path.name for path in others] == ["._1_c1.png", "Thumbs.db"]
    matches, others = match_images(folder, NAME, "1_c1.png")
    assert [match["pid"] for _, match in matches] == ["1", "1", "2", "2"]
    assert [path.name for path in others] == ["._1_c1.png", "Thumbs.db", "holiday.png"]


def test_names_of_another_data_set_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no image is named like 1_c1\.jpg; the first is 1_c1\.png"):
        match_images(folder, re.compile(r"\d_c\d\.jpg"), "1_c1.jpg")


def test_ready_made_lr_copies_are_refused(folder: Path) -> None:
    (folder / "1_c1_2x.png").write_bytes(b"")
    with pytest.raises(DataError, match="ready-made LR copy"):
        list_images(folder)


def test_images_are_read_and_told_apart_by_key(folder: Path) -> None:
    files = scan(folder)
    assert files.image("2_c1.png").image.getpixel((0, 0)) == (100, 90, 0)
    assert files.image("2_c1.png").digest == files.digest("2_c1.png")
    keys = ["2_c1.png", "1_c1.png", "2_c1.png"]
    digests = digest_images(files, keys)
    assert digests.tolist() == [image_digest((folder / key).read_bytes()) for key in keys]
    with pytest.raises(DataError, match="there is no image 'x' in this data set"):
        files.image("x")


def test_a_digest_is_that_of_the_file_as_it_is_now(folder: Path) -> None:
    files, path = scan(folder), folder / "1_c1.png"
    before = files.digest("1_c1.png")
    path.write_bytes((folder / "2_c2.png").read_bytes())
    assert files.digest("1_c1.png") == files.image("1_c1.png").digest == files.digest("2_c2.png") != before


def test_official_folders_are_counted_apart() -> None:
    files = [
        ImageFile(str(number), Path(str(number)), pid, camid, role)
        for number, (pid, camid, role) in enumerate(
            [
                (1, 1, "train"),
                (2, 1, "query"),
                (2, 2, "gallery"),
                (-1, 2, "gallery"),
                (0, 3, "gallery"),
                (5, 3, "gallery"),
            ]
        )
    ]
    assert count_images(ImageFiles(files).index("shop")) == {
        "train images": 1,
        "train identities": 1,
        "query images": 1,
        "gallery images": 3,
        "junk images": 1,
        "test identities": 1,
        "distractor identities": 1,
        "cameras": 3,
    }


def test_a_whole_copy_is_verified(folder: Path) -> None:
    files = scan(folder)
    found = verify_images(INFO, folder, files, files.index("shop"), track=no_progress)
    assert found.ok
    assert found.found == INFO.counts
    assert found.duplicate == found.unreadable == ()


def test_damaged_and_equal_images_are_named(folder: Path) -> None:
    (folder / "1_c1.png").write_bytes((folder / "2_c2.png").read_bytes())
    (folder / "1_c2.png").write_bytes(b"no image")
    files = scan(folder)
    found = verify_images(INFO, folder, files, files.index("shop"))
    assert not found.ok
    assert found.duplicate == ("2_c2.png = 1_c1.png",)
    assert len(found.unreadable) == 1
    assert "1_c2.png" in found.unreadable[0]

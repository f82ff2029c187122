"""Images of queries on the page: asked for, allowed, and no more of the data than that."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from leaderboard.conftest import Make
from PIL import Image

from crbench.cli import invoke
from crbench.images.tile import tile
from crbench.report.strips import _kinds
from crbench.results import to_json

ASKED = ["--strips", "1", "--i-may-publish-these-images", "--cache-dir", "cache"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``results`` of two aligners on a few drawn people, and the cache behind them."""
    folder = tmp_path_factory.mktemp("strips")
    small = ("dataset.train_identities=6", "dataset.test_identities=5", "backbone.epochs=1")
    sets = [word for setting in small for word in ("--set", setting)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CRBENCH_WEIGHTS", str(folder / "weights"))
        patch.setenv("CRBENCH_CACHE", str(folder / "cache"))
        patch.setenv("CRBENCH_EVIDENCE", str(folder / "evidence"))
        arguments = ["run", "-q", "--dataset", "mlr-synthetic", "--aligner", "ridge", "--trial", "0", *sets]
        assert invoke([*arguments, "--cache-dir", "cache"]) == 0
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(folder / "weights"))
    return folder


def images(page: str) -> list[Image.Image]:
    uris = re.findall(r'<img src="data:image/jpeg;base64,(.*?)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(uri))) for uri in uris]


def test_queries_are_shown_with_what_both_methods_find(here: Path) -> None:
    assert invoke(["report", *ASKED, "-o", "page.html"]) == 0
    text = (here / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.faults == []
    assert text.count('<div class="strip">') == 3
    assert len(images(text)) == 3 * (1 + 2 * 8)
    assert {image.size for image in images(text)} == {(64, 128)}
    assert "img-src data:" in text
    marks = re.findall(r'<li class="(right|wrong)">.*?alt="place (\d): (.*?)"><span aria-hidden="true">(.) \2<', text)
    assert len(marks) == 3 * 2 * 8
    assert {(kind, who, mark) for kind, _, who, mark in marks} == {
        ("right", "the person", "✓"),
        ("wrong", "another person", "✗"),
    }
    assert "No real person is shown" in text
    assert not re.search(r"test/\d|_c\d_|\.png", text), "names of images stay at home"


def test_tops_are_blurred_on_request_and_the_page_says_what_that_means(here: Path) -> None:
    assert invoke(["report", *ASKED, "-o", "plain.html"]) == 0
    assert invoke(["report", *ASKED, "--blur-faces", "-o", "blurred.html"]) == 0
    plain, blurred = ((here / f"{name}.html").read_text(encoding="utf-8") for name in ("plain", "blurred"))
    assert "nothing looked for faces, so some may be seen. Terms of the data: " in blurred
    assert "nothing looked for faces" not in plain
    for one, other in zip(images(plain), images(blurred), strict=True):
        difference = np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).max(axis=(1, 2))
        assert difference[:28].max() > 8
        assert difference[40:].max() == 0


def test_without_consent_nothing_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["report", "--strips", "1", "-o", "none.html"]) == 2
    assert "give --i-may-publish-these-images if you may" in capsys.readouterr().err
    assert not (here / "none.html").exists()


def test_a_single_method_has_no_queries_in_images(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["report", *ASKED, "--aligner", "none", "-o", "one.html"]) == 0
    assert "no queries in images, as no table has two ranked methods" in capsys.readouterr().err


def test_where_the_images_of_a_folder_are_looked_for_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CRBENCH_WEIGHTS", "CRBENCH_CACHE", "CRBENCH_EVIDENCE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "data").mkdir()
    for number in range(12):
        place = tmp_path / "data" / "people" / f"p{number // 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 16), (20 * number, 90, 9)).save(place / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    run = ["run", "-q", "--dataset", "folder:data/people", "--backbone", "random", "--aligner", "ridge", "--trial", "0"]
    assert invoke(run) == 0
    asked = ["report", str(tmp_path / "results"), "--strips", "1", "--i-may-publish-these-images"]
    assert invoke(asked) == 3
    assert "for --strips, call crbench report from the folder that holds people" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "data")
    assert invoke(asked) == 0


def test_without_strips_the_policy_allows_no_image(here: Path) -> None:
    assert invoke(["report", "-o", "plain-page.html"]) == 0
    text = (here / "plain-page.html").read_text(encoding="utf-8")
    assert "img-src" not in text
    assert images(text) == []


@pytest.mark.parametrize("command", ["crbench evaluate --query q.npz", "rm -rf /", "crbench run --no-such-option"])
def test_a_result_of_another_command_is_refused(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for cell, name in enumerate(("none", "ridge")):
        (tmp_path / f"{cell}.json").write_text(to_json(make(name, (0.5,), cell=cell, command=command)))
    assert invoke(["report", ".", *ASKED]) == 2
    assert command in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_each_person_is_asked_for_once() -> None:
    scores = np.array([[0.9, 0.8, np.nan, 0.1, 0.5, 0.0], [0.1, 0.8, 0.5, 0.1, 0.4, 0.0]])
    kinds = _kinds(scores, np.array([1, 1, 2, 3, 4, 5]), 2)
    assert kinds == [("most changed", [0, 4]), ("best", [3, 5]), ("worst", [])]


def test_a_small_image_is_enlarged_without_smoothing() -> None:
    pixels = np.array([[0, 255], [255, 0]], dtype=np.uint8)
    drawn = np.asarray(tile(Image.fromarray(pixels)))
    assert drawn.shape == (128, 64, 3)
    assert set(np.unique(drawn)) == {0, 255}

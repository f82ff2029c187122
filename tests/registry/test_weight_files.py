"""`--weights`: paths, names in the weights folder and files of the hub."""

from __future__ import annotations

import logging
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from crbench.api.entry import Released
from crbench.errors import ConfigError, DataError
from crbench.protocol.hashing import sha256_file
from crbench.registry.weight_files import find_released, find_weights


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def test_a_path_comes_before_a_name_of_the_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "w.pth").write_bytes(b"folder")
    assert find_weights("w.pth") == folder / "w.pth"
    (tmp_path / "w.pth").write_bytes(b"here")
    assert find_weights(Path("w.pth")).read_bytes() == b"here"


def test_a_missing_file_names_the_folder(folder: Path) -> None:
    with pytest.raises(DataError, match=r"w\.pth does not exist; give the path") as error:
        find_weights("w.pth")
    assert str(folder) in str(error.value)


def test_the_hub_is_asked_for_a_file_of_a_revision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def download(repo: str, file: str, *, revision: str) -> str:
        asked.append((repo, file, revision))
        return str(folder / "cached")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert find_weights(Path("hf:me/reid@v1:a/w.pth")) == folder / "cached"
    assert asked == [("me/reid", "a/w.pth", "v1")]


def test_a_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def download(*_: object, **__: object) -> str:
        logging.getLogger("huggingface_hub.utils").warning("retrying")
        raise LocalEntryNotFoundError("cannot reach the hub\nand more")

    level = logging.getLogger("huggingface_hub").level
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(DataError, match=r"^weights hf:me/reid@main:w\.pth: the hub is out of reach, [^\n]*$"):
        find_weights("hf:me/reid@main:w.pth")
    assert caplog.messages == []
    assert logging.getLogger("huggingface_hub").level == level


@pytest.mark.parametrize(
    "error",
    [
        OfflineModeIsEnabled("no network\nat all"),
        OSError("disk full"),
        ValueError("bad name"),
        HfHubHTTPError.__bases__[0]("connection lost"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_the_hub_raises_is_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(DataError, match=r"hf:me/reid@main:w\.pth: the hub did not give the file \(") as caught:
        find_weights("hf:me/reid@main:w.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["hf:", "hf:me/reid", "hf:me/reid:w.pth", "hf:reid@main:w.pth", "hf:me/reid@main:"])
def test_an_address_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected hf:org/repo@revision:file"):
        find_weights(text)


def test_a_sha256_pins_the_content(folder: Path) -> None:
    path = folder / "w.pth"
    path.write_bytes(b"weights")
    sha256 = sha256_file(path)
    for wanted in (sha256, sha256[:8], sha256[:20].upper()):
        assert find_weights(path, wanted) == path
    with pytest.raises(DataError, match=f"w.pth: its SHA-256 is {sha256}, expected {'0' * 64}; it is another file"):
        find_weights(path, "0" * 64)


@pytest.mark.parametrize("wanted", ["", "1234567", "sha256:12345678", "0" * 65, "g" * 64])
def test_what_is_no_sha256_is_refused(wanted: str, folder: Path) -> None:
    (folder / "w.pth").touch()
    with pytest.raises(ConfigError, match="is not a SHA-256"):
        find_weights("w.pth", wanted)


def test_the_released_file_is_the_only_one_that_fits(folder: Path) -> None:
    released = Released(("a.pth", "b_*.pth"), "https://zoo.example")
    assert find_released(released) is None
    (folder / "b_x.pth").mkdir()
    (folder / "c.pth").touch()
    assert find_released(released) is None
    (folder / "b_market.pth").touch()
    assert find_released(released) == folder / "b_market.pth"
    (folder / "a.pth").touch()
    with pytest.raises(DataError, match=r"a\.pth, b_market\.pth; say which with --weights NAME"):
        find_released(released)

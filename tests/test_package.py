"""What is released: a wheel and a source archive that are whole, and a description that can be read anywhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from crbench_synthetic import __name__ as shipped

from crbench import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def build(source: Path, folder: Path) -> None:
    """Both archives of a source tree, by the tools that are installed."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(archives: Path) -> Path:
    (found,) = archives.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return message_from_bytes(archive.read(f"crbench-{__version__}.dist-info/METADATA"))


def contents(wheel: Path) -> set[str]:
    """Files of the packages in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_packages_and_nothing_else(wheel):
    folders = [ROOT / folder for folder in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    named = (str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts)
    expected = {name.removeprefix("plugins/") for name in named}
    assert contents(wheel) == expected


def test_the_source_archive_makes_the_same_wheel(archives, wheel, tmp_path):
    (source,) = archives.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / f"crbench-{__version__}"
    kept = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    assert {path.name for path in unpacked.iterdir()} == {*kept, ".gitignore", "PKG-INFO"}
    build(unpacked, tmp_path / "dist")
    (again,) = (tmp_path / "dist").glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()


def test_links_and_images_of_the_description_lead_to_files_of_the_release(metadata):
    address = PROJECT["project"]["urls"]["Source"]
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", str(metadata.get_payload()))
    assert any(image for image, _ in links)
    for image, link in links:
        if link.startswith("#") or not link.startswith(address):
            assert re.match(r"#|https?:", link), link
            continue
        kind, version, path = link.removeprefix(f"{address}/").split("/", 2)
        assert (kind, version) == ("raw" if image else "blob", f"v{__version__}")
        assert (ROOT / path.partition("#")[0]).exists(), link


def test_the_index_is_told_where_things_are(metadata):
    addresses = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))
    assert {"Source", "Documentation", "Changelog", "Issues"} <= set(addresses)
    assert all(address.startswith(addresses["Source"]) for address in addresses.values())


def test_what_is_installed_from_the_wheel_works(wheel, tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", "site", str(wheel)]
    subprocess.run(pip, cwd=tmp_path, check=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path)}
    code = f"import crbench, {shipped}; print(crbench.__file__); print({shipped}.__file__)"
    for command in (["-c", code], ["-m", "crbench", "plugins", "--strict-plugins"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        if command[0] == "-c":
            assert all(line.startswith(str(tmp_path / "site")) for line in done.stdout.splitlines())
    assert "mlr-synthetic" in done.stdout

"""Versions of what a method needs beside its distribution."""

from __future__ import annotations

import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

from crbench.registry.extras import requirement_versions


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A distribution with two extras."""
    facts = tmp_path / "shop-1.0.dist-info"
    facts.mkdir()
    needs = (
        "numpy>=1",
        "pytest; python_version < '3'",
        "Pillow>=10; extra == 'more'",
        "no-such-package; extra == 'more'",
        'scipy; extra == "other"',
    )
    lines = ["Metadata-Version: 2.1", "Name: shop", "Version: 1.0", *(f"Requires-Dist: {need}" for need in needs)]
    (facts / "METADATA").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "shop"


def test_what_a_distribution_and_its_extra_require_counts(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"numpy": metadata.version("numpy")}
    assert requirement_versions(shop) == own
    assert requirement_versions(shop, "more") == own | {"Pillow": metadata.version("pillow")}
    offered_by_another = types.ModuleType("no_such_package")
    offered_by_another.__version__ = "3.1"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "no_such_package", offered_by_another)
    assert requirement_versions(shop, "more")["no-such-package"] == "3.1"


def test_a_distribution_that_is_not_installed_has_none() -> None:
    assert requirement_versions("not installed", "more") == {}

"""Versions of what a method needs beside its distribution."""

from __future__ import annotations

import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

from crbench.api.entry import Entry
from crbench.registry.discovery import Registered
from crbench.registry.extras import extra_versions
from crbench.registry.guard import Owner
from crbench.registry.resolve import resolve


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registered[Entry]:
    """An entry of a distribution with two extras."""
    facts = tmp_path / "shop-1.0.dist-info"
    facts.mkdir()
    needs = ("numpy>=1", "Pillow>=10; extra == 'more'", "no-such-package; extra == 'more'", 'scipy; extra == "other"')
    lines = ["Metadata-Version: 2.1", "Name: shop", "Version: 1.0", *(f"Requires-Dist: {need}" for need in needs)]
    (facts / "METADATA").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Registered("aligner", Entry("shop", "shop:Shop", extra="more"), Owner("shop", "shop", "1.0"))


def test_only_the_packages_of_the_extra_count(installed: Registered[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    assert extra_versions(installed) == {"Pillow": metadata.version("pillow")}
    offered_by_another = types.ModuleType("no_such_package")
    offered_by_another.__version__ = "3.1"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "no_such_package", offered_by_another)
    assert extra_versions(installed)["no-such-package"] == "3.1"


def test_entries_without_an_extra_or_a_distribution_have_none() -> None:
    assert extra_versions(resolve("aligner", "vpfa").registered) == {}
    unknown = Registered("aligner", Entry("a", "a:A", extra="more"), Owner("a", "not installed", "?"))
    assert extra_versions(unknown) == {}

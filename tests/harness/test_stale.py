"""Entries of a cache that no run asks for any more."""

from __future__ import annotations

import json

import pytest

from crbench.cli import invoke
from crbench.harness.run import run
from crbench.harness.stale import stale_entries
from crbench.store.upkeep import list_cache


@pytest.fixture
def cache(spec, tmp_path):
    """A cache folder with the features of one backbone and one fit."""
    run(spec(aligner="ridge", trial=0, baseline=False))
    return tmp_path / "cache"


def test_what_was_just_made_is_not_stale(cache):
    assert len(list_cache(cache)) == 2
    assert list(stale_entries(cache)) == []


@pytest.mark.parametrize(
    ("what", "changed", "stale"),
    [
        ("crbench.harness.stale.EXTRACTION_VERSION", 999, 2),
        ("crbench.harness.stale.PAIRING_VERSION", 999, 1),
        ("crbench.harness.stale.code_sha256", lambda entry: "f" * 64, 2),
    ],
)
def test_other_code_and_other_versions_make_entries_stale(cache, monkeypatch, what, changed, stale):
    monkeypatch.setattr(what, changed)
    assert len(list(stale_entries(cache))) == stale


@pytest.mark.parametrize("header", ["{}", "no JSON", "[]", None])
def test_a_folder_of_another_format_is_stale(cache, header):
    (folder,) = (cache / "features").iterdir()
    (folder / "encoder.json").unlink() if header is None else (folder / "encoder.json").write_text(header)
    assert list(stale_entries(cache)) == [folder]


def test_prune_deletes_stale_entries_and_keeps_the_rest(cache, spec, capsys):
    old = cache / "features" / "0123456789ab"
    old.mkdir()
    (old / "encoder.json").write_text(json.dumps({"backbone": {"name": "resnet50", "distribution": "crbench 0.1.0"}}))
    assert invoke(["cache", "prune", "--stale", "--cache-dir", str(cache)]) == 0
    assert "deleted 1 entries" in capsys.readouterr().err
    assert not old.exists()
    (again,) = run(spec(aligner="ridge", trial=0, baseline=False, resume=False))
    assert again.timings["extract"].cached
    assert again.timings["fit"].cached

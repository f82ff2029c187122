"""Fingerprints and cache keys of all shipped protocols, as evaluation version 2 made them.

Results, features and trained weights of earlier days are found by them: none may change by chance.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crbench.config.protocol_changes import own_protocol
from crbench.protocol.hashing import digest
from crbench.protocol.presets import CONVENTIONS
from crbench.registry.load import list_plugins, load_dataset

PINNED = json.loads((Path(__file__).parents[1] / "golden" / "protocols.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shipped():
    ours = [one for one in list_plugins() if (one.kind, one.distribution) == ("dataset", "crbench")]
    # the protocols of folder:PATH follow from the people in the folder
    datasets = {one.name: load_dataset(one.name) for one in ours if not one.argument}
    found = {f"{name}/{key}": rules for name, data in datasets.items() for key, rules in data.protocols.items()}
    found |= {f"as {tool}": own_protocol({}, tool=tool) for tool in CONVENTIONS}
    return {**found, "features": own_protocol({})}


def test_every_shipped_protocol_is_pinned(shipped):
    assert sorted(shipped) == sorted(PINNED)


@pytest.mark.parametrize("name", sorted(PINNED))
def test_fingerprint_and_cache_keys_stay(name, shipped):
    rules = shipped[name]
    assert rules.fingerprint() == PINNED[name]["fingerprint"]
    assert digest(rules.images.asked()) == PINNED[name]["features"]
    assert digest(rules.images.for_training()) == PINNED[name]["training"]

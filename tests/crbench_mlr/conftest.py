"""Every data set, small, below one data root."""

from __future__ import annotations

import importlib
from pathlib import Path

import builders
import crbench_mlr
import pytest
from crbench_mlr.base import ImageDataset

TARGETS = {entry.name: str(entry.target) for entry in crbench_mlr.crbench_datasets() if entry.argument is None}


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a small copy of each data set."""
    folder = tmp_path_factory.mktemp("data")
    builders.build_all(folder)
    return folder


@pytest.fixture(autouse=True)
def _accept_dukemtmc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRBENCH_ACCEPT_DUKEMTMC", "1")


@pytest.fixture(params=sorted(TARGETS))
def dataset(request: pytest.FixtureRequest) -> ImageDataset:
    """Each data set in turn, from its entry."""
    module, _, function = TARGETS[request.param].partition(":")
    built: ImageDataset = getattr(importlib.import_module(module), function)()
    assert built.info.name == request.param
    return built

"""Keeps tests and the examples in docstrings away from the user's own folders and settings, and from the clock."""

from __future__ import annotations

import gc
import os

import hypothesis
import pytest

# A test run has the same examples every time, so that no change is blamed for what another one did; the campaign looks
# for new ones and prints how to see one again. A busy machine is no failure.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("fresh", deadline=None, database=None, print_blob=True, max_examples=300)
hypothesis.settings.load_profile("fresh" if os.environ.get("CRBENCH_CAMPAIGN") == "whole" else "same")


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("crbench")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "CACHE", "WEIGHTS", "EVIDENCE"):
            patch.setenv(f"CRBENCH_{name}", str(folder / name.lower()))
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
            patch.setenv(name, str(folder / name.lower()))
        yield


def pytest_sessionfinish() -> None:
    """Commands that read a board freeze what they find, which helps a process that soon ends; this one does not."""
    gc.unfreeze()

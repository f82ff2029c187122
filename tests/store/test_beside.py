"""``crbench cache prune`` beside runs that use the cache, and clocks that run backwards."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from crbench.cli import invoke
from crbench.records import Samples
from crbench.store import features
from crbench.store.cache import _TRIES, Cache
from crbench.store.features import HEADER, FeatureTable, row_ids
from crbench.store.tensors import save_state
from crbench.store.upkeep import damaged_files, list_cache, prune_cache, stored_files

ENCODER = {"backbone": {"name": "toy"}}


def ids_of(*keys: str) -> np.ndarray:
    return row_ids(Samples(keys=list(keys), pids=[1] * len(keys)), np.array([f"digest of {key}" for key in keys]))


def everything(root: Path) -> list[Path]:
    return prune_cache(root, named=[entry.path for entry in list_cache(root)])


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, said: list[str]) -> Cache:
    return Cache(tmp_path, said.append)


def test_what_a_run_has_opened_stays_readable(cache: Cache, said: list[str]) -> None:
    FeatureTable.open(cache, ENCODER).add(ids_of("a"), torch.ones(1, 2), None)
    table = FeatureTable.open(cache, ENCODER)
    assert everything(cache.root)
    assert table.missing(ids_of("a", "b")).tolist() == [1]
    assert table.gather(ids_of("a"), "cpu")[0].tolist() == [[1, 1]]
    assert said == []


def test_features_that_are_deleted_once_written_are_still_there(
    cache: Cache, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = features.save_state

    def pruned_after(path: Path, *rest: object) -> None:
        written(path, *rest)
        everything(cache.root)

    monkeypatch.setattr(features, "save_state", pruned_after)
    table = FeatureTable.open(cache, ENCODER)
    table.add(ids_of("a"), torch.ones(1, 2), None)
    assert table.gather(ids_of("a"), "cpu")[0].tolist() == [[1, 1]]
    assert said == []


def test_a_folder_that_is_deleted_under_a_writer_is_made_again(
    cache: Cache, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written, calls = features.save_state, []

    def pruned_before(path: Path, *rest: object) -> None:
        calls.append(path)
        if len(calls) == 1:
            everything(cache.root)
            raise_missing(path)
        written(path, *rest)

    monkeypatch.setattr(features, "save_state", pruned_before)
    table = FeatureTable.open(cache, ENCODER)
    table.add(ids_of("a"), torch.ones(1, 2), None)
    (folder,) = (cache.root / "features").iterdir()
    assert {path.name for path in folder.iterdir()} == {HEADER, calls[0].name}
    assert said == []


def raise_missing(path: Path) -> None:
    raise FileNotFoundError(2, "No such file or directory", str(path))


def test_a_header_that_is_deleted_between_is_written_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    written = features.save_state

    def pruned_between(path: Path, *rest: object) -> None:
        everything(cache.root)
        written(path, *rest)

    monkeypatch.setattr(features, "save_state", pruned_between)
    FeatureTable.open(cache, ENCODER).add(ids_of("a"), torch.ones(1, 2), None)
    assert [entry.what for entry in list_cache(cache.root)] == ["toy"]


def test_files_that_go_while_they_are_listed_or_checked_are_no_damage(cache: Cache) -> None:
    FeatureTable.open(cache, ENCODER).add(ids_of("a"), torch.ones(1, 2), None)
    files = stored_files(cache.root)
    everything(cache.root)
    assert list(damaged_files(files)) == []


def test_writers_and_cleaners_at_once(cache: Cache, said: list[str]) -> None:
    """Each row that a writer has added is given back, whatever two cleaners delete.

    They delete less often than a writer tries, so that they cannot win each time, however slow the disk is.
    """
    faults: list[OSError] = []

    def often(work: Callable[[], object]) -> None:
        try:
            for _ in range((_TRIES - 1) // 2):
                work()
                time.sleep(0.01)
        except OSError as error:
            faults.append(error)

    jobs = (everything, everything, lambda root: list(damaged_files(stored_files(root))))
    threads = [threading.Thread(target=often, args=(partial(job, cache.root),)) for job in jobs]
    for thread in threads:
        thread.start()
    table = FeatureTable.open(cache, ENCODER)
    for number in range(40):
        table.add(ids_of(f"{number}"), torch.full((1, 2), float(number)), None)
        FeatureTable.open(cache, ENCODER)
    for thread in threads:
        thread.join()
    found = table.gather(ids_of(*map(str, range(40))), "cpu")[0]
    assert faults == []
    assert found[:, 0].tolist() == list(range(40))
    assert not [line for line in said if "keeps nothing more" in line]


@pytest.fixture
def fit(tmp_path: Path) -> Path:
    path = tmp_path / "transforms" / "shift-0.safetensors"
    save_state(path, {"bias": torch.zeros(2)}, {})
    return path


def test_an_entry_of_the_future_is_new_and_goes_with_all(fit: Path, tmp_path: Path) -> None:
    future = time.time() + 10 * 86_400
    os.utime(fit, (future, future))
    (entry,) = list_cache(tmp_path)
    assert entry.days == 0
    assert prune_cache(tmp_path, older_than_days=1) == []
    assert invoke(["cache", "prune", "--all", "--cache-dir", str(tmp_path)]) == 0
    assert not fit.exists()


def test_a_cleaner_that_was_killed_leaves_what_the_next_one_deletes(cache: Cache, monkeypatch) -> None:
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(cache.root / "weights"))  # other tests keep theirs
    FeatureTable.open(cache, ENCODER).add(ids_of("a"), torch.ones(1, 2), None)
    monkeypatch.setattr("crbench.store.upkeep.delete_temporary", lambda path: None)
    everything(cache.root)
    assert list_cache(cache.root) == []
    assert stored_files(cache.root) == []
    shutil.rmtree(cache.root)

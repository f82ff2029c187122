"""The embedded data set: lists, roles, protocols, reading."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from crbench_synthetic import crbench_datasets, image
from crbench_synthetic.cameras import CAMERAS
from crbench_synthetic.dataset import SyntheticPedestrians
from crbench_synthetic.size import CAMERA_COUNT

from crbench.api.hooks import GROUP
from crbench.api.interfaces import Dataset
from crbench.errors import ConfigError, DataError

ROOT = Path("unused")


@pytest.fixture(scope="module")
def small() -> SyntheticPedestrians:
    return SyntheticPedestrians(train_identities=3, test_identities=2, images_per_camera=2)


def test_is_a_dataset(small):
    assert isinstance(small, Dataset)


def test_entry_names_the_class():
    [entry] = crbench_datasets()
    module, _, name = entry.target.partition(":")
    assert (module, name) == (SyntheticPedestrians.__module__, SyntheticPedestrians.__name__)
    assert entry.name == SyntheticPedestrians().info.name
    assert entry.defaults == {"backbone": "resnet-tiny", "aligner:vpfa": "light", "backbone:lrar": "tiny"}
    assert hasattr(crbench_datasets, f"{GROUP}_impl")


def test_cameras_are_counted():
    assert len(CAMERAS) == CAMERA_COUNT


def test_default_size_and_ten_trials():
    data = SyntheticPedestrians()
    mlr = next(iter(data.protocols.values()))
    assert mlr.name == "mlr"
    assert (mlr.split.trials, mlr.split.lr_camera, mlr.split.query_rates) == (10, "fixed:1", (2, 3, 4))
    assert mlr.scoring.shot == "single:exact"
    splits = [data.split(mlr, trial, root=ROOT) for trial in range(10)]
    for split in splits:
        assert [len(part) for part in (split.train, split.query, split.gallery)] == [2400, 450, 1350]
        assert np.unique(split.train.pids).tolist() == list(range(1, 201))
        assert np.unique(split.query.pids).tolist() == np.unique(split.gallery.pids).tolist() == list(range(201, 351))
        assert set(split.query.camids) == {1}
        assert set(split.gallery.camids) == {2, 3, 4}
        assert np.unique(split.query.rates).tolist() == [2, 3, 4]
        assert set(split.train.rates) == set(split.gallery.rates) == {1}
    assert len({split.checksum for split in splits}) == 10


def test_default_lists_are_frozen():
    data = SyntheticPedestrians()
    checksum = data.split(data.protocols["mlr"], 0, root=ROOT).checksum
    assert checksum == "17d4fd0df1779542677c50242d49281341808dc51b924df5c369dc87d9858cdc"


def test_all_protocols_split(small):
    rates = {}
    for name, protocol in small.protocols.items():
        split = small.split(protocol, 0, root=ROOT)
        assert protocol.name == name
        assert set(split.train.pids).isdisjoint(set(split.query.pids) | set(split.gallery.pids))
        rates[name] = set(split.query.rates.tolist())
    assert rates["standard"] == {1}
    assert rates["mlr-unseen"] == {3}
    assert rates["mlr-unseen-6"] == {6}
    assert rates["mlrpro"] <= {2, 3, 4, 5, 6, 7}


def test_official_roles(small):
    rows, roles = small.index.rows, small.index.roles
    assert set(roles[rows.pids <= 3]) == {"train"}
    assert set(roles[(rows.pids > 3) & (rows.camids == 1)]) == {"query"}
    assert set(roles[(rows.pids > 3) & (rows.camids != 1)]) == {"gallery"}


def test_keys_say_what_the_row_is(small):
    rows = small.index.rows
    assert len(set(rows.keys)) == len(rows) == 5 * 4 * 2
    for number in range(len(rows)):
        row = rows.row(number)
        folder = "train" if row.pid <= 3 else "test"
        assert row.key in {f"{folder}/{row.pid:07d}_c{row.camid}_{shot:02d}" for shot in (1, 2)}


def test_a_million_identities_are_listed_without_drawing(monkeypatch):
    monkeypatch.setattr(image, "take", lambda *_: pytest.fail("an image was drawn"))
    data = SyntheticPedestrians(train_identities=1, test_identities=999_999, images_per_camera=1)
    rows = data.index.rows
    assert len(rows) == 4_000_000
    assert (rows.keys[0], rows.keys[-1]) == ("train/0000001_c1_01", "test/1000000_c4_01")
    assert rows.pids[[0, 4, -1]].tolist() == [1, 2, 1_000_000]
    assert (data.index.roles == "query").sum() == 999_999
    assert rows.keys.nbytes + data.index.roles.nbytes < 600e6
    assert len(data.digests(rows.keys[-2:], root=ROOT)) == 2


def test_read_gives_rgb_of_the_stated_size(small):
    image = small.read("test/0000004_c1_01", root=ROOT).image
    assert (image.mode, image.size) == ("RGB", (64, 128))


def test_what_a_reader_does_to_a_image_is_not_kept(small):
    first = small.read("train/0000001_c1_01", root=ROOT).image
    before = first.tobytes()
    first.paste((0, 0, 0), (0, 0, 64, 128))
    assert small.read("train/0000001_c1_01", root=ROOT).image.tobytes() == before


def test_reading_from_threads_gives_the_same_images():
    keys = SyntheticPedestrians(train_identities=2, test_identities=1, images_per_camera=1).index.rows.keys.tolist() * 3
    one, many = (SyntheticPedestrians(train_identities=2, test_identities=1, images_per_camera=1) for _ in range(2))
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda key: many.read(key, root=ROOT).image.tobytes(), keys))
    assert threaded == [one.read(key, root=ROOT).image.tobytes() for key in keys]


def test_drawn_images_are_kept_up_to_the_limit(monkeypatch):
    calls = []
    monkeypatch.setattr(image, "take", lambda *what: calls.append(what) or np.zeros((128, 64, 3), np.uint8))
    data = SyntheticPedestrians(memory_mb=1)
    kept = 2**20 // (128 * 64 * 3)
    keys = data.index.rows.keys[: kept + 10].tolist()
    for key in [*keys, keys[-1], keys[0]]:
        data.read(key, root=ROOT)
    assert len(calls) == kept + 10 + 1  # the last key was kept, the first one was not
    assert data._drawn.cache_info().currsize == kept


@pytest.mark.parametrize(
    "key", ["train/0000004_c1_01", "test/0000001_c1_01", "test/0000006_c1_01", "train/0000001_c5_01", "1.png"]
)
def test_unknown_keys_are_refused(small, key):
    with pytest.raises(DataError, match="has no image"):
        small.read(key, root=ROOT)


@pytest.mark.parametrize("shot", ["00", "03"])
def test_unknown_shots_are_refused(small, shot):
    with pytest.raises(DataError, match="shots 1 to 2"):
        small.read(f"train/0000001_c1_{shot}", root=ROOT)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"train_identities": 0}, "dataset.train_identities: 0 given"),
        ({"test_identities": 2.5}, "dataset.test_identities: 2.5 given"),
        ({"images_per_camera": 100}, "from 1 to 99|1 to 99"),
        ({"seed": -1}, "dataset.seed: -1 given"),
        ({"seed": True}, "dataset.seed: True given"),
        ({"memory_mb": 0}, "dataset.memory_mb: 0 given"),
        ({"train_identities": 600_000, "test_identities": 600_000}, "1200000 identities given"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ConfigError, match=message):
        SyntheticPedestrians(**parameters)


def test_digests_tell_images_apart(small):
    keys = small.index.rows.keys
    digests = small.digests(keys, root=ROOT)
    assert len(set(digests)) == len(keys)
    assert (digests == small.digests(keys, root=Path("elsewhere"))).all()
    other = SyntheticPedestrians(train_identities=3, test_identities=2, images_per_camera=2, seed=1)
    assert set(digests).isdisjoint(other.digests(keys, root=ROOT))


def test_verify_draws_and_counts(small):
    report = small.verify(root=ROOT)
    assert report.ok
    assert report.found == report.expected
    assert report.found["train images"] == 24
    assert report.duplicate == ()


def test_verify_names_equal_images(monkeypatch):
    monkeypatch.setattr(image, "take", lambda *_: np.zeros((128, 64, 3), np.uint8))
    data = SyntheticPedestrians(train_identities=1, test_identities=1, images_per_camera=1)
    assert len(data.verify(root=ROOT).duplicate) == 7

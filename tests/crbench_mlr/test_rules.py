"""What the protocols make of the data sets: cameras, rates, roles, counts, and the same lists on every machine."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import builders
import numpy as np
import pytest
from crbench_mlr import caviar, cuhk03, market1501, msmt17, viper
from crbench_mlr.base import ImageDataset, draw

from crbench.api.interfaces import Dataset
from crbench.data.splits import Index
from crbench.protocol import EvalProtocol
from crbench.records import Samples, Split

MLR = ["mlr", "mlrpro", "mlr-unseen", "mlr-unseen-6", "mlr-vpfa-code"]


def _draw(dataset: ImageDataset, name: str, trial: int, root: Path) -> Split:
    return dataset.split(builders.small(dataset.protocols[name]), trial, root=root)


def _rates(rows: Samples) -> set[float]:
    return set(rows.rates.tolist())


def test_every_data_set_keeps_the_contract(dataset: ImageDataset, root: Path) -> None:
    assert isinstance(dataset, Dataset)
    mlr = dataset.info.name.startswith("mlr-") or dataset.info.name == "caviar"
    assert list(dataset.protocols)[:5] == (MLR if mlr else list(dataset.protocols))
    assert next(iter(dataset.protocols)) == ("mlr" if mlr else "standard")
    for name, protocol in dataset.protocols.items():
        assert protocol.name == name


def test_every_split_is_sound(dataset: ImageDataset, root: Path) -> None:
    for protocol in dataset.protocols.values():
        split = dataset.split(builders.small(protocol), 0, root=root)
        test = np.union1d(split.query.pids, split.gallery.pids)
        assert len(split.train)
        assert len(np.intersect1d(split.train.pids, test[test > 0])) == 0
        assert np.all(split.train.rates == split.train.native_rates)
        assert np.all(np.isin(split.query.pids, split.gallery.pids))
        assert np.all(split.gallery.pids >= 0)
        for rows in (split.train, split.query, split.gallery):
            assert len(np.unique(rows.keys)) == len(rows)


def test_market1501_mlr(root: Path) -> None:
    dataset = market1501.mlr()
    split = _draw(dataset, "mlr", 0, root)
    assert (len(split.train), len(split.query), len(split.gallery)) == (24, 12, 24)
    assert set(split.query.camids.tolist()) == {1}
    assert set(split.gallery.camids.tolist()) == {2, 3}
    assert _rates(split.query) == {2, 3, 4}
    assert _rates(split.gallery) == _rates(split.train) == {1}
    assert split.notes == {"junk images": 1, "distractor images": 2}
    assert {key.split("/")[0] for key in split.query.keys.tolist()} == {"query", "bounding_box_test"}


def test_market1501_trials_change_rates_only(root: Path) -> None:
    dataset = market1501.mlr()
    first, second = (_draw(dataset, "mlr", trial, root) for trial in (0, 1))
    assert np.array_equal(first.query.keys, second.query.keys)
    assert not np.array_equal(first.query.rates, second.query.rates)
    assert first.checksum != second.checksum


def test_options_of_the_lr_camera_and_the_gallery(root: Path) -> None:
    dataset = market1501.mlr()
    mlr = dataset.protocols["mlr"]
    third = dataset.split(mlr.changed(lr_camera="fixed:3"), 0, root=root)
    assert set(third.query.camids.tolist()) == {3}
    kept = dataset.split(mlr.changed(shot="multi", distractors="keep"), 0, root=root)
    assert (kept.gallery.pids == 0).sum() == 2
    drawn = dataset.split(mlr.changed(lr_camera="per-id"), 0, root=root)
    for pid in np.unique(drawn.query.pids):
        camera = set(drawn.query.camids[drawn.query.pids == pid].tolist())
        assert len(camera) == 1
        assert not camera & set(drawn.gallery.camids[drawn.gallery.pids == pid].tolist())


def test_rates_of_the_other_protocols(root: Path) -> None:
    protocols = market1501.mlr().protocols
    assert protocols["mlrpro"].split.train_rates == protocols["mlrpro"].split.query_rates == (2, 3, 4, 5, 6, 7)
    assert protocols["mlr-unseen"].split.train_rates == protocols["mlr-unseen-6"].split.train_rates == (2, 4, 8)
    assert _rates(_draw(market1501.mlr(), "mlr-unseen", 0, root).query) == {3}
    assert _rates(_draw(market1501.mlr(), "mlr-unseen-6", 0, root).query) == {6}


@pytest.mark.parametrize(("dataset", "size"), [(cuhk03.mlr(), (4, 3)), (viper.mlr(), (4, 4))])
def test_one_camera_of_each_test_identity_is_lr(dataset: ImageDataset, size: tuple[int, int], root: Path) -> None:
    cameras = set()
    for trial in range(10):
        split = _draw(dataset, "mlr", trial, root)
        assert (len(np.unique(split.train.pids)), len(np.unique(split.query.pids))) == size
        for pid in np.unique(split.query.pids):
            lr = set(split.query.camids[split.query.pids == pid].tolist())
            hr = set(split.gallery.camids[split.gallery.pids == pid].tolist())
            assert len(lr) == len(hr) == 1
            assert lr != hr
            cameras.add((int(pid), *lr))
    assert len({camera for _, camera in cameras}) == 2


def test_identity_splits_are_drawn_anew_but_shared_by_protocols(root: Path) -> None:
    dataset, hr = viper.mlr(), viper.standard()
    mlr, pro = _draw(dataset, "mlr", 2, root), _draw(dataset, "mlrpro", 2, root)
    plain = _draw(hr, "standard", 2, root)
    assert np.array_equal(mlr.query.keys, pro.query.keys)
    assert np.array_equal(mlr.query.keys, plain.query.keys)
    assert _rates(plain.query) == {1}
    assert not np.array_equal(mlr.query.pids, _draw(dataset, "mlr", 3, root).query.pids)


def test_cuhk03_identity_of_one_view_only_trains(root: Path) -> None:
    for trial in range(10):
        split = _draw(cuhk03.mlr(), "mlr", trial, root)
        assert 4 not in split.query.pids.tolist()
        assert 4 not in split.gallery.pids.tolist()


def test_caviar_keeps_its_native_resolution(root: Path) -> None:
    dataset = caviar.mlr()
    split = _draw(dataset, "mlr", 0, root)
    assert (len(split.train), len(split.query), len(split.gallery)) == (60, 30, 30)
    assert set(split.query.camids.tolist()) == {2}  # the smaller images
    assert np.all(split.query.rates == 2)
    assert np.all(split.query.native_rates == 2)
    assert set(split.train.rates.tolist()) == {1, 2}
    assert np.unique(split.train.pids).max() <= 6
    assert split.notes["single-camera identities"] == 3
    assert dataset.protocols["mlr"].split.rate_source == "presumed"
    assert dataset.protocols["mlr"].split.train_rates == ()


def test_caviar_measures_which_camera_is_smaller(tmp_path: Path) -> None:
    folder = builders.build_caviar(tmp_path)
    for path in folder.glob("000?0??.jpg"):
        if int(path.stem[4:]) <= 10:
            builders.save(path, (9, 20))
    split = _draw(caviar.mlr(), "mlr", 0, tmp_path)
    assert set(split.query.camids.tolist()) == {1}


def test_caviar_other_rates_start_from_the_native_one(root: Path) -> None:
    pro = _draw(caviar.mlr(), "mlrpro", 0, root)
    assert _rates(pro.query) <= {2, 3, 4, 5, 6, 7}
    assert len(_rates(pro.query)) > 3
    assert np.all(pro.query.native_rates == 2)
    assert _rates(_draw(caviar.mlr(), "mlr-unseen", 0, root).query) == {3}


def test_plain_hr_evaluation_of_official_lists(root: Path) -> None:
    split = _draw(market1501.standard(), "standard", 0, root)
    assert {key.split("/")[0] for key in split.query.keys.tolist()} == {"query"}
    assert {key.split("/")[0] for key in split.gallery.keys.tolist()} == {"bounding_box_test"}
    assert (len(split.query), len(split.gallery)) == (12, 27)
    assert split.notes == {"junk images": 2}
    assert (split.gallery.pids == 0).sum() == 3
    assert _rates(split.query) == {1}
    assert (split.query.camids == 1).sum() == 4


def test_vpfa_code_market_draws_a_camera_per_identity_and_folder(root: Path) -> None:
    split = _draw(market1501.mlr(), "mlr-vpfa-code", 0, root)
    assert (len(split.query), len(split.gallery)) == (12, 27)
    lr_cameras = {}
    for role in ("query", "gallery"):
        rows = getattr(split, role)
        for pid in np.unique(rows.pids):
            person = rows.take(rows.pids == pid)
            cameras = set(person.camids[person.rates > 1].tolist())
            assert len(cameras) == 1
            assert np.all(person.rates[person.camids == next(iter(cameras))] > 1)
            lr_cameras[role, int(pid)] = cameras
    assert any(lr_cameras["query", pid] != lr_cameras["gallery", pid] for pid in (2, 4, 6, 8))
    assert _rates(split.train) == {1}


def test_vpfa_code_leaves_one_camera_identities_in_hr(tmp_path: Path) -> None:
    folder = builders.build_market1501(tmp_path)
    for path in (folder / "query").glob("0002_c[23]*"):
        path.unlink()
    split = _draw(market1501.mlr(), "mlr-vpfa-code", 0, tmp_path)
    assert _rates(split.query.take(split.query.pids == 2)) == {1}


def test_vpfa_code_viper_shrinks_query_and_gallery(root: Path) -> None:
    split = _draw(viper.mlr(), "mlr-vpfa-code", 0, root)
    assert set(split.query.camids.tolist()) == {1}
    assert set(split.gallery.camids.tolist()) == {2}
    for rows in (split.query, split.gallery):
        assert _rates(rows) <= {2, 3, 4}
    assert not np.array_equal(split.query.rates, split.gallery.rates)


def test_vpfa_code_caviar_asks_with_one_first_camera_image(root: Path) -> None:
    split = _draw(caviar.mlr(), "mlr-vpfa-code", 0, root)
    assert (len(split.query), len(split.gallery)) == (3, 60)
    assert len(np.unique(split.query.pids)) == 3
    assert set(split.query.camids.tolist()) == {1}
    assert _rates(split.query) == {1}


def _few_seen_by_the_first_camera(groups: bool = False) -> Index:
    """Eight people, of whom 5 to 8 are found; camera 1 sees two images of those of even number, camera 2 of all."""
    seen = [(pid, camid, n) for pid in range(1, 9) for camid in (1, 2) for n in range(2) if camid == 2 or pid % 2 == 0]
    seen += [(pid, 1, n) for pid in (-1, 0, 99) for n in range(2)]
    rows = Samples(
        keys=[f"{pid}_{camid}_{n}" for pid, camid, n in seen],
        pids=[pid for pid, _, _ in seen],
        camids=[camid for _, camid, _ in seen],
        groups=[f"{pid}-{camid}" for pid, camid, _ in seen] if groups else None,
    )
    roles = ["train" if 0 < pid < 5 else "query" if n == 0 and 5 <= pid < 9 else "gallery" for pid, _, n in seen]
    return Index("toy", rows, np.array(roles))


@pytest.mark.parametrize("rule", ["drop", "keep"])
@pytest.mark.parametrize("lr_camera", ["fixed:1", "per-id"])
def test_one_query_per_test_identity_that_the_first_camera_saw(rule: str, lr_camera: str) -> None:
    """It ended in an error for the others, and asked for junk and distractors that the gallery keeps."""
    protocol = EvalProtocol.of(
        query="one-per-id", lr_camera=lr_camera, query_rates=(), shot="multi", junk=rule, distractors=rule
    )
    split = draw(_few_seen_by_the_first_camera(), protocol, 0)
    assert split.query.pids.tolist() == [6, 8]
    assert set(split.query.camids.tolist()) == {1}
    assert len(split.gallery) == 4 * 2 + 2 * 2 + (6 if rule == "keep" and lr_camera == "per-id" else 0)


def test_the_one_query_of_a_test_identity_may_be_a_tracklet() -> None:
    protocol = EvalProtocol.of(query="one-per-id", query_rates=(), shot="multi")
    split = draw(_few_seen_by_the_first_camera(groups=True), protocol, 0)
    assert split.query.keys.tolist() == ["6_1_0", "6_1_1", "8_1_0", "8_1_1"]
    assert split.ranked.query.pids.tolist() == [6, 8]
    assert len(split.ranked.gallery) == 4 + 2


def test_vpfa_code_cuhk03_is_one_gallery_draw() -> None:
    protocol = cuhk03.mlr().protocols["mlr-vpfa-code"]
    assert (protocol.scoring.shot, protocol.images.encoder, protocol.images.kernel) == (
        "single:mc:1",
        "png",
        "bilinear",
    )


@pytest.mark.parametrize(
    ("dataset", "rules"),
    [
        (market1501.mlr(), ("lanczos", "jpeg:75", "image", True)),
        (viper.mlr(), ("bicubic", "jpeg:75", "identity", False)),
        (msmt17.mlr(), ("lanczos", "jpeg:75", "image", True)),
    ],
)
def test_vpfa_code_rules(dataset: ImageDataset, rules: tuple[str, str, str, bool]) -> None:
    protocol = dataset.protocols["mlr-vpfa-code"]
    assert (
        protocol.images.kernel,
        protocol.images.encoder,
        protocol.split.rate_per,
        protocol.images.encode_hr,
    ) == rules
    assert (protocol.scoring.distance, protocol.scoring.normalise, protocol.images.flip) == ("euclidean", "l2", True)


def _checksums(root: Path) -> list[str]:
    datasets = (market1501.mlr(), cuhk03.mlr(), viper.mlr(), caviar.mlr(), msmt17.mlr())
    return [_draw(dataset, name, 0, root).checksum for dataset in datasets for name in ("mlr", "mlr-vpfa-code")]


def test_directory_order_does_not_matter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = _checksums(root)
    listing = Path.iterdir

    def shuffled(folder: Path) -> Iterator[Path]:
        entries = list(listing(folder))
        random.Random(3).shuffle(entries)
        return iter(entries)

    monkeypatch.setattr(Path, "iterdir", shuffled)
    assert _checksums(root) == plain


def test_hash_seed_does_not_matter(root: Path) -> None:
    code = (
        "import sys, attrs, builders; from pathlib import Path; from crbench_mlr import cuhk03, market1501, viper\n"
        "for d in (market1501.mlr(), cuhk03.mlr(), viper.mlr()):\n"
        "    for p in d.protocols.values():\n"
        "        print(d.split(builders.small(p), 0, root=Path(sys.argv[1])).checksum)\n"
    )
    outputs = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", code, str(root)]
        outputs.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(outputs) == 1
    assert len(next(iter(outputs)).split()) == 15


def test_golden_checksums(root: Path) -> None:
    """These must never change without a CHANGELOG line marked *scores*."""
    assert _draw(market1501.mlr(), "mlr", 0, root).checksum[:16] == "620459e16042513b"
    assert _draw(cuhk03.mlr(), "mlr", 3, root).checksum[:16] == "79cd50fd581e0f69"


def test_an_unrelated_new_image_changes_no_other_draw(tmp_path: Path) -> None:
    folder = builders.build_market1501(tmp_path)
    before = _draw(market1501.mlr(), "mlr", 0, tmp_path).query
    builders.save(folder / "query" / "0002_c1s2_000777_00.jpg")
    after = _draw(market1501.mlr(), "mlr", 0, tmp_path).query
    known = np.isin(after.keys, before.keys)
    assert known.sum() == len(after) - 1
    assert np.array_equal(after.rates[known], before.rates)

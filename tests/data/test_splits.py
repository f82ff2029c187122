from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench.data.splits import Index, draw_split, lr_cameras, smaller_camera
from crbench.errors import ConfigError, DataError
from crbench.protocol import EvalProtocol
from crbench.records import Samples


def make_index(people=6, cameras=3, images=2, distractors=2, junk=2, order=None):
    """Persons 1..n; the first half are training identities; camera-1 test images are official queries."""
    keys, pids, camids, roles = [], [], [], []
    for pid in range(1, people + 1):
        for camera in range(1, cameras + 1):
            for image in range(images):
                keys.append(f"{pid}_c{camera}_{image}")
                pids.append(pid)
                camids.append(camera)
                roles.append("train" if pid <= people // 2 else "query" if camera == 1 and image == 0 else "gallery")
    for number, pid in [(n, 0) for n in range(distractors)] + [(n, -1) for n in range(junk)]:
        keys.append(f"{pid}_c2_{number}")
        pids.append(pid)
        camids.append(2)
        roles.append("gallery")
    order = np.arange(len(keys)) if order is None else order(len(keys))
    rows = Samples(keys=np.array(keys)[order], pids=np.array(pids)[order], camids=np.array(camids)[order])
    return Index(name="toy", rows=rows, roles=np.array(roles)[order])


def test_fixed_camera_is_asked_and_the_others_are_searched():
    split = draw_split(make_index(), EvalProtocol(), 0)
    assert set(split.query.camids.tolist()) == {1}
    assert len(split.query) == 3 * 2
    assert set(split.gallery.camids.tolist()) == {2, 3}
    assert set(split.query.rates.tolist()) <= {2.0, 3.0, 4.0}
    assert set(split.gallery.rates.tolist()) == {1.0}
    assert split.notes == {"junk images": 2, "distractor images": 2}


@pytest.mark.parametrize("query", ["official", "lr-camera"])
def test_listed_images_of_no_person_are_counted(query):
    index = make_index()
    roles = index.roles.copy()
    roles[np.flatnonzero(index.rows.pids == -1)] = "query"
    roles[np.flatnonzero(index.rows.pids == 0)[0]] = "train"
    split = draw_split(attrs.evolve(index, roles=roles), EvalProtocol.of(query=query), 0)
    assert split.notes == {"train images of no person": 1, "query images of no person": 2, "distractor images": 1}


def test_distractors_are_kept_on_request():
    split = draw_split(make_index(), EvalProtocol.of(distractors="keep"), 0)
    assert (split.gallery.pids == 0).sum() == 2
    assert (split.gallery.pids == -1).sum() == 0


def test_persons_without_a_query_are_distractors():
    index = make_index()
    roles = index.roles.copy()
    roles[(index.rows.pids == 6) & (roles == "query")] = "gallery"
    split = draw_split(attrs.evolve(index, roles=roles), EvalProtocol(), 0)
    assert 6 not in split.query.pids
    assert 6 not in split.gallery.pids


def test_official_lists_are_kept_for_hr_evaluation():
    split = draw_split(make_index(), EvalProtocol.of(query="official", lr_camera="none", distractors="keep"), 0)
    assert len(split.query) == 3
    assert set(split.query.rates.tolist()) == {1.0}


def test_random_identities_are_disjoint_and_differ_between_trials():
    protocol = EvalProtocol.of(identities="random:3/3", lr_camera="per-id")
    index = make_index(people=8)
    splits = [draw_split(index, protocol, trial) for trial in range(10)]
    assert all(len(np.unique(split.query.pids)) == 3 and len(np.unique(split.train.pids)) == 3 for split in splits)
    assert len({split.checksum for split in splits}) == 10


def test_training_and_test_folders_do_not_mix():
    index = make_index()
    split = draw_split(index, EvalProtocol(), 0)
    assert set(split.train.pids.tolist()) == {1, 2, 3}


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_files_does_not_matter(seed):
    protocol = EvalProtocol.of(identities="random:3/3", lr_camera="per-id", trials=2)
    shuffled = make_index(order=np.random.default_rng(seed).permutation)
    assert draw_split(shuffled, protocol, 1).checksum == draw_split(make_index(), protocol, 1).checksum


def test_protocols_share_identities_and_cameras():
    mlr = EvalProtocol.of(identities="random:3/3", lr_camera="per-id")
    pro = mlr.changed(name="mlrpro", query_rates=range(2, 8))
    one, two = (draw_split(make_index(), protocol, 4) for protocol in (mlr, pro))
    assert one.query.keys.tolist() == two.query.keys.tolist()


def test_one_rate_per_identity():
    split = draw_split(make_index(people=20, images=5), EvalProtocol.of(rate_per="identity"), 0)
    for pid in np.unique(split.query.pids):
        assert len(set(split.query.rates[split.query.pids == pid].tolist())) == 1


def test_the_smaller_camera_is_low_resolution_as_it_stands():
    index = make_index(cameras=2)
    index = attrs.evolve(index, areas=np.where(index.rows.camids == 2, 100.0, 400.0))
    split = draw_split(index, EvalProtocol.of(lr_camera="smaller", rate_source="presumed", train_rates=()), 0)
    assert smaller_camera(index) == 2
    assert set(split.query.camids.tolist()) == {2}
    assert set(split.query.rates.tolist()) == set(split.query.native_rates.tolist()) == {2.0}
    assert set(split.train.rates.tolist()) == {1.0, 2.0}


def test_per_id_camera_is_one_that_sees_the_person():
    rows = Samples(keys=["a", "b", "c"], pids=[1, 1, 2], camids=[4, 5, 6])
    cameras = lr_cameras(rows, "per-id", "stream")
    assert cameras[0] == cameras[1]
    assert cameras[0] in (4, 5)
    assert cameras[2] == 6


@pytest.mark.parametrize(
    ("changes", "trial", "error", "message"),
    [
        ({}, 10, ConfigError, "trial 10 is not one of 0 to 9"),
        ({"lr_camera": "fixed:9"}, 0, DataError, "no test identity has an image in the LR camera"),
        ({"identities": "random:5/5"}, 0, DataError, "there are 6 identities"),
        ({"identities": "random:2/2", "query": "official"}, 0, ConfigError, r"drawn .random:2/2.; set query=lr-camera"),
        ({"lr_camera": "smaller"}, 0, ConfigError, "needs image sizes"),
    ],
)
def test_what_does_not_fit_is_refused(changes, trial, error, message):
    with pytest.raises(error, match=message):
        draw_split(make_index(), EvalProtocol.of(**changes), trial)


def test_gallery_rates_are_drawn_for_each_image_and_change_no_query():
    plain, mixed = (
        draw_split(make_index(people=40), EvalProtocol.of(gallery_rates=rates), 0) for rates in ((), (2, 1))
    )
    assert mixed.query.rates.tolist() == plain.query.rates.tolist()
    assert mixed.gallery.keys.tolist() == plain.gallery.keys.tolist()
    assert set(mixed.gallery.rates.tolist()) == {1.0, 2.0}
    assert 0.3 < (mixed.gallery.rates == 2).mean() < 0.7
    other = draw_split(make_index(people=40), EvalProtocol.of(gallery_rates=(1, 2)), 1)
    assert other.gallery.rates.tolist() != mixed.gallery.rates.tolist(), "drawn anew in each trial"


@given(seed=st.integers(0, 100))
def test_the_order_of_the_index_changes_no_gallery_rate(seed):
    def rates(order):
        gallery = draw_split(make_index(order=order), EvalProtocol.of(gallery_rates=(1, 2, 4)), 0).gallery
        return dict(zip(gallery.keys.tolist(), gallery.rates.tolist(), strict=True))

    assert rates(np.random.default_rng(seed).permutation) == rates(None)


def test_no_gallery_image_becomes_finer_than_it_is_stored():
    index = make_index()
    native = attrs.evolve(index, rows=attrs.evolve(index.rows, rates=np.full(len(index.rows), 3), native_rates=3.0))
    gallery = draw_split(native, EvalProtocol.of(gallery_rates=(1, 4), query_rates=()), 0).gallery
    assert set(gallery.rates.tolist()) == {3.0, 4.0}


def test_all_images_of_a_gallery_tracklet_have_one_drawn_rate():
    index = make_index(people=40)
    groups = [f"{pid} seen by {camid}" for pid, camid in zip(index.rows.pids, index.rows.camids, strict=True)]
    tracklets = attrs.evolve(index, rows=attrs.evolve(index.rows, groups=groups))
    gallery = draw_split(tracklets, EvalProtocol.of(gallery_rates=(1, 2, 4)), 0).gallery
    items, _ = gallery.items()  # refuses a tracklet of two rates
    assert len(items) < len(gallery)
    assert set(items.rates.tolist()) == {1.0, 2.0, 4.0}


@pytest.mark.parametrize("trial", range(5))
def test_an_lr_camera_per_identity_hides_no_distractor(trial):
    """One was drawn for pid 0 and pid -1, too: all of theirs that it saw were left out, though they should be kept."""
    index = make_index(distractors=4, junk=3)
    strangers = np.arange(len(index.rows)) >= len(index.rows) - 7
    camids = np.where(strangers, 1 + np.arange(len(index.rows)) % 3, index.rows.camids)
    spread = attrs.evolve(index, rows=attrs.evolve(index.rows, camids=camids))
    protocol = EvalProtocol.of(lr_camera="per-id", distractors="keep", junk="keep")
    gallery = draw_split(spread, protocol, trial).gallery
    assert [(gallery.pids == pid).sum() for pid in (0, -1)] == [4, 3]
    fixed = draw_split(spread, protocol.changed(lr_camera="fixed:1"), trial).gallery
    assert 1 not in fixed.camids

from __future__ import annotations

import numpy as np
import pytest

from crbench import EvalProtocol, evaluate, features_from_arrays
from crbench.evaluation.copies import copied_queries, own_images

X = np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32)


@pytest.mark.parametrize(
    ("pids", "camids", "same_camera", "copies"),
    [
        ([1, 2, 3], [2, 2, 2], "ignore", 3),
        ([1, 2, 3], [1, 2, 2], "ignore", 2),  # the same-camera rule removes the first
        ([1, 2, 3], [1, 2, 2], "keep", 3),
        ([1, 2, 3], [-1, -1, -1], "ignore", 3),
        ([1, 2, 1], [2, 2, 2], "ignore", 2),  # the third is another person's
    ],
)
def test_a_query_is_copied_where_a_match_has_its_very_features(pids, camids, same_camera, copies):
    query = features_from_arrays(X, pids=[1, 2, 3], camids=[1, 1, 1])
    gallery = features_from_arrays(X, pids=pids, camids=camids)
    assert copied_queries(query, gallery, same_camera=same_camera).sum() == copies


def test_nearly_the_same_features_and_unknown_cameras():
    near = np.nextafter(X, np.float32(2))
    query = features_from_arrays(X, pids=[1, 2, 3])
    assert copied_queries(query, features_from_arrays(near, pids=[1, 2, 3]), same_camera="ignore").sum() == 0
    assert copied_queries(query, features_from_arrays(X, pids=[1, 2, 3]), same_camera="ignore").sum() == 3


def named(x, keys, **columns):
    return features_from_arrays(x, keys=keys, **columns)


@pytest.mark.parametrize("shot", ["multi", "single:exact", "single:mc:3"])
def test_an_image_that_is_query_and_gallery_does_not_meet_itself(shot):
    # Person 1 finds its other image behind person 2's; with its own image in the gallery it found that first.
    query = named([[1.0, 0.0]], ["a"], pids=[1])
    x, pids, keys = [[1.0, 0.0], [1.0, 0.1], [1.0, 0.5]], [1, 2, 1], ["a", "b", "c"]
    found = evaluate(query, named(x, keys, pids=pids), EvalProtocol.of(shot=shot))
    without = evaluate(query, named(x[1:], keys[1:], pids=pids[1:]), EvalProtocol.of(shot=shot))
    assert found.scores.cmc.tolist() == without.scores.cmc.tolist() == [0.0] + [1.0] * 49
    assert own_images(query.rows, named(x, keys, pids=pids).rows).sum() == 1


def test_one_list_against_itself_is_known_without_names():
    both = features_from_arrays([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]], pids=[1, 2, 1])
    found = evaluate(both, both, EvalProtocol.of(shot="multi"))
    assert found.per_query.valid.tolist() == [True, False, True]
    assert found.scores.rank(1) == 0.0
    assert own_images(both.rows, both.rows).sum() == 3
    assert copied_queries(both, both, same_camera="ignore").sum() == 0


def test_numbers_of_rows_are_no_names():
    query, gallery = (features_from_arrays([[1.0, 0.0]], pids=[1]) for _ in range(2))
    assert evaluate(query, gallery, EvalProtocol.of(shot="multi")).scores.rank(1) == 1.0
    assert own_images(query.rows, gallery.rows).sum() == 0


def test_a_name_that_two_persons_share_hides_nothing():
    query = named([[1.0, 0.0]], ["a"], pids=[1])
    gallery = named([[1.0, 0.0], [0.0, 1.0]], ["a", "b"], pids=[2, 1])
    assert evaluate(query, gallery, EvalProtocol.of(shot="multi")).scores.rank(1) == 0.0
    assert own_images(query.rows, gallery.rows).sum() == 0

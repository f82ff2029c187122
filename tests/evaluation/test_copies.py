from __future__ import annotations

import numpy as np
import pytest

from crbench import features_from_arrays
from crbench.evaluation.copies import copied_queries

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
    assert copied_queries(query, gallery, same_camera=same_camera) == copies


def test_nearly_the_same_features_and_unknown_cameras():
    near = np.nextafter(X, np.float32(2))
    query = features_from_arrays(X, pids=[1, 2, 3])
    assert copied_queries(query, features_from_arrays(near, pids=[1, 2, 3]), same_camera="ignore") == 0
    assert copied_queries(query, features_from_arrays(X, pids=[1, 2, 3]), same_camera="ignore") == 3

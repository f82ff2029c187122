from __future__ import annotations

import numpy as np
import pytest
import torch

from crbench.arrays import to_features, to_integers, to_torch
from crbench.errors import EvaluationError
from crbench.records import features_from_arrays

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


class Foreign:
    """An array of another library, which speaks DLPack and nothing else."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class Unshareable(Foreign):
    def __dlpack__(self, **options):
        raise BufferError("strides")


def read_only():
    array = VALUES.copy()
    array.setflags(write=False)
    return array


@pytest.mark.parametrize(
    "x",
    [
        VALUES.copy(),
        VALUES.astype(np.float16),
        VALUES.astype(np.float64),
        VALUES.astype(">f4"),
        np.asfortranarray(VALUES),
        np.repeat(VALUES, 2, axis=1)[:, ::2],
        VALUES[::-1].copy()[::-1],
        read_only(),
        VALUES.tolist(),
        torch.from_numpy(VALUES.copy()).requires_grad_(),
        torch.from_numpy(VALUES.T.copy()).T,
        torch.from_numpy(VALUES.copy()).bfloat16(),
        Foreign(VALUES.copy()),
    ],
    ids=lambda x: f"{type(x).__name__} {getattr(x, 'dtype', '')}",
)
def test_any_floating_array_becomes_a_float32_tensor(x):
    tensor = to_torch(x)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert not tensor.requires_grad
    np.testing.assert_array_equal(tensor.numpy(), VALUES)


def test_float32_is_not_copied():
    array = VALUES.copy()
    array[0, 0] = 7
    assert to_torch(array).data_ptr() == array.ctypes.data


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (VALUES.astype(int), "features are int64; expected floating-point"),
        (torch.ones(2, 2, dtype=torch.int32), "features are int32"),
        (VALUES.astype(complex), "complex128"),
        ([["a"]], "<U1"),
        (VALUES[0], r"shape \(3,\); expected two dimensions"),
        (torch.ones(1, 2, 3), r"shape \(1, 2, 3\)"),
        (Unshareable(VALUES), "Unshareable cannot be shared by DLPack: strides"),
    ],
)
def test_other_arrays_are_refused(x, message):
    with pytest.raises(EvaluationError, match=message):
        to_torch(x)


def test_integers_of_any_library():
    for x in ([1, 2], np.array([1, 2], dtype=np.uint8), torch.tensor([1, 2])):
        found = to_integers(x, "pids")
        assert found.dtype == np.int64
        assert found.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pids": [1.5, 2]}, "pids are float64; expected integers"),
        ({"pids": [[1, 2]]}, r"pids have shape \(1, 2\)"),
        ({"pids": [1]}, "pids has shape"),
        ({"pids": [1, 2], "camids": ["a", "b"]}, "camids are <U1"),
        ({"pids": [1, 2], "rates": 0.5}, "every rate must be finite and at least 1"),
        ({"pids": [1, 2], "dims": [1]}, r"dims have shape \(1,\)"),
        ({"pids": [1, 2], "keys": ["a"]}, "expected"),
    ],
)
def test_bad_columns_are_refused(columns, message):
    with pytest.raises(EvaluationError, match=message):
        features_from_arrays(VALUES, **columns)


def test_features_from_arrays_fills_in_what_is_not_known():
    feats = features_from_arrays(VALUES, [3, 4])
    assert feats.rows.keys.tolist() == ["0", "1"]
    assert feats.rows.camids.tolist() == [-1, -1]
    assert feats.rows.rates.tolist() == [1, 1]
    assert feats.dims is None


@pytest.mark.parametrize(
    "x",
    [
        VALUES.astype(np.float64),  # as a program writes that computed in float32
        VALUES.astype(np.float16),
        np.array([[np.nan, 1.0]]),
        np.array([[1e300, 0.1]]),  # evaluate names the row
    ],
)
def test_what_float32_holds_becomes_float32(x):
    assert to_features(x).dtype == torch.float32


@pytest.mark.parametrize(
    "make", [np.asarray, torch.from_numpy, np.asfortranarray, lambda x: x.astype(">f8"), np.ndarray.tolist]
)
def test_what_float32_would_change_stays_float64(make):
    x = 1000 + 1e-4 * np.random.default_rng(0).normal(size=(2000, 3))
    x[7, 1], x[8, 2], x[9, 0] = 1e-300, -1e-50, np.nan
    found = to_features(make(x))
    assert found.dtype == torch.float64
    assert found.is_contiguous()
    x[7, 1] = x[8, 2] = 0.0  # below what float32 tells from 0
    np.testing.assert_array_equal(found.numpy(), x)

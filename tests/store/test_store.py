from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench.errors import DataError
from crbench.records import Samples
from crbench.store.features import FeatureTable, row_ids
from crbench.store.transforms import load_state, save_state
from crbench.store.upkeep import damaged_files, list_cache, prune_cache

ENCODER = {"backbone": {"name": "toy"}, "weights": None}


def ids_of(*keys, rate=1.0):
    rows = Samples(keys=list(keys), pids=[1] * len(keys), rates=rate)
    return row_ids(rows, np.array([f"digest of {key}" for key in keys]))


def test_row_ids_depend_on_all_that_a_feature_depends_on():
    base = {"keys": ["a"], "pids": [1], "camids": [1], "rates": [2], "native_rates": [1]}
    digests = np.array(["d"])
    plain = row_ids(Samples(**base), digests)[0].tobytes()
    for change in ({"camids": [2]}, {"rates": [3]}, {"native_rates": [2]}, {"modality": "ir"}):
        assert row_ids(Samples(**{**base, **change}), digests)[0].tobytes() != plain
    assert row_ids(Samples(**base), np.array(["e"]))[0].tobytes() != plain
    # The person and the file's name do not change the image.
    assert row_ids(Samples(**{**base, "pids": [7], "keys": ["b"]}), digests)[0].tobytes() == plain


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_table_gives_back_what_it_was_given(tmp_path, on_disk):
    root = tmp_path if on_disk else None
    table = FeatureTable.open(root, ENCODER)
    first, second = ids_of("a", "b"), ids_of("c")
    table.add(first, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), None)
    table.add(second, torch.tensor([[5.0, 6.0]]), None)
    again = FeatureTable.open(root, ENCODER) if on_disk else table
    assert again.missing(ids_of("c", "x", "a", "x")).tolist() == [1]
    x, dims = again.gather(ids_of("c", "a", "c"), "cpu")
    assert x.tolist() == [[5, 6], [1, 2], [5, 6]]
    assert dims is None


def test_dims_are_kept(tmp_path):
    table = FeatureTable.open(tmp_path, ENCODER)
    table.add(ids_of("a", "b"), torch.zeros(2, 4), torch.tensor([4, 1]))
    assert FeatureTable.open(tmp_path, ENCODER).gather(ids_of("b"), "cpu")[1].tolist() == [1]


def test_encoders_do_not_share_features(tmp_path):
    FeatureTable.open(tmp_path, ENCODER).add(ids_of("a"), torch.zeros(1, 2), None)
    assert len(FeatureTable.open(tmp_path, {**ENCODER, "weights": "0"}).missing(ids_of("a"))) == 1


@settings(max_examples=20)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_gather_follows_any_order(order):
    table = FeatureTable.open(None, ENCODER)
    names = [str(i) for i in range(31)]
    table.add(ids_of(*names[:10]), torch.arange(10.0)[:, None], None)
    table.add(ids_of(*names[10:]), torch.arange(10.0, 31.0)[:, None], None)
    assert table.gather(ids_of(*[names[i] for i in order]), "cpu")[0][:, 0].tolist() == order


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[-1] ^= 0xFF
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_damaged_files_are_found_and_pruned(tmp_path, how):
    table = FeatureTable.open(tmp_path, ENCODER)
    table.add(ids_of("a"), torch.ones(1, 2), None)
    table.add(ids_of("b"), torch.ones(1, 2), None)
    save_state(tmp_path / "transforms" / "ridge-0.safetensors", {"w": torch.ones(2)}, {"fit_seconds": 1.5})
    assert list(damaged_files(tmp_path)) == []
    victim = sorted(tmp_path.glob("features/*/*.safetensors"))[0]
    damage(victim, how)
    assert [path for path, _ in damaged_files(tmp_path)] == [victim]
    assert prune_cache(tmp_path, older_than_days=None, bad=True) == [victim]
    assert list(damaged_files(tmp_path)) == []


def test_a_cut_file_is_named_when_it_is_opened(tmp_path):
    FeatureTable.open(tmp_path, ENCODER).add(ids_of("a"), torch.ones(1, 2), None)
    damage(next(tmp_path.glob("features/*/*.safetensors")), "cut")
    with pytest.raises(DataError, match=r"is damaged .* crbench cache prune --bad"):
        FeatureTable.open(tmp_path, ENCODER)


def test_a_state_comes_back_with_its_facts(tmp_path):
    path = tmp_path / "transforms" / "ridge-0.safetensors"
    assert load_state(path, "cpu") is None
    save_state(path, {"w": torch.tensor([1.0, 2.0])}, {"fit_seconds": 1.5})
    state, facts = load_state(path, "cpu")
    assert state["w"].tolist() == [1, 2]
    assert facts == {"fit_seconds": 1.5}


def test_equal_states_are_equal_files(tmp_path):
    for number in range(9):
        save_state(tmp_path / f"{number}.safetensors", {"w": torch.ones(2), "b": torch.zeros(1)}, {"a": 1, "b": 2})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_the_listing_counts_rows_and_prune_clears(tmp_path):
    table = FeatureTable.open(tmp_path, ENCODER)
    table.add(ids_of("a", "b"), torch.ones(2, 2), None)
    save_state(tmp_path / "transforms" / "mean-shift-0.safetensors", {"w": torch.ones(2)}, {})
    assert [(entry.what, entry.rows, entry.files) for entry in list_cache(tmp_path)] == [
        ("toy", 2, 2),
        ("mean-shift", 0, 1),
    ]
    assert prune_cache(tmp_path, older_than_days=1, bad=False) == []
    assert len(prune_cache(tmp_path, older_than_days=0, bad=False)) == 2
    assert list_cache(tmp_path) == []

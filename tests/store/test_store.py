from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crbench.records import Samples
from crbench.store.cache import Cache
from crbench.store.features import FeatureTable, row_ids
from crbench.store.files import write_text
from crbench.store.tensors import DamagedFileError, load_state, save_state
from crbench.store.upkeep import damaged_files, list_cache, prune_cache, stored_files

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
    table = FeatureTable.open(root and Cache(root), ENCODER)
    first, second = ids_of("a", "b"), ids_of("c")
    table.add(first, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), None)
    table.add(second, torch.tensor([[5.0, 6.0]]), None)
    again = FeatureTable.open(root and Cache(root), ENCODER) if on_disk else table
    assert again.missing(ids_of("c", "x", "a", "x")).tolist() == [1]
    x, dims = again.gather(ids_of("c", "a", "c"), "cpu")
    assert x.tolist() == [[5, 6], [1, 2], [5, 6]]
    assert dims is None


def test_dims_are_kept(tmp_path):
    table = FeatureTable.open(Cache(tmp_path), ENCODER)
    table.add(ids_of("a", "b"), torch.zeros(2, 4), torch.tensor([4, 1]))
    assert FeatureTable.open(Cache(tmp_path), ENCODER).gather(ids_of("b"), "cpu")[1].tolist() == [1]


def test_encoders_do_not_share_features(tmp_path):
    FeatureTable.open(Cache(tmp_path), ENCODER).add(ids_of("a"), torch.zeros(1, 2), None)
    assert len(FeatureTable.open(Cache(tmp_path), {**ENCODER, "weights": "0"}).missing(ids_of("a"))) == 1


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


@pytest.fixture(autouse=True)
def weights(tmp_path_factory, monkeypatch):
    """A weights folder of the test's own."""
    folder = tmp_path_factory.mktemp("weights")
    monkeypatch.setenv("CRBENCH_WEIGHTS", str(folder))
    return folder


@pytest.mark.parametrize("how", ["cut", "flipped"])
@pytest.mark.parametrize("kind", ["features", "transforms", "trained"])
def test_damaged_files_are_found_and_pruned(tmp_path, weights, kind, how):
    table = FeatureTable.open(Cache(tmp_path), ENCODER)
    table.add(ids_of("a"), torch.ones(1, 2), None)
    table.add(ids_of("b"), torch.ones(1, 2), None)
    save_state(tmp_path / "transforms" / "ridge-0.safetensors", {"w": torch.ones(2)}, {"fit_seconds": 1.5})
    save_state(weights / "trained" / "net-0.safetensors", {"w": torch.ones(2)}, {})
    write_text(weights / "trained" / "net-0.json", "{}")
    assert list(damaged_files(stored_files(tmp_path))) == []
    victim = next(path for path in stored_files(tmp_path) if kind in path.parts)
    damage(victim, how)
    assert [path for path, _ in damaged_files(stored_files(tmp_path))] == [victim]
    assert prune_cache(tmp_path, older_than_days=None, bad=True) == [victim]
    assert len(stored_files(tmp_path)) == 3
    assert list(damaged_files(stored_files(tmp_path))) == []
    assert (weights / "trained" / "net-0.json").exists() == (kind != "trained")


def test_no_flipped_bit_reaches_a_reader(tmp_path):
    """In whatever byte: the other file's row is given, and the damaged file's is missing; one line says so."""
    x, second = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[4.0, 5.0, 6.0]])
    FeatureTable.open(Cache(tmp_path), ENCODER).add(ids_of("a"), x, torch.tensor([2]))
    (path,) = tmp_path.glob("features/*/*.safetensors")
    whole = path.read_bytes()
    FeatureTable.open(Cache(tmp_path), ENCODER).add(ids_of("b"), second, torch.tensor([3]))
    for byte in range(len(whole)):
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 4]) + whole[byte + 1 :])
        said = []
        table = FeatureTable.open(Cache(tmp_path, said.append), ENCODER)
        missing = table.missing(ids_of("a", "b"))
        if not len(missing):  # a bit of the digest's name or of the space around the header decides nothing
            assert table.gather(ids_of("a"), "cpu")[0].equal(x), byte
            continue
        assert missing.tolist() == [0]
        x_b, dims = table.gather(ids_of("b"), "cpu")
        assert x_b.equal(second)
        assert dims.tolist() == [3]
        assert path.exists() or len(said) == 1, said


def test_a_damaged_file_is_said_deleted_and_replaced(tmp_path):
    table = FeatureTable.open(Cache(tmp_path), ENCODER)
    table.add(ids_of("a", "b"), torch.ones(2, 2), None)
    (path,) = tmp_path.glob("features/*/*.safetensors")
    damage(path, "flipped")
    said = []
    again = FeatureTable.open(Cache(tmp_path, said.append), ENCODER)
    assert again.missing(ids_of("a", "b", "c")).tolist() == [0, 1, 2]
    assert said == [
        f"cache file {path} is damaged (its content is not what was written): 2 features will be computed anew"
    ]
    assert not path.exists()
    again.add(ids_of("a", "b"), torch.ones(2, 2), None)
    assert FeatureTable.open(Cache(tmp_path, said.append), ENCODER).missing(ids_of("a", "b")).tolist() == []
    assert len(said) == 1


def test_a_row_is_never_given_unchecked(tmp_path):
    x = torch.tensor([[7.0, 7.0]])
    FeatureTable.open(Cache(tmp_path), ENCODER).add(ids_of("a"), x, None)
    (path,) = tmp_path.glob("features/*/*.safetensors")
    path.write_bytes(path.read_bytes().replace(x.numpy().tobytes(), (-x).numpy().tobytes()))
    table = FeatureTable.open(Cache(tmp_path), ENCODER)
    for read in (lambda: table.gather(ids_of("a"), "cpu"), lambda: table.content(ids_of("a"))):
        with pytest.raises(DamagedFileError, match="its content is not what was written"):
            read()


def test_the_content_of_rows_depends_on_features_and_lengths_only(tmp_path):
    def content(root, x, dims, *, order=("a", "b")):
        table = FeatureTable.open(root and Cache(root), ENCODER)
        for row, key in enumerate(("a", "b")):
            table.add(ids_of(key), x[row : row + 1], None if dims is None else dims[row : row + 1])
        return (FeatureTable.open(Cache(root), ENCODER) if root else table).content(ids_of(*order))

    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    plain = content(tmp_path / "1", x, None)
    assert plain == content(None, x, None) == content(None, x, None, order=("b", "a"))
    others = [content(None, x + 1e-6, None), content(None, x.flip(0), None), content(None, x, torch.tensor([2, 2]))]
    assert len({plain, *others, content(None, x, torch.tensor([2, 1]))}) == 5


def test_a_state_comes_back_with_its_facts(tmp_path):
    path = tmp_path / "transforms" / "ridge-0.safetensors"
    assert load_state(path, "cpu") is None
    save_state(path, {"w": torch.tensor([1.0, 2.0])}, {"fit_seconds": 1.5})
    state, facts = load_state(path, "cpu")
    assert state["w"].tolist() == [1, 2]
    assert facts == {"fit_seconds": 1.5}
    damage(path, "flipped")
    with pytest.raises(DamagedFileError, match="its content is not what was written"):
        load_state(path, "cpu")


def test_equal_states_are_equal_files(tmp_path):
    for number in range(9):
        save_state(tmp_path / f"{number}.safetensors", {"w": torch.ones(2), "b": torch.zeros(1)}, {"a": 1, "b": 2})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_the_listing_counts_rows_and_prune_clears(tmp_path):
    table = FeatureTable.open(Cache(tmp_path), ENCODER)
    table.add(ids_of("a", "b"), torch.ones(2, 2), None)
    save_state(tmp_path / "transforms" / "mean-shift-0.safetensors", {"w": torch.ones(2)}, {})
    assert [(entry.what, entry.rows, entry.files) for entry in list_cache(tmp_path)] == [
        ("toy", 2, 2),
        ("mean-shift", 0, 1),
    ]
    assert prune_cache(tmp_path, older_than_days=1, bad=False) == []
    assert len(prune_cache(tmp_path, older_than_days=0, bad=False)) == 2
    assert list_cache(tmp_path) == []

"""Features that are larger than memory: mapped where they lie, not read."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from crbench.errors import DataError
from crbench.files import feature_files
from crbench.files.feature_files import load_features
from crbench.files.table import load_meta

X = np.random.default_rng(0).normal(size=(50, 32)).astype(np.float32)
PIDS = np.arange(50)
ANONYMOUS = """
import sys, threading
from pathlib import Path
import crbench.cli, crbench.ranking.engine, crbench.files.feature_files, safetensors.torch, torch
def anonymous():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024
warm = ["evaluate", "--query", "q.npz", "--gallery", "small.npz", "--set", "protocol.same_camera=keep"]
assert crbench.cli.invoke(warm) == 0
before, peak, done = anonymous(), [0], threading.Event()
def watch():
    while not done.wait(0.01):
        peak[0] = max(peak[0], anonymous())
thread = threading.Thread(target=watch)
thread.start()
code = crbench.cli.invoke([*warm[:3], "--gallery", "g.npz", "--memory-budget", "16MiB", *warm[5:]])
done.set()
thread.join()
assert code == 0
print("grown", peak[0] - before)
"""


def as_npy(folder, x):
    np.save(folder / "x.npy", x)
    (folder / "x.csv").write_text("pid\n" + "\n".join(map(str, range(len(x)))) + "\n")
    return folder / "x.npy"


def as_npz(folder, x):
    np.savez(folder / "x.npz", pids=np.arange(len(x)), features=x)
    return folder / "x.npz"


def as_safetensors(folder, x):
    save_file({"features": torch.from_numpy(x), "pids": torch.arange(len(x))}, folder / "x.safetensors")
    return folder / "x.safetensors"


@pytest.mark.skipif(sys.platform != "linux", reason="whether a private map shows later changes is up to the system")
@pytest.mark.parametrize("way", [as_npy, as_npz, as_safetensors])
def test_float32_is_read_only_where_it_is_looked_at(way, tmp_path):
    path = way(tmp_path, np.tile(X, (200, 1)))
    loaded = load_features(path).features.x
    content = path.read_bytes()
    last = X[-1].tobytes()
    with path.open("r+b") as file:
        file.seek(content.rfind(last))
        file.write(np.full(32, 7, dtype=np.float32).tobytes())
    assert (loaded[-1] == 7).all(), "the file was read when it was opened"
    np.testing.assert_array_equal(loaded[:50].numpy(), X)


def test_what_is_done_to_features_does_not_reach_the_file(tmp_path):
    path = as_npy(tmp_path, X)
    load_features(path).features.x.zero_()
    np.testing.assert_array_equal(np.load(path), X)


@pytest.mark.parametrize("way", [as_npy, as_npz])
@pytest.mark.parametrize(
    "x", [X.astype(np.float16), X.astype(np.float64), X.astype(">f4"), np.asfortranarray(X)], ids=lambda x: str(x.dtype)
)
def test_the_rest_is_converted_or_refused(way, x, tmp_path, monkeypatch):
    path = way(tmp_path, x)
    np.testing.assert_array_equal(load_features(path).features.x.numpy(), x.astype(np.float32))
    monkeypatch.setattr(feature_files, "memory_limit", lambda: X.nbytes - 1)
    with pytest.raises(DataError, match=r"must be converted, .* save them as float32, row by row") as caught:
        load_features(path)
    assert "\n" not in str(caught.value)
    assert len(load_features(way(tmp_path, X)).features) == 50, "float32 needs no memory"


def test_compressed_archives_are_read(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", features=X, pids=PIDS)
    np.testing.assert_array_equal(load_features(tmp_path / "x.npz").features.x.numpy(), X)


def test_consecutive_rows_of_a_table_are_not_copied(tmp_path):
    path = as_npy(tmp_path, X)
    roles = ["query"] * 20 + ["gallery"] * 30
    (tmp_path / "meta.csv").write_text("pid,role\n" + "\n".join(f"{i},{r}" for i, r in enumerate(roles)) + "\n")
    meta = load_meta(tmp_path / "meta.csv")
    gallery = load_features(path, meta=meta, role="gallery").features
    np.testing.assert_array_equal(gallery.x.numpy(), X[20:])
    assert gallery.rows.pids.tolist() == list(range(20, 50))
    assert np.shares_memory(feature_files._rows(X, np.arange(20, 50)), X)
    np.testing.assert_array_equal(feature_files._rows(X, np.array([3, 1, 2])), X[[3, 1, 2]])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_gallery_on_disk_takes_no_memory_of_its_size(tmp_path):
    rng = np.random.default_rng(0)
    gallery = np.tile(rng.normal(size=(1000, 512)).astype(np.float32), (100, 1))  # 195 MiB
    np.savez(tmp_path / "g.npz", features=gallery, pids=np.arange(len(gallery)) % 1000)
    for name in ("q", "small"):
        np.savez(tmp_path / f"{name}.npz", features=gallery[:8], pids=np.arange(8))
    done = subprocess.run(
        [sys.executable, "-c", ANONYMOUS], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    grown = float(done.stdout.split("grown")[1])
    assert grown < gallery.nbytes / 2**21, "MiB; half of the features"


@pytest.mark.parametrize(("kind", "end"), [(np.float16, 2**11), (np.float32, 2**24), (np.float64, 2**53)])
def test_labels_stored_as_floats_must_be_told_apart(kind, end, tmp_path):
    # end and end + 1 are the same float, so that two persons would be one
    path = tmp_path / "x.npz"
    assert kind(end) == kind(end + 1)
    np.savez(path, features=X[:2], pids=np.array([end + 1, 1], dtype=kind))
    with pytest.raises(DataError, match=f"array 'pids' is {np.dtype(kind)}, .* from {end} on .*; save it as int64"):
        load_features(path)
    np.savez(path, features=X[:2], pids=np.array([end - 1, 1], dtype=kind))
    assert load_features(path).features.rows.pids.tolist() == [end - 1, 1]


@pytest.mark.parametrize(
    ("pids", "message"),
    [
        (np.array([2**63, 1], dtype=np.uint64), "hold 9223372036854775808; expected at most"),
        (np.array([np.nan, 1]), "not whole"),
        (np.array([np.inf, 1]), "cannot tell integers"),
        (np.array([1.5, 1]), "not whole"),
    ],
)
def test_labels_that_are_no_integers_are_refused(pids, message, tmp_path):
    np.savez(tmp_path / "x.npz", features=X[:2], pids=pids)
    with pytest.raises(DataError, match=message):
        load_features(tmp_path / "x.npz")

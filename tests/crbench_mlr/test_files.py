"""Missing data, opt-in, unreadable images, content hashes and `verify`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import builders
import numpy as np
import pytest
from crbench_mlr import caviar, cuhk03, dukemtmc, market1501, msmt17, viper
from crbench_mlr.base import ImageDataset

from crbench.errors import DataError


def test_missing_data_says_what_where_and_whence(dataset: ImageDataset, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        dataset.split(next(iter(dataset.protocols.values())), 0, root=tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{dataset.info.name}: no copy of {dataset.info.title} below the data root {tmp_path} (")
    assert f"({tmp_path}" in message
    assert "is not there" in message
    assert f"`crbench data info {dataset.info.name}` shows the expected folders" in message
    assert "\n" not in message, "the command line shows one line"
    assert (dataset.info.url or "no official source") in message
    assert "CRBENCH_DATA" in message


def test_missing_data_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no copy of VIPeR"):
        viper.mlr().locate(tmp_path / "nowhere")


def test_half_a_data_set_says_what_it_lacks(tmp_path: Path) -> None:
    folder = builders.build_market1501(tmp_path, "market1501")
    for path in (folder / "query").iterdir():
        path.unlink()
    (folder / "query").rmdir()
    with pytest.raises(DataError, match=r"market1501 lacks query[;)]"):
        market1501.mlr().locate(tmp_path)


@pytest.mark.parametrize("build", [dukemtmc.mlr, dukemtmc.standard])
@pytest.mark.parametrize("value", [None, "0", "yes"])
def test_dukemtmc_needs_an_opt_in(
    build: object, value: str | None, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRBENCH_ACCEPT_DUKEMTMC")
    if value is not None:
        monkeypatch.setenv("CRBENCH_ACCEPT_DUKEMTMC", value)
    with pytest.raises(DataError, match=r"(?s)withdrawn .* without the consent .*CRBENCH_ACCEPT_DUKEMTMC=1"):
        build().locate(root)  # type: ignore[operator]


def test_unknown_key(root: Path) -> None:
    for dataset in (market1501.mlr(), cuhk03.mlr()):
        with pytest.raises(DataError, match=r"there is no image 'query/\.\./x"):
            dataset.read("query/../x.jpg", root=root)
        with pytest.raises(DataError, match="there is no image"):
            dataset.digests(np.array(["nothing"]), root=root)


def test_digests_tell_images_apart_and_are_those_of_the_files(root: Path) -> None:
    dataset = market1501.mlr()
    keys = dataset.inventory(root).index.rows.keys
    digests = dataset.digests(keys, root=root)
    assert len(np.unique(digests)) == len(keys)
    assert {len(digest) for digest in digests.tolist()} == {16}
    again = dataset.digests(keys[[3, 3, 0]], root=root)
    assert again.tolist() == [digests[3], digests[3], digests[0]]


def test_digests_of_the_mat_file_are_those_of_pixels(root: Path) -> None:
    dataset = cuhk03.mlr(boxes="both")
    keys = dataset.inventory(root).index.rows.keys
    assert len(np.unique(dataset.digests(keys, root=root))) == len(keys)


def test_mat_file_is_read_by_many_threads(root: Path) -> None:
    dataset = cuhk03.mlr()
    keys = dataset.inventory(root).index.rows.keys.tolist() * 5
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda key: dataset.read(key, root=root).image, keys))
    for key, image in zip(keys, images, strict=True):
        assert np.array_equal(image, builders.image(key.removeprefix("images_")))


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    folder = builders.build_market1501(tmp_path)
    path = folder / "query" / "0002_c1s1_000200_00.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"0002_c1s1_000200_00\.jpg: damaged or truncated"):
        market1501.mlr().read(f"query/{path.name}", root=tmp_path)


def test_verify_reports_everything(tmp_path: Path) -> None:
    folder = builders.build_market1501(tmp_path)
    empty = folder / "query" / "0002_c1s1_000200_00.jpg"
    empty.write_bytes(b"")
    twin = folder / "query" / "0004_c1s1_000400_00.jpg"
    twin.write_bytes((folder / "query" / "0004_c2s1_000400_00.jpg").read_bytes())
    found = market1501.mlr().verify(root=tmp_path)
    assert found.root == str(folder)
    assert found.found["query images"] == 12
    assert found.expected["query images"] == 3368
    assert found.unreadable == (f"{empty}: empty file (0 bytes); expected an image",)
    assert found.duplicate == ("query/0004_c2s1_000400_00.jpg = query/0004_c1s1_000400_00.jpg",)
    assert any(path.endswith("Thumbs.db") for path in found.extra)
    assert not found.ok


def test_verify_counts_progress(root: Path) -> None:
    from contextlib import contextmanager

    done = []

    class Tracker:
        def advance(self, count: int = 1, **figures: float) -> None:
            done.append(count)

    @contextmanager
    def track(total: int, description: str, unit: str):  # type: ignore[no-untyped-def]
        assert (total, unit) == (16, "image")
        yield Tracker()

    assert viper.mlr().verify(root=root, track=track).missing == ()
    assert sum(done) == 16


def test_verify_names_what_lists_and_cameras_promise(tmp_path: Path) -> None:
    msmt = builders.build_msmt17(tmp_path)
    gone = msmt / "test" / "0001" / "0001_000_02_0303noon_0002_0.jpg"
    gone.unlink()
    found = msmt17.mlr().verify(root=tmp_path)
    assert found.missing == ("test/0001/0001_000_02_0303noon_0002_0.jpg",)
    assert len(found.unreadable) == 1
    viper_folder = builders.build_viper(tmp_path)
    (viper_folder / "cam_b" / "045_90.bmp").unlink()
    assert viper.mlr().verify(root=tmp_path).missing == ("cam_b/045_*",)


def test_verify_is_ok_where_the_counts_are_official(tmp_path: Path) -> None:
    builders.build_caviar(tmp_path, paired=50, single=22)
    found = caviar.mlr().verify(root=tmp_path)
    assert found.found == found.expected == caviar.mlr().info.counts
    assert found.ok

"""Every layout that users have gives the same images, whatever else lies in the folders."""

from __future__ import annotations

from pathlib import Path

import builders
import numpy as np
import pytest
from crbench_mlr import caviar, cuhk03, dukemtmc, market1501, msmt17, viper
from PIL import Image

from crbench.errors import ConfigError, DataError

MARKET_PLACES = [
    "market1501/Market-1501-v15.09.15",
    "Market-1501-v15.09.15",
    "market1501",
    "Market1501",
    "Market-1501",
    ".",
]


@pytest.mark.parametrize("place", MARKET_PLACES)
def test_market1501_places(tmp_path: Path, place: str) -> None:
    folder = builders.build_market1501(tmp_path, place)
    dataset = market1501.mlr()
    assert dataset.locate(tmp_path).samefile(folder)
    found = dataset.inventory(tmp_path)
    assert found.figures == {
        "train images": 24,
        "train identities": 4,
        "query images": 12,
        "gallery images": 27,
        "junk images": 2,
        "test identities": 4,
        "distractor identities": 0,
        "cameras": 3,
    }
    assert found.index.rows.keys[0] == "bounding_box_test/-1_c1s1_000001_01.jpg"


def test_all_places_give_the_same_split(tmp_path: Path) -> None:
    checksums = set()
    for number, place in enumerate(MARKET_PLACES):
        root = tmp_path / str(number)
        builders.build_market1501(root, place)
        dataset = market1501.mlr()
        checksums.add(dataset.split(dataset.protocols["mlr"], 0, root=root).checksum)
    assert len(checksums) == 1


def test_names_in_other_case_are_found(tmp_path: Path) -> None:
    folder = builders.build_market1501(tmp_path, "MARKET_1501")
    (folder / "query").rename(folder / "Query")
    image = next((folder / "Query").glob("0002*"))
    image.rename(image.with_suffix(".JPG"))
    keys = market1501.mlr().inventory(tmp_path).index.rows.keys.tolist()
    assert f"query/{image.stem}.JPG" in keys
    assert len(keys) == 65


def test_odd_files_are_left_out_and_strange_images_counted(tmp_path: Path) -> None:
    folder = builders.build_market1501(tmp_path)
    builders.save(folder / "query" / "copy of something.jpg")
    found = market1501.mlr().inventory(tmp_path)
    assert len(found.index.rows) == 65
    assert found.notes == {"images that names or lists leave out": 1}
    assert sum(path.endswith("Thumbs.db") for path in found.extra) == 3
    assert any(path.endswith("copy of something.jpg") for path in found.extra)


@pytest.mark.parametrize(
    ("build", "module", "name"),
    [
        (builders.build_market1501, market1501, "12345_c{}s10_000451_03.jpg"),
        (builders.build_dukemtmc, dukemtmc, "12345_c{}_f0046985.jpg"),
        (lambda root: builders.build_cuhk03_market_style(root, "cuhk03"), cuhk03, "12345_c{}_1.png"),
    ],
)
def test_persons_and_cameras_of_any_number_are_read(tmp_path: Path, build: object, module: object, name: str) -> None:
    folder = build(tmp_path)
    before = module.standard().inventory(tmp_path).index.rows
    for camid in (7, 9, 107):
        builders.save(folder / "bounding_box_test" / name.format(camid))
    found = module.standard().inventory(tmp_path)
    new = found.index.rows.take(~np.isin(found.index.rows.keys, before.keys))
    assert sorted(new.camids.tolist()) == [7, 9, 107]
    assert set(new.pids.tolist()) == {12345}
    assert not found.notes


def test_names_that_only_python_reads_as_numbers_are_counted(tmp_path: Path) -> None:
    folder = builders.build_market1501(tmp_path)
    for name in ("000\N{ARABIC-INDIC DIGIT TWO}_c1s1_000451_03.jpg", "0002_c9999999999s1_000451_03.jpg"):
        builders.save(folder / "query" / name)
    found = market1501.mlr().inventory(tmp_path)
    assert len(found.index.rows) == 65
    assert found.notes == {"images that names or lists leave out": 2}


@pytest.mark.parametrize("val", [True, False])
def test_msmt17_images_in_no_list_are_counted(tmp_path: Path, val: bool) -> None:
    folder = builders.build_msmt17(tmp_path)
    builders.save(folder / "train" / "0000" / "0000_099_01_0303morning_0001_0.jpg")
    found = msmt17.mlr(val=val).inventory(tmp_path)
    assert found.notes == {"images that names or lists leave out": 1}
    assert [Path(path).name for path in found.extra] == ["0000_099_01_0303morning_0001_0.jpg"]


def test_ready_made_lr_copy_is_refused(tmp_path: Path) -> None:
    folder = builders.build_market1501(tmp_path)
    builders.save(folder / "query" / "0002_c1s1_000200_00_2x.jpg")
    with pytest.raises(DataError, match=r"_2x\.jpg: the suffix says that this is a ready-made LR copy"):
        market1501.mlr().inventory(tmp_path)


def test_folder_of_other_images_is_refused(tmp_path: Path) -> None:
    builders.build_dukemtmc(tmp_path, "market1501")
    with pytest.raises(DataError, match=r"no image is named like 0002_c1s1_000451_03\.jpg; the first is 0001_c1_f"):
        market1501.mlr().inventory(tmp_path)


def test_empty_folders_are_refused(tmp_path: Path) -> None:
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / "market1501" / name).mkdir(parents=True)
    with pytest.raises(DataError, match="hold no images"):
        market1501.mlr().inventory(tmp_path)


@pytest.mark.parametrize("place", ["dukemtmc-reid/DukeMTMC-reID", "dukemtmcreid", "DukeMTMC-reID", "."])
def test_dukemtmc_places(tmp_path: Path, place: str) -> None:
    folder = builders.build_dukemtmc(tmp_path, place)
    dataset = dukemtmc.mlr()
    assert dataset.locate(tmp_path).samefile(folder)
    figures = dataset.inventory(tmp_path).figures
    assert (figures["train images"], figures["query images"], figures["gallery images"]) == (24, 12, 25)
    assert (figures["test identities"], figures["distractor identities"], figures["cameras"]) == (4, 1, 3)


@pytest.mark.parametrize("place", ["viper/VIPeR", "VIPeR", "viper", "."])
def test_viper_places(tmp_path: Path, place: str) -> None:
    builders.build_viper(tmp_path, place)
    rows = viper.mlr().inventory(tmp_path).index.rows
    assert rows.keys[:2].tolist() == ["cam_a/000_0.bmp", "cam_a/001_0.bmp"]
    assert np.unique(rows.pids).tolist() == [1, 2, 3, 4, 6, 9, 46, 874]  # id + 1: pid 0 would be a distractor
    assert rows.camids.tolist() == [1] * 8 + [2] * 8


@pytest.mark.parametrize(
    "place", ["CAVIAR4REID/1x1", "CAVIAR4REID/CAVIARa", "CAVIARa", "caviar/1x1", "caviar4reid", "1x1", "."]
)
def test_caviar_places(tmp_path: Path, place: str) -> None:
    builders.build_caviar(tmp_path, place)
    found = caviar.mlr().inventory(tmp_path)
    assert found.figures == {"images": 150, "identities": 9, "cameras": 2, "two-camera identities": 6}
    assert np.unique(found.index.rows.pids).tolist() == [1, 2, 3, 4, 5, 6]
    assert found.notes == {"single-camera identities": 3, "single-camera images": 30}
    assert found.index.rows.keys[9:11].tolist() == ["0001010.jpg", "0001011.jpg"]
    assert found.index.rows.camids[9:11].tolist() == [1, 2]


@pytest.mark.parametrize(("version", "place"), [("V1", None), ("V2", None), ("V1", "MSMT17"), ("V2", "MSMT17_V2")])
def test_msmt17_versions(tmp_path: Path, version: str, place: str | None) -> None:
    builders.build_msmt17(tmp_path, version, place)
    found = msmt17.mlr().inventory(tmp_path)
    rows, roles = found.index.rows, found.index.roles
    assert np.unique(rows.pids[roles == "train"]).tolist() == [1, 2, 3, 4]
    assert np.unique(rows.pids[roles != "train"]).tolist() == [1042, 1043, 1044, 1045]
    assert np.unique(rows.camids).tolist() == [1, 2, 15]
    assert found.figures["train images"] == 24
    other = "V2" if version == "V1" else "V1"
    with pytest.raises(DataError, match="no copy of MSMT17"):
        msmt17.mlr(version=other).locate(tmp_path)


def test_msmt17_without_val(tmp_path: Path) -> None:
    builders.build_msmt17(tmp_path)
    dataset = msmt17.mlr(val=False)
    assert dataset.inventory(tmp_path).figures["train images"] == 20
    assert dataset.info.counts["train images"] == 30248


@pytest.mark.parametrize(
    "line", ["no-label.jpg", "../../x/0000_000_01_a_b.jpg 0", "/etc/0000_000_01_a_b.jpg 0", "a/b.jpg 1"]
)
def test_msmt17_bad_list_line(tmp_path: Path, line: str) -> None:
    folder = builders.build_msmt17(tmp_path)
    with (folder / "list_query.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"list_query\.txt: line 13 is "):
        msmt17.mlr().inventory(tmp_path)


def test_cuhk03_mat_and_its_extraction_are_the_same_data(tmp_path: Path) -> None:
    (from_mat, extracted) = (tmp_path / "mat", tmp_path / "png")
    builders.build_cuhk03_mat(from_mat)
    builders.build_cuhk03_folders(extracted)
    for boxes in ("detected", "labeled", "both"):
        dataset = cuhk03.mlr(boxes=boxes)
        protocol = dataset.protocols["mlr"].changed(identities="random:4/3")
        splits = [dataset.split(protocol, 1, root=root) for root in (from_mat, extracted)]
        assert splits[0].manifest() == splits[1].manifest()
        for key in splits[0].query.keys.tolist():
            pixels = [np.asarray(dataset.read(key, root=root).image) for root in (from_mat, extracted)]
            assert np.array_equal(*pixels)


@pytest.mark.parametrize("place", ["cuhk03/cuhk03_release", "cuhk03", "cuhk03_release", "."])
def test_cuhk03_mat_places(tmp_path: Path, place: str) -> None:
    builders.build_cuhk03_mat(tmp_path, place)
    dataset = cuhk03.mlr()
    found = dataset.inventory(tmp_path)
    assert found.figures == {"images": 30, "identities": 8, "cameras": 2}
    assert np.unique(found.index.rows.pids).tolist() == [1, 2, 3, 4, 844, 845, 1284, 1419]
    assert [pids.tolist() for pids in found.test_sets] == [[1, 844], [2, 1284]]
    image = dataset.read("images_detected/1_001_1_01.png", root=tmp_path).image
    assert image.size == (16, 32)
    assert np.array_equal(image, builders.image("detected/1_001_1_01.png"))


@pytest.mark.parametrize("place", ["cuhk03-np/detected", "cuhk03/detected", "cuhk03", "cuhk03-np"])
def test_cuhk03_market_style_places(tmp_path: Path, place: str) -> None:
    builders.build_cuhk03_market_style(tmp_path, place)
    found = cuhk03.mlr().inventory(tmp_path)
    assert found.figures == {"images": 32, "identities": 8, "cameras": 2}
    assert set(found.index.roles.tolist()) == {"any"}


def test_cuhk03_boxes_that_are_not_there(tmp_path: Path) -> None:
    builders.build_cuhk03_market_style(tmp_path, "cuhk03-np/detected")
    with pytest.raises(DataError, match="labeled/bounding_box_train"):
        cuhk03.mlr(boxes="labeled").locate(tmp_path)


def test_cuhk03_both_boxes_double_the_images(tmp_path: Path) -> None:
    builders.build_cuhk03_mat(tmp_path)
    assert cuhk03.mlr(boxes="both").inventory(tmp_path).figures["images"] == 60


def test_cuhk03_official_test_sets(tmp_path: Path) -> None:
    builders.build_cuhk03_mat(tmp_path)
    dataset = cuhk03.standard()
    classic = dataset.protocols["classic"]
    for trial, test_pids in enumerate(([1, 844], [2, 1284])):
        split = dataset.split(classic, trial, root=tmp_path)
        assert np.unique(split.query.pids).tolist() == test_pids
        assert np.unique(split.gallery.pids).tolist() == test_pids
        assert len(np.unique(split.train.pids)) == 6
    with pytest.raises(DataError, match="holds 2 official test sets, so none for trial 2"):
        dataset.split(classic, 2, root=tmp_path)


def test_cuhk03_official_test_sets_need_the_mat_file(tmp_path: Path) -> None:
    builders.build_cuhk03_folders(tmp_path)
    dataset = cuhk03.standard()
    with pytest.raises(DataError, match="holds 0 official test sets"):
        dataset.split(dataset.protocols["classic"], 0, root=tmp_path)


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"MATLAB 5.0 MAT-file"])
def test_cuhk03_mat_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cuhk-03.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"cuhk-03\.mat: not the CUHK03 file"):
        cuhk03.mlr().inventory(tmp_path)


def test_cuhk03_extracted_id_out_of_range(tmp_path: Path) -> None:
    folder = builders.build_cuhk03_folders(tmp_path)
    builders.save(folder / "images_detected" / "5_050_1_01.png")
    with pytest.raises(DataError, match="camera pair 5 has ids 1 to 49, not 50"):
        cuhk03.mlr().inventory(tmp_path)


@pytest.mark.parametrize("build", [lambda: cuhk03.mlr(boxes="hand"), lambda: msmt17.mlr(version="V3")])
def test_unknown_parameter_values(build: object) -> None:
    with pytest.raises(ConfigError, match="is not one of"):
        build()  # type: ignore[operator]


def test_image_with_exif_and_mode_is_read_upright(tmp_path: Path) -> None:
    folder = builders.build_market1501(tmp_path)
    path = folder / "query" / "0002_c1s1_000200_00.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    builders.image("x", (16, 32)).save(path, exif=exif)
    assert market1501.mlr().read(f"query/{path.name}", root=tmp_path).image.size == (32, 16)

"""Small copies of the data sets, in the layouts and with the file names that users have; the images are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from crbench.protocol import EvalProtocol

MARKET_CAMERAS = (1, 2, 3)
CUHK03_PEOPLE = ((1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (5, 1))
"""(camera pair, person): their pids are 1 to 4, 844, 845, 1284 and 1419."""


def image(name: str, size: tuple[int, int] = (16, 32)) -> Image.Image:
    """An image of its own for each name, the same everywhere: a colour per half, with texture."""
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big")
    pixels = np.random.default_rng(seed).integers(0, 60, (size[1], size[0], 3))
    pixels[: size[1] // 2] += np.array([seed % 190, seed // 190 % 190, 90])
    pixels[size[1] // 2 :] += np.array([seed // 7 % 190, 60, seed // 77 % 190])
    return Image.fromarray(pixels.astype(np.uint8))


def save(path: Path, size: tuple[int, int] = (16, 32)) -> None:
    """Write the image of a path's name, in the format that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image(path.name, size).save(path)


def add_odd_files(folder: Path) -> None:
    """What systems and people leave in image folders."""
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "._0001_c1s1_000151_01.jpg").write_bytes(b"Mac OS X")
    (folder / ".DS_Store").write_bytes(b"\x00")
    (folder / "readme.txt").write_text("notes")


def build_market1501(root: Path, place: str = "market1501/Market-1501-v15.09.15", *, people: int = 8) -> Path:
    """Market-1501: odd ids train, even ids test, seen by three cameras; two junk and three distractor images."""
    folder = root / place
    for pid in range(1, people + 1):
        for camid in MARKET_CAMERAS:
            for frame in (1, 2):
                name = f"{pid:04d}_c{camid}s1_{100 * pid + frame:06d}_0{frame}.jpg"
                if pid % 2:
                    save(folder / "bounding_box_train" / name)
                else:
                    save(folder / "bounding_box_test" / name)
            if not pid % 2:
                save(folder / "query" / f"{pid:04d}_c{camid}s1_{100 * pid:06d}_00.jpg")
    for number, camid in enumerate((1, 2), start=1):
        save(folder / "bounding_box_test" / f"-1_c{camid}s1_00000{number}_01.jpg")
    for number, camid in enumerate((1, 2, 3), start=1):
        save(folder / "bounding_box_test" / f"0000_c{camid}s1_00000{number}_01.jpg")
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        add_odd_files(folder / name)
    return folder


def build_dukemtmc(root: Path, place: str = "dukemtmc-reid/DukeMTMC-reID", *, people: int = 8) -> Path:
    """DukeMTMC-reID: odd ids train, even ids test, cameras 1, 2 and 8; id 7000 is a distractor."""
    folder = root / place
    for pid in range(1, people + 1):
        for camid in (1, 2, 8):
            for frame in (1, 2):
                name = f"{pid:04d}_c{camid}_f{1000 * pid + frame:07d}.jpg"
                save(folder / ("bounding_box_train" if pid % 2 else "bounding_box_test") / name)
            if not pid % 2:
                save(folder / "query" / f"{pid:04d}_c{camid}_f{1000 * pid:07d}.jpg")
    save(folder / "bounding_box_test" / "7000_c2_f0000001.jpg")
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        add_odd_files(folder / name)
    return folder


def build_msmt17(root: Path, version: str = "V1", place: str | None = None, *, people: int = 4) -> Path:
    """MSMT17: list ids restart at 0 in the test lists; cameras 1, 2 and 15."""
    folder = root / (place or f"msmt17/MSMT17_{version}")
    train, test = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}[version]
    lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}
    for pid in range(people):
        for camid in (1, 2, 15):
            for number in range(2):
                name = f"{pid:04d}/{pid:04d}_{number:03d}_{camid:02d}_0303morning_00{camid:02d}_{number}.jpg"
                save(folder / train / name)
                save(folder / test / name.replace("morning", "noon"))
                lists["val" if camid == 15 and number else "train"].append(f"{name} {pid}")
                lists["gallery" if number else "query"].append(f"{name.replace('morning', 'noon')} {pid}")
    for name, lines in lists.items():
        (folder / f"list_{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def build_viper(root: Path, place: str = "viper/VIPeR", *, people: Iterable[int] = (0, 1, 2, 3, 5, 8, 45, 873)) -> Path:
    """VIPeR: one 48x128 image per id and camera; ids are not contiguous."""
    folder = root / place
    for pid in people:
        save(folder / "cam_a" / f"{pid:03d}_0.bmp", (48, 128))
        save(folder / "cam_b" / f"{pid:03d}_90.bmp", (48, 128))
    add_odd_files(folder / "cam_a")
    return folder


def build_caviar(root: Path, place: str = "CAVIAR4REID/1x1", *, paired: int = 6, single: int = 3) -> Path:
    """CAVIAR4REID: `paired` ids with 10 large and 10 small images, then `single` ids with 10 large ones."""
    folder = root / place
    for pid in range(1, paired + single + 1):
        for number in range(1, 21 if pid <= paired else 11):
            save(folder / f"{pid:04d}{number:03d}.jpg", (24 + number, 60) if number <= 10 else (10 + number, 36))
    add_odd_files(folder)
    return folder


def cuhk03_images(pair: int, person: int) -> list[tuple[int, int]]:
    """(view, number) of the images of a person: two in view 1, two in view 2; nothing in view 2 of person 1-4."""
    numbers = (1, 3, 6, 8) if (pair, person) != (1, 4) else (1, 3)
    return [(1 if number <= 5 else 2, number) for number in numbers]


def build_cuhk03_mat(root: Path, place: str = "cuhk03/cuhk03_release") -> Path:
    """``cuhk-03.mat`` with MATLAB's cell references, transposed arrays and empty cells; three official test sets."""
    folder = root / place
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "cuhk-03.mat", "w") as file:
        cells = file.create_group("#refs#")
        for box in ("detected", "labeled"):
            pairs = [_mat_pair(file, cells, box, pair) for pair in range(1, 6)]
            file.create_dataset(box, data=np.array([pairs], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
        sets = [
            _mat_cell(cells, np.array(people, dtype=np.float64).T) for people in (((1, 1), (2, 1)), ((1, 2), (3, 1)))
        ]
        file.create_dataset("testsets", data=np.array([sets], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
    return folder


def _mat_pair(file: h5py.File, cells: h5py.Group, box: str, pair: int) -> h5py.Reference:
    """One camera pair as MATLAB stores it: references [10 images, persons]."""
    people = [person for first, person in CUHK03_PEOPLE if first == pair]
    references = np.empty((10, len(people)), dtype=h5py.ref_dtype)
    empty = _mat_cell(cells, np.array([0, 0], dtype=np.uint64))
    for column, person in enumerate(people):
        references[:, column] = empty
        for view, number in cuhk03_images(pair, person):
            name = f"{box}/{pair}_{person:03d}_{view}_{number:02d}.png"
            references[number - 1, column] = _mat_cell(cells, np.asarray(image(name)).T)
    stored = cells.create_dataset(f"{box}{pair}", data=references, dtype=h5py.ref_dtype)
    return stored.ref


def _mat_cell(cells: h5py.Group, content: np.ndarray) -> h5py.Reference:
    return cells.create_dataset(f"cell{len(cells)}", data=content).ref


def build_cuhk03_folders(root: Path, place: str = "cuhk03") -> Path:
    """The same images as torchreid extracts them."""
    folder = root / place
    for box in ("detected", "labeled"):
        images = folder / f"images_{box}"
        images.mkdir(parents=True, exist_ok=True)
        for pair, person in CUHK03_PEOPLE:
            for view, number in cuhk03_images(pair, person):
                name = f"{pair}_{person:03d}_{view}_{number:02d}.png"
                image(f"{box}/{name}").save(images / name)
    add_odd_files(folder / "images_detected")
    return folder


def build_cuhk03_market_style(root: Path, place: str = "cuhk03-np/detected") -> Path:
    """The ready Market-style folders: ids 1 to 8, train, query and gallery spread over them."""
    folder = root / place
    for pid in range(1, 9):
        for camid in (1, 2):
            for number in (1, 2):
                name = "bounding_box_train" if pid <= 4 else "query" if number == 1 else "bounding_box_test"
                save(folder / name / f"{pid:04d}_c{camid}_{number + 5 * (camid - 1)}.png")
    add_odd_files(folder / "query")
    return folder


def build_all(root: Path) -> None:
    """A small copy of each data set below `root`; CUHK03 as its ``.mat`` file."""
    build_market1501(root)
    build_dukemtmc(root)
    build_msmt17(root)
    build_viper(root)
    build_caviar(root)
    build_cuhk03_mat(root)


SMALL_IDENTITIES = {"random:1367/100": "random:4/3", "random:316/316": "random:4/4", "random:25/25": "random:3/3"}
"""By the real number of random identities, as many as the small copies have."""


def small(protocol: EvalProtocol) -> EvalProtocol:
    """The protocol with as many random identities as the small copies have."""
    return protocol.changed(identities=SMALL_IDENTITIES.get(protocol.split.identities, protocol.split.identities))

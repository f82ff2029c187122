"""The contact sheet of any data set."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
from PIL import Image

from crbench.data.decode import StoredImage
from crbench.data.info import DatasetInfo
from crbench.errors import ConfigError
from crbench.images.contact_sheet import CELL, contact_sheet
from crbench.protocol import EvalProtocol
from crbench.records import Samples, Split

ROOT = Path("unused")


@attrs.frozen
class Snapshots:
    """Six people in three cameras; sizes vary from image to image, the query camera may be natively LR."""

    native: float = 1.0
    read_keys: list[str] = attrs.field(factory=list)
    info: DatasetInfo = attrs.field(factory=lambda: DatasetInfo(name="snapshots", title="Snapshots"))
    protocols: dict[str, EvalProtocol] = attrs.field(factory=lambda: {"mlr": EvalProtocol()})

    def split(self, protocol: EvalProtocol, index: int, *, root: Path) -> Split:
        pids, camids = (axis.ravel() for axis in np.meshgrid(np.arange(1, 7), [1, 2, 3], indexing="ij"))
        keys = [f"{pid}-{camid}" for pid, camid in zip(pids, camids, strict=True)]
        native = np.where(camids == 1, self.native, 1.0)
        rows = Samples(keys=keys, pids=pids, camids=camids, rates=native, native_rates=native)
        return Split(train=rows.take(slice(0)), query=rows.take(camids == 1), gallery=rows.take(camids != 1))

    def read(self, key: str, *, root: Path) -> StoredImage:
        self.read_keys.append(key)
        pid, camid = (int(part) for part in key.split("-"))
        rows, columns = np.indices((60 + 30 * camid + pid, 30 + 9 * pid))
        board = np.where((rows + columns) % 2, 255, 0).astype(np.uint8)
        return StoredImage(Image.fromarray(np.stack([board, board, board], axis=2)), key)


def grid(sheet: Image.Image, across: int = 1) -> tuple[int, int]:
    """Cells per strip, and rows of strips; a cell is 6 pixels apart from the next, a strip 18."""
    columns, rest = divmod(sheet.width // across - 18, CELL[0] + 6)
    assert rest == 0
    return columns, sheet.height // CELL[1]


def test_a_strip_shows_hr_rates_and_other_cameras():
    data = Snapshots()
    sheet = contact_sheet(data, EvalProtocol(), root=ROOT, people=1)
    assert sheet.mode == "RGB"
    assert grid(sheet) == (6, 1)
    assert sorted(key[-1] for key in data.read_keys) == ["1", "2", "3"]
    assert len({key[0] for key in data.read_keys}) == 1


def test_two_people_stand_side_by_side():
    assert grid(contact_sheet(Snapshots(), EvalProtocol(), root=ROOT, people=6), across=2) == (6, 3)


def test_no_more_people_than_there_are():
    sheets = [contact_sheet(Snapshots(), EvalProtocol(), root=ROOT, people=people) for people in (6, 50)]
    assert sheets[0].tobytes() == sheets[1].tobytes()


def test_shrunk_copies_have_lost_the_chequers():
    """A one-pixel chequerboard is grey after shrinking by 2, and still black and white in the HR cell."""
    sheet = np.asarray(contact_sheet(Snapshots(), EvalProtocol(), root=ROOT, people=1), dtype=int)
    middle = sheet[100:160, :, 0]
    cell = CELL[0] + 6
    hr, half = (middle[:, start + 60 : start + 76] for start in (12, 12 + cell))
    assert (hr.min(), hr.max()) == (0, 255)
    assert 90 < half.min() <= half.max() < 165


def test_rates_follow_the_protocol():
    data = Snapshots()
    pro = contact_sheet(data, EvalProtocol.of(query_rates=(2, 3, 4, 5, 6, 7)), root=ROOT, people=1)
    plain = contact_sheet(data, EvalProtocol.of(query_rates=()), root=ROOT, people=1)
    assert (grid(pro)[0], grid(plain)[0]) == (9, 6)


def test_native_lr_images_are_not_enlarged_to_lower_rates():
    sheet = contact_sheet(Snapshots(native=2.0), EvalProtocol(), root=ROOT, people=1)
    assert grid(sheet)[0] == 5  # as stored (rate 2), rates 3 and 4, two other cameras


def test_seed_chooses_the_people():
    shown = []
    for seed in (0, 0, 1, 2, 3):
        data = Snapshots()
        contact_sheet(data, EvalProtocol(), root=ROOT, people=2, seed=seed)
        shown.append(tuple(data.read_keys))
    assert shown[0] == shown[1]
    assert len(set(shown)) > 1


def test_nobody_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        contact_sheet(Snapshots(), EvalProtocol(), root=ROOT, people=0)

"""What is drawn: the same everywhere, different where it should be."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from crbench_synthetic.canvas import Canvas, Paint
from crbench_synthetic.chance import Chance
from crbench_synthetic.dataset import SyntheticPedestrians
from crbench_synthetic.fabrics import PATTERNS, emblem, weave
from crbench_synthetic.figure import draw
from crbench_synthetic.image import take
from crbench_synthetic.people import Material, meet
from crbench_synthetic.pose import HEADINGS, Pose, Sketch, View
from crbench_synthetic.size import HEIGHT, WIDTH

ROOT = Path("unused")

GOLDEN = {
    "train/0000001_c1_01": "9c3a88c8c525331f5e714f35e230666173b9a2ac2aca71d7407f4577de68ab35",
    "train/0000042_c2_02": "ec17bb6182e50e1cc5893911e6b20006c3863321613b8cf3b30676241a6bcacf",
    "train/0000200_c3_03": "0d2c3083f90b78044ee40d012fe957321573f2206094572914438098192261b7",
    "test/0000201_c4_01": "598ff5530d6759b6284909d65067fa88ac4bb4ef737bcb56bc6eeea6e454556b",
    "test/0000275_c1_02": "b9ce01a5176d9f05ce12e3fa32e046f04c22dcd6915ca2e2cc4b69dafc8241ee",
    "test/0000350_c3_01": "5102890205278de7d3d5a448d0288258f165dd32823755e997071284b763f29b",
    "test/0000222_c2_03": "a85fbfb8db8fc980f22167775cc7430151f03ea953b03c7f87a24ecc6cc9b2d8",
    "test/0000300_c4_02": "922436fefe438e95dad2bb5182c0bd39bc4939ea10054890cbfb9b798a21946e",
}
"""SHA-256 of the pixels of some images of the default data set; they change with GENERATOR_VERSION only."""


def pixels(data: SyntheticPedestrians, key: str) -> np.ndarray:
    return np.asarray(data.read(key, root=ROOT).image)


def digest(data: SyntheticPedestrians, key: str) -> str:
    return hashlib.sha256(pixels(data, key).tobytes()).hexdigest()


def test_golden_digests():
    data = SyntheticPedestrians()
    assert {key: digest(data, key) for key in GOLDEN} == GOLDEN


def test_every_tenth_image_is_as_it_was_drawn_at_first():
    data = SyntheticPedestrians()
    hasher = hashlib.sha256()
    for key in data.index.rows.keys[::10].tolist():
        hasher.update(pixels(data, key).tobytes())
    assert hasher.hexdigest() == "2ada01e526fd7e077ec1e9249f463f6ec37e7d93593dab2e6b6546bf0f244c23"


def test_order_of_drawing_does_not_matter():
    data = SyntheticPedestrians()
    assert {key: digest(data, key) for key in reversed(GOLDEN)} == GOLDEN


@pytest.mark.parametrize("hash_seed", ["1", "271828"])
def test_another_process_with_another_hash_seed_draws_the_same(hash_seed):
    code = (
        "import hashlib, pathlib, sys\n"
        "from crbench_synthetic.dataset import SyntheticPedestrians\n"
        "data = SyntheticPedestrians()\n"
        "for key in sys.argv[1:]:\n"
        "    print(hashlib.sha256(data.read(key, root=pathlib.Path()).image.tobytes()).hexdigest())\n"
        "print(data.split(data.protocols['mlr'], 3, root=pathlib.Path()).checksum)\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    keys = list(GOLDEN)[:3]
    done = subprocess.run([sys.executable, "-c", code, *keys], env=environment, capture_output=True, check=True)
    data = SyntheticPedestrians()
    checksum = data.split(data.protocols["mlr"], 3, root=ROOT).checksum
    assert done.stdout.decode().split() == [*(GOLDEN[key] for key in keys), checksum]


def test_people_do_not_depend_on_how_many_there_are():
    few = SyntheticPedestrians(train_identities=7, test_identities=1, images_per_camera=1)
    assert digest(few, "train/0000007_c2_01") == digest(SyntheticPedestrians(), "train/0000007_c2_01")


def test_another_seed_draws_other_people():
    one, other = SyntheticPedestrians(), SyntheticPedestrians(seed=1)
    assert digest(one, "train/0000001_c1_01") != digest(other, "train/0000001_c1_01")


@pytest.mark.parametrize("pid", [1, 2, 3])
def test_a_person_looks_different_in_every_image(pid):
    images = {take("test", pid, camid, shot).tobytes() for camid in (1, 2, 3, 4) for shot in (1, 2)}
    assert len(images) == 8


def test_a_person_stays_the_same():
    one, again, other = meet("test", 1), meet("test", 1), meet("test", 2)
    assert (one.palette() == again.palette()).all()
    assert (one.emblem == again.emblem).all()
    assert (one.palette() != other.palette()).any()


def test_clothes_colour_carries_identity_across_cameras():
    """The mean colour of the chest finds the same person in another camera far more often than chance (1 in 40)."""
    chest = (slice(30, 56), slice(24, 40))
    people = range(1, 41)

    def colours(camid: int) -> np.ndarray:
        mean = np.array([[take("test", p, camid, s)[chest].mean(axis=(0, 1)) for s in (1, 2)] for p in people])
        mean = mean.mean(axis=1)
        return (mean - mean.mean(axis=0)) / mean.std(axis=0)

    one, other = colours(1), colours(4)
    nearest = ((one[:, None] - other[None, :]) ** 2).sum(axis=2).argmin(axis=1)
    assert 6 <= (nearest == np.arange(40)).sum() < 40


def test_shrinking_removes_fine_detail():
    """Energy between neighbouring rows of the clothes falls when an image is shrunk by 4 and enlarged again."""
    data = SyntheticPedestrians()
    fine, coarse = 0.0, 0.0
    for pid in range(1, 11):
        image = data.read(f"train/{pid:07d}_c1_01", root=ROOT).image
        small = image.resize((WIDTH // 4, HEIGHT // 4)).resize((WIDTH, HEIGHT))
        fine += np.abs(np.diff(np.asarray(image, dtype=float)[30:100, 20:44], axis=0)).mean()
        coarse += np.abs(np.diff(np.asarray(small, dtype=float)[30:100, 20:44], axis=0)).mean()
    assert coarse < 0.6 * fine


@pytest.mark.parametrize("heading", HEADINGS)
def test_figures_are_as_large_as_people(heading):
    """A figure of height 220 covers a tenth to a third of the canvas, head and feet where they belong."""
    facing, sideways = HEADINGS[heading]
    view = View(64.0, 18.0, 220.0, facing, sideways, pitch=0.1, taper=0.05, lean=0.0)
    for pid in range(1, 6):
        canvas = Canvas.blank(256, 128)
        draw(Sketch(canvas, meet("test", pid), Pose.drawn(Chance("test", pid)), view))
        rows = np.flatnonzero((canvas.materials > 0).any(axis=1))
        assert rows[0] in range(8, 24)
        assert rows[-1] in range(230, 250)
        assert 0.1 < (canvas.materials > 0).mean() < 0.35


@pytest.mark.parametrize("pattern", PATTERNS)
def test_weaves_show_their_colours(pattern):
    tile = weave(pattern, Chance("test", pattern))
    assert tile.dtype == np.uint8
    colours = {"plain": {0}, "plaid": {0, 1, 2}, "motif": {0, 1, 2}}.get(pattern, {0, 1})
    assert set(np.unique(tile)) == colours


def test_unknown_weave_is_refused():
    with pytest.raises(ValueError, match="unknown pattern 'tartan'"):
        weave("tartan", Chance("test", 0))


def test_emblems_are_symmetric_and_differ():
    emblems = [emblem(Chance("test", number)) for number in range(30)]
    assert all((glyph == glyph[:, ::-1]).all() for glyph in emblems)
    assert len({glyph.tobytes() for glyph in emblems}) == 30


def test_chance_is_frozen_and_uniform():
    chance = Chance("test", "frozen")
    assert [chance.below(1000) for _ in range(4)] == [724, 737, 512, 584]
    assert chance.octets(4).tolist() == [176, 48, 198, 184]
    counts = np.bincount([chance.below(5) for _ in range(5000)], minlength=5)
    assert (np.abs(counts - 1000) < 150).all()
    assert all(2 <= chance.between(2, 3) < 3 for _ in range(100))
    picks = [chance.pick("ab", (9, 1)) for _ in range(1000)]
    assert 850 < picks.count("a") < 950


def test_weights_of_nothing_are_refused():
    with pytest.raises(ValueError, match="nothing to pick"):
        Chance("test", 0).pick("ab", (0, 0))


def test_shapes_stay_on_the_canvas():
    """Shapes partly or wholly outside are cut off, not wrapped around and not an error."""
    canvas = Canvas.blank(20, 10)
    paint = Paint(Material.SKIN)
    canvas.oval((-30.0, 5.0), (4.0, 4.0), paint)
    canvas.limb((50.0, 50.0), (60.0, 60.0), (2.0, 3.0), paint)
    canvas.body([(-20.0, 5.0, 3.0), (-10.0, 5.0, 3.0)], paint)
    canvas.stamp((5.0, 90.0), np.ones((7, 7), np.uint8), 2.0, 1.0, Material.EMBLEM)
    assert not canvas.materials.any()
    canvas.oval((0.0, 0.0), (3.0, 3.0), paint)
    assert canvas.materials[0, 0] == Material.SKIN
    assert not canvas.materials[10:].any()
    assert not canvas.materials[:, 5:].any()


def test_a_tile_repeats_over_a_body():
    canvas = Canvas.blank(24, 8)
    tile = np.array([[0], [0], [1], [1]], dtype=np.uint8)
    canvas.body([(0.0, 4.0, 4.0), (24.0, 4.0, 4.0)], Paint(Material.TOP, tile))
    column = canvas.materials[:, 4]
    assert (column[:20] == column[4:]).all()
    assert set(column) == {Material.TOP, Material.TOP + 1}

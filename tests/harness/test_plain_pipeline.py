"""A whole run beside plain loops: images shrunk by Pillow, features of pixels, means of tracklets, ranks by sorting."""

from __future__ import annotations

import csv
import io
import math
from fractions import Fraction
from itertools import product

import attrs
import numpy as np
import pytest
import torch
from crbench_mlr.own.dataset import OwnFolder
from evaluation import oracle
from PIL import Image

from crbench.api.entry import Entry
from crbench.data.preprocess import Preprocess
from crbench.harness.run import run
from crbench.records import Encoded, Features
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner

WIDTH, HEIGHT = 8, 16

RULES = [
    {"gallery_rates": [1, 2], "query_rates": [5]},
    {"rounding": "ceil", "kernel": "bicubic", "flip": True, "query_rates": [1.1, 2.2], "train_rates": [2]},
    {"rounding": "round", "encoder": "jpeg:60", "encode_hr": True, "rate_per": "identity", "query_rates": [4, 5]},
    {"shrink_from": "64x32", "kernel": "lanczos", "unmatched": "zero", "ap": "trapezoid", "ties": "optimistic"},
]


@attrs.frozen
class Pixels:
    """A backbone whose features are the pixels of the input."""

    dim = 3 * HEIGHT * WIDTH
    preprocess = Preprocess(size=(HEIGHT, WIDTH))

    def extract(self, batch):
        return Encoded(x=batch.inputs.flatten(1).clone())


def pixels(*, weights=None, device="cpu"):
    return Pixels()


@pytest.fixture
def people(tmp_path):
    """Eight people in two cameras, three images each: the first two are a tracklet, some are stored at rate 3."""
    rng, folder, lines = np.random.default_rng(2), tmp_path / "people", [["path", "pid", "camid", "rate", "group"]]
    folder.mkdir()
    for pid, camid, number in product(range(1, 9), (1, 2), range(3)):
        looks = np.random.default_rng(pid).integers(100, 156, (6, 3, 3))
        pixels = np.clip(looks + rng.normal(0, 40, looks.shape), 0, 255).astype(np.uint8)
        size = (5, 10) if number == 2 else (int(rng.integers(30, 60)), int(rng.integers(60, 120)))
        name = f"{pid}_{camid}_{number}.png"
        Image.fromarray(pixels).resize(size).save(folder / name)
        rate = 3 if number == 2 and pid % 2 else 1
        lines.append([name, str(pid), str(camid), str(rate), f"{pid}-{camid}" if number < 2 else ""])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder


def resized(image, size, kernel):
    """Width, then height."""
    method = Image.Resampling[kernel.upper()]
    return image.resize((size[0], image.height), method).resize(size, method)


def feature(path, factor, rules):
    """f64[D] of an image that is shrunk by an exact factor."""
    image = Image.open(path).convert("RGB")
    if factor != 1:
        if rules.shrink_from != "stored":
            height, width = map(int, rules.shrink_from.split("x"))
            image = resized(image, (width, height), "bilinear")
        rounded = {"floor": math.floor, "ceil": math.ceil, "round": lambda x: math.floor(x + Fraction(1, 2))}
        size = [max(1, rounded[rules.rounding](side / factor)) for side in image.size]
        image = resized(image, tuple(size), rules.kernel)
    if rules.encoder.startswith("jpeg") and (factor != 1 or rules.encode_hr):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rules.encoder.partition(":")[2]), subsampling="4:2:0")
        image = Image.open(buffer).convert("RGB")
    pixels = np.asarray(resized(image, (WIDTH, HEIGHT), "bilinear"), dtype=float) / 127.5 - 1
    shown = (pixels + pixels[:, ::-1]) / 2 if rules.flip else pixels
    return shown.transpose(2, 0, 1).ravel()


def items(rows, folder, rules):
    """Means of tracklets, an image without one by itself."""
    members = {}
    for number, group in enumerate(rows.groups.tolist()):
        members.setdefault(group, []).append(number)
    means = []
    for numbers in members.values():
        factors = [Fraction(f"{rows.rates[n]:.4f}") / int(rows.native_rates[n]) for n in numbers]
        own = [feature(folder / rows.keys[n], factor, rules) for n, factor in zip(numbers, factors, strict=True)]
        means.append(np.mean(own, axis=0))
    first = np.array([numbers[0] for numbers in members.values()])
    return Features(torch.from_numpy(np.array(means)), rows.take(first))


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: "-".join(rules))
def test_a_run_gives_the_scores_of_plain_loops(rules, people, spec, offer):
    owner = Owner(plugin="pixels", distribution="pixels", version="1")
    offer(Registered("backbone", Entry("pixels", pixels), owner))
    changes = {f"protocol.{name}": value for name, value in {**rules, "shot": "multi"}.items()}
    (result,) = run(spec(dataset=f"folder:{people}", backbone="pixels", protocol="mlr", trial=[0, 1], set=changes))
    dataset = OwnFolder(people)
    protocol = dataset.protocols["mlr"].changed(shot="multi", **rules)
    for trial in result.trials:
        split = dataset.split(protocol, trial.index, root=people)
        query, gallery = (items(rows, people, protocol.images) for rows in (split.query, split.gallery))
        cmc, ap, inp = oracle.multi_shot(
            query.rows, gallery.rows, oracle.distance_matrix(query, gallery, protocol), protocol
        )
        assert not np.isnan(ap).any()
        np.testing.assert_allclose(trial.cmc, cmc.mean(axis=0), rtol=0, atol=1e-12)
        assert trial.scores == pytest.approx({"mAP": ap.mean(), "mINP": inp.mean()}, rel=0, abs=1e-12)
        assert 0.3 < trial.scores["mAP"] < 0.95

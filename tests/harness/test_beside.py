"""Features of the same images by two networks, in two arithmetics, or from two files."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from crbench.api.entry import Entry
from crbench.errors import ComparisonError, ConfigError, DataError, PluginError
from crbench.harness.beside import features_beside, files_beside
from crbench.records import Encoded
from crbench.registry.discovery import Registered
from crbench.registry.guard import Owner
from crbench.testing import RandomBackbone

OWNER = Owner(plugin="strangers", distribution="strangers", version="1")


class Turned(RandomBackbone):
    """Another export of `RandomBackbone`, which got the images of one half of the batch upside down."""

    def extract(self, batch):
        upside_down = attrs.evolve(batch, inputs=torch.where(
            batch.inputs[:, :1, :1, :1] > 0, batch.inputs.flip(2), batch.inputs
        ))  # fmt: skip
        return super().extract(upside_down)


class MixesItsBatch(RandomBackbone):
    """An image's feature depends a little on the first of the batch, less than a run would notice."""

    def extract(self, batch):
        x = super().extract(batch).x
        return Encoded(x=x + 1e-6 * x[:1] * x.norm(dim=1, keepdim=True))


def offered(kind):
    def build(*, weights=None, device="cpu"):
        return kind()

    return build


@pytest.fixture
def backbones(offer):
    for name, kind in (("turned", Turned), ("mixing", MixesItsBatch)):
        offer(Registered("backbone", Entry(name, offered(kind)), OWNER))
    offer(Registered("backbone", Entry("short", lambda *, weights=None, device="cpu": RandomBackbone(dim=4)), OWNER))


def test_two_exports_that_differ_are_told_apart_and_the_worst_image_is_named(spec, backbones):
    one, other = spec(backbone="random", trial=0), spec(backbone="turned", trial=0)
    found = features_beside((one, other), 12, batch=4)
    assert len(found.fidelity) == 12
    assert [side.name for side in found.sides] == ["random", "turned"]
    assert all(side.images_per_s > 0 for side in found.sides)
    assert found.fidelity.cosines.min() < 0.999 < found.fidelity.cosines.max()
    assert found.rows.keys[found.fidelity.worst]
    assert found.images == "queries and gallery of tiny, trial 0"


def test_the_same_network_has_the_same_features_whatever_the_batch(spec, backbones):
    one = spec(backbone="random", trial=0)
    few, many = (features_beside((one, one), 12, batch=batch) for batch in (3, 12))
    for found in (few, many):
        assert (found.fidelity.flips, found.fidelity.swapped) == (0, 0.0)
        assert found.fidelity.cosines.min() > 1 - 1e-12
        assert all(side.alone > 1 - 1e-6 for side in found.sides)
    assert few.rows.keys.tolist() == many.rows.keys.tolist()


def test_two_arithmetics_differ_by_roundings(spec):
    one = spec(backbone="random", trial=0)
    found = features_beside((one, attrs.evolve(one, amp="bf16")), 12, batch=4)
    assert [side.amp for side in found.sides] == ["off", "bf16"]
    assert 0.999 < found.fidelity.cosines.min() < 1 - 1e-9


def test_a_feature_that_depends_on_its_batch_is_seen(spec, backbones):
    one = spec(backbone="random", trial=0)
    (plain, mixing) = features_beside((one, attrs.evolve(one, backbone=("mixing",))), 12, batch=4).sides
    assert 1 - mixing.alone > 10 * abs(1 - plain.alone)


def test_what_cannot_be_compared_is_refused(spec, backbones, tmp_path):
    one = spec(backbone="random", trial=0)
    with pytest.raises(ComparisonError, match="random gives features of 16 columns, short of 4; expected the same"):
        features_beside((one, attrs.evolve(one, backbone=("short",))), 12, batch=4)
    with pytest.raises(ConfigError, match="amp auto: name the arithmetic"):
        features_beside((one, attrs.evolve(one, amp="auto")), 12, batch=4)
    with pytest.raises(PluginError, match="it gave NaN or infinite features for"):
        features_beside((one, attrs.evolve(one, backbone=("nan",))), 12, batch=4)


def npz(path, x, **columns):
    np.savez(path, features=x, **columns)
    return path


def test_files_are_compared_row_by_row(tmp_path):
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    keys = np.array([f"image {number}" for number in range(9)])
    one = npz(tmp_path / "a.npz", x, keys=keys)
    other = x.copy()
    other[3] = -other[3]
    found = files_beside(one, npz(tmp_path / "b.npz", other))
    assert (found.fidelity.worst, found.rows.keys[3]) == (3, "image 3")
    assert found.fidelity.cosines[3] == pytest.approx(-1)
    assert [side.images_per_s for side in found.sides] == [None, None]
    assert files_beside(one, one).fidelity.flips == 0
    with pytest.raises(ComparisonError, match=r"features of 9 images, .* of 8; expected the same"):
        files_beside(one, npz(tmp_path / "c.npz", x[:8]))
    with pytest.raises(ComparisonError, match=r"of 4 columns, .* of 3; expected the same"):
        files_beside(one, npz(tmp_path / "d.npz", x[:, :3]))
    with pytest.raises(ComparisonError, match=r"row 0 is image 0 in .* and image 8 in"):
        files_beside(one, npz(tmp_path / "e.npz", x, keys=keys[::-1]))
    with pytest.raises(DataError, match="features of 1 images; expected at least two"):
        files_beside(npz(tmp_path / "f.npz", x[:1]), npz(tmp_path / "g.npz", x[:1]))
    x[5, 1] = np.nan
    with pytest.raises(DataError, match="row 5 holds NaN or infinite values"):
        files_beside(one, npz(tmp_path / "h.npz", x))
    x[5] = 0
    with pytest.raises(DataError, match="row 5 is zero, so it has no direction and no cosine"):
        files_beside(one, npz(tmp_path / "i.npz", x))

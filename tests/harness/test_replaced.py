"""Images that are replaced while a run goes on: what was hashed is what is decoded, or the run ends."""

from __future__ import annotations

import builders
import pytest
from crbench_mlr.base import ImageDataset

from crbench.errors import DataError
from crbench.harness.run import run
from crbench.harness.train import train


@pytest.fixture
def market(spec, tmp_path):
    """Make a spec on a small Market-1501, and the path of one of its images."""
    folder = builders.build_market1501(tmp_path / "data")
    image = sorted((folder / "query").glob("0002_*.jpg"))[0]

    def make(**values):
        request = {"dataset": "mlr-market1501", "backbone": "random", "trial": 0, "device": "cpu", **values}
        return spec(data_root=tmp_path / "data", **request)

    return make, image


def replace(path):
    builders.image("another image of the same size").save(path)


@pytest.mark.parametrize("backbone", ["random", "learner"])
def test_an_image_that_is_replaced_before_it_is_decoded_ends_the_run(market, tmp_path, monkeypatch, backbone):
    make, image = market
    original, digests = image.read_bytes(), ImageDataset.digests

    def then_replaced(self, keys, *, root):
        found = digests(self, keys, root=root)
        replace(image)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(ImageDataset, "digests", then_replaced)
        with pytest.raises(
            DataError, match=rf"image .*{image.name} of mlr-market1501 was replaced while it was in use"
        ):
            run(make(backbone=backbone)) if backbone == "random" else train(make(backbone=backbone))
    image.write_bytes(original)
    (after,) = run(make(backbone=backbone))
    (fresh,) = run(make(backbone=backbone, cache=False, output=tmp_path / "fresh"))
    assert after.trials == fresh.trials


def test_an_image_that_is_replaced_between_two_runs_of_a_process_is_another(market, tmp_path):
    make, image = market
    (before,) = run(make())
    replace(image)
    (after,) = run(make())
    assert after.cell_id != before.cell_id
    assert after.timings["extract"].count > 0

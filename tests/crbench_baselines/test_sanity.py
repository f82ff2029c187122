"""Backbones that see nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from crbench_baselines.sanity import Constant, Random

from crbench.api import Batch
from crbench.errors import ConfigError
from crbench.testing import checks_for

BACKBONES = [Constant, Random]


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("check", checks_for("backbone"), ids=str)
def test_contract(check, backbone):
    check(backbone)


def _extract(backbone, images):
    batch = Batch(
        inputs=images, rates=np.ones(len(images), dtype=np.float32), camids=np.zeros(len(images), dtype=np.int64)
    )
    return backbone.extract(batch).x


def test_constant_features_are_equal_and_random_ones_have_nothing_in_common():
    images = torch.randn(400, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    images[1] = images[0] + 1e-6
    assert (_extract(Constant(), images) == 1).all()
    drawn = torch.nn.functional.normalize(_extract(Random(), images))
    cosines = (drawn @ drawn.T)[~torch.eye(400, dtype=torch.bool)]
    assert abs(float(cosines.mean())) < 0.01  # its standard error is 0.25 / 400
    assert float(cosines.std()) == pytest.approx(drawn.shape[1] ** -0.5, rel=0.05)
    assert abs(float(drawn[0] @ drawn[1])) < 0.9, "images that are nearly equal have no more in common than others"


def test_a_seed_gives_other_features():
    images = torch.ones(1, 3, 8, 4)
    assert not torch.equal(_extract(Random(seed=1), images), _extract(Random(), images))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_weights_are_refused(backbone):
    with pytest.raises(ConfigError, match=r"a sanity row has no weights, given --weights net\.pth"):
        backbone(weights=Path("net.pth"))

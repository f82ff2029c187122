"""Extraction: 128 JPEG files in memory, through the small network, to features in memory."""

from __future__ import annotations

import numpy as np
import pytest

from crbench.api.context import RunContext
from crbench.bench.synthetic import noise_images
from crbench.harness.extract.extractor import Extractor
from crbench.registry.load import load_backbone
from crbench.results import Extraction
from crbench.store.features import FeatureTable

COUNT = 128


@pytest.mark.parametrize("batch_size", [16, 64])
def test_extract(benchmark, batch_size):
    rows, read = noise_images(COUNT)
    extractor = Extractor(load_backbone("resnet-tiny"), read, Extraction(batch_size=batch_size), flip=False, workers=2)
    ids = np.arange(2 * COUNT, dtype=np.uint64).view("V16")
    filled = benchmark.pedantic(lambda: extractor.fill(FeatureTable(None), rows, ids, RunContext()), rounds=3)
    assert filled.rows == COUNT

"""Timing the stages of extraction; the times themselves are the machine's."""

from __future__ import annotations

from collections import Counter

import attrs
import numpy as np
import pytest
from builders import image

from crbench.harness.extract.extractor import Extractor
from crbench.harness.stages import measure_stages
from crbench.records import Samples
from crbench.results import Extraction
from crbench.testing import RandomBackbone


def test_every_stage_runs_over_the_given_images():
    reads: Counter[str] = Counter()

    def read(row):
        reads[row.key] += 1
        return image(row.key)

    rows = Samples(keys=[f"{number}" for number in range(8)], pids=np.arange(8))
    extractor = Extractor(RandomBackbone(), read, Extraction(batch_size=4), flip=False, workers=2)
    stages = measure_stages(extractor, rows, device="cpu", repeats=2)
    assert all(seconds > 0 for seconds in attrs.astuple(stages))
    assert stages.share == stages.forward / stages.whole
    # once to have images, three times alone (first batch only), three times in `load`, three times in `whole`
    assert reads == {f"{number}": 10 if number < 4 else 6 for number in range(8)}


@pytest.mark.parametrize("count", [0, 6])
def test_a_batch_that_is_not_full_would_spoil_the_figures(count):
    rows = Samples(keys=[f"{number}" for number in range(count)], pids=np.arange(count))
    extractor = Extractor(RandomBackbone(), image, Extraction(batch_size=4), flip=False, workers=1)
    with pytest.raises(ValueError, match=f"{count} rows are not a positive multiple of the batch size 4"):
        measure_stages(extractor, rows, device="cpu")

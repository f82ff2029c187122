from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from crbench.api.interfaces import Precomputed
from crbench.errors import PluginError
from crbench.harness.extract.lookup import look_up
from crbench.records import Encoded, Samples
from crbench.registry.guard import UNKNOWN
from crbench.store.features import FeatureTable, row_ids

ROWS = Samples(keys=["a", "b", "a"], pids=[1, 2, 1], rates=[1, 1, 2])
IDS = row_ids(ROWS, np.array(["image of a", "image of b", "image of a"]))


@attrs.frozen
class Known:
    """Features by the number of a row's key, times its rate."""

    dim: int = 2
    width: int = 2
    bad: float = 1.0

    def lookup(self, rows):
        numbers = torch.tensor([[(ord(key) - 96) * rate] for key, rate in zip(rows.keys, rows.rates, strict=True)])
        return Encoded(x=(numbers * self.bad).float().expand(-1, self.width).contiguous())


def test_rows_come_from_the_source_once():
    assert isinstance(Known(), Precomputed)
    table = FeatureTable.open(None, {})
    assert look_up(Known(), table, ROWS, IDS, UNKNOWN) == 3
    assert look_up(Known(), table, ROWS, IDS, UNKNOWN) == 0
    x, dims = table.gather(IDS, "cpu")
    assert x.tolist() == [[1, 1], [2, 2], [2, 2]]
    assert dims is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Known(width=3), r"it gave features \(3, 3\); expected \(3, 2\)"),
        (Known(bad=float("nan")), "the features of a at rate 1 hold NaN or infinite values"),
    ],
)
def test_what_cannot_be_scored_is_refused(source, message):
    with pytest.raises(PluginError, match=message):
        look_up(source, FeatureTable.open(None, {}), ROWS, IDS, UNKNOWN)


def test_a_source_may_use_its_memory_again():
    table, held = FeatureTable.open(None, {}), torch.zeros(1, 2)

    class Saving(Known):
        def lookup(self, rows):
            return Encoded(x=held.copy_(super().lookup(rows).x))

    for row in range(3):
        look_up(Saving(), table, ROWS.take(np.array([row])), IDS[[row]], UNKNOWN)
    assert table.gather(IDS, "cpu")[0].tolist() == [[1, 1], [2, 2], [2, 2]]
